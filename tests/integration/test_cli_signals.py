"""`moodline signals` and `moodline rules` against a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from pathlib import Path

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from moodline.analyzer import ConversationAnalyzer
from moodline.cli.commands import app
from moodline.rules.rule_set import RuleSet
from tests.integration.signal_harness import (
    ANGRY,
    SAMPLES,
    Keeping,
    keeping,
    messages_of,
    next_message,
)


@pytest_asyncio.fixture(loop_scope="session")
async def kept(
    analyzer: ConversationAnalyzer,
    tmp_path: Path,
    log_lines: Callable[[], list[dict[str, object]]],
) -> AsyncIterator[Keeping]:
    """A server whose log does not go to standard output, which is the command's here."""
    async with keeping(analyzer, f"sqlite:///{tmp_path}/moodline.db") as server:
        await server.talk(*messages_of(SAMPLES[ANGRY]))
        yield server


async def signals(kept: Keeping, *arguments: str) -> Result:
    target = f"127.0.0.1:{kept.served.rpc.port}"
    return await asyncio.to_thread(
        CliRunner().invoke, app, ["signals", "--server", target, *arguments]
    )


@pytest.mark.asyncio(loop_scope="session")
async def test_signals_are_listed_acknowledged_and_resolved(kept: Keeping) -> None:
    listed = await signals(kept, "list", "--min-severity", "high")
    assert listed.exit_code == 0, listed.output
    signal_id = json.loads(listed.stdout)["signal_id"]
    drawn = await signals(kept, "list", "--format", "table", "--language", "tr")
    assert signal_id in drawn.stdout
    assert "Müşteri" in drawn.stdout
    done = await signals(kept, "acknowledge", signal_id, "--by", "ada")
    assert done.stdout == f"{signal_id} ACKNOWLEDGED by ada\n"
    done = await signals(kept, "resolve", signal_id, "too_late", "--by", "bob")
    assert done.stdout == f"{signal_id} RESOLVED TOO_LATE by bob\n"
    refused = await signals(kept, "resolve", signal_id, "wrong")
    assert refused.exit_code == 2
    assert "SIGNAL_STATE" in refused.stderr


@pytest.mark.asyncio(loop_scope="session")
async def test_a_watch_shows_events_and_says_how_to_go_on(kept: Keeping) -> None:
    token = (await next_message(kept.watch())).resume_token
    await kept.talk(*messages_of(SAMPLES["sample-tr-late-parcel"]))
    first = await signals(kept, "watch", "--resume", token, "--count", "1")
    assert first.exit_code == 0, first.output
    event = json.loads(first.stdout)
    assert (event["kind"], event["signal"]["conversation_id"]) == (
        "RAISED",
        "sample-tr-late-parcel",
    )
    go_on = first.stderr.split()[-1]
    drawn = await signals(
        kept, "watch", "--resume", go_on, "--count", "1", "--format", "table", "--language", "tr"
    )
    assert "▲ raised" in drawn.stdout
    assert "“" in drawn.stdout
    assert event["event_id"] not in drawn.stdout


@pytest.mark.asyncio(loop_scope="session")
async def test_a_server_that_is_not_there_is_told(kept: Keeping) -> None:
    port = kept.served.rpc.port
    await kept.served.rpc.drain()
    answer = await asyncio.to_thread(
        CliRunner().invoke,
        app,
        ["signals", "--server", f"127.0.0.1:{port}", "--timeout", "0.5", "list"],
    )
    assert answer.exit_code == 3


def test_rules_are_checked_by_line(tmp_path: Path) -> None:
    rules = files("moodline.rules").joinpath("default.yaml").read_text("utf-8")
    file = tmp_path / "my.yaml"
    file.write_text(rules, encoding="utf-8")
    answer = CliRunner().invoke(app, ["rules", "check", str(file)])
    assert answer.exit_code == 0
    assert RuleSet.default().digest in answer.stdout
    file.write_text(rules.replace("turn.sentiment", "turn.sentimen"), encoding="utf-8")
    answer = CliRunner().invoke(app, ["rules", "check", str(file)])
    assert answer.exit_code == 1
    assert "my.yaml:" in answer.stderr
    assert "rules[0].when" in answer.stderr
