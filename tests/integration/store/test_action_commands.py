"""`moodline actions` shows what is dead and makes it due again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from moodline.actions.queue import Destination
from moodline.cli.commands import app
from moodline.rules.model import Action
from moodline.store.actions import ActionStore
from moodline.store.database import Database
from moodline.store.signals import SignalStore
from tests.integration.store.making import NOW, after, contact, raised


async def _fill(url: str) -> None:
    """Record a dead action for each of two conversations, and one that waits."""
    database = await Database.open(url)
    try:
        for conversation_id, kind in (("c1", "webhook"), ("c2", "webhook"), ("c3", "task")):
            actions = (Action.model_validate({"kind": kind}),)
            await SignalStore(database).record(
                contact(conversation_id), [raised(conversation_id, actions=actions)], at=NOW
            )
        store = ActionStore(database)
        for action in await store.lease(
            Destination("webhook", ""), owner="o", at=NOW, until=after(minutes=1), limit=9
        ):
            await store.bury(action, at=NOW, error="http_410")
    finally:
        await database.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/moodline.db"
    asyncio.run(_fill(url))
    return url


def moodline(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["actions", *arguments], env={"MOODLINE_STORE__URL": url})


def listed(url: str, *arguments: str) -> Sequence[dict[str, object]]:
    result = moodline(url, "list", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_dead_actions_are_listed_without_what_their_receivers_are_told(url: str) -> None:
    dead = listed(url)
    assert len(dead) == 2
    assert {action["last_error"] for action in dead} == {"http_410"}
    assert dead[0].keys() == {
        "tenant", "idempotency_key", "kind", "target", "signal_id", "state", "attempt_count",
        "created_at", "next_attempt_at", "finished_at", "last_error",
    }  # fmt: skip
    assert dead[0]["created_at"] == NOW.isoformat()


def test_others_are_listed_by_state_kind_and_tenant(url: str) -> None:
    assert [action["kind"] for action in listed(url, "--state", "pending")] == ["task"]
    assert len(listed(url, "--state", "all")) == 3
    assert len(listed(url, "--state", "all", "--kind", "task")) == 1
    assert listed(url, "--state", "all", "--tenant", "nobody") == []
    assert listed(url, "--state", "all", "--target", "crm") == []
    assert len(listed(url, "--limit", "1")) == 1


def test_a_table_is_drawn_for_people(url: str) -> None:
    result = moodline(url, "list", "--format", "table")
    assert result.exit_code == 0
    assert "http_410" in result.stdout


def test_one_or_all_are_replayed(url: str) -> None:
    key = str(listed(url)[0]["idempotency_key"])
    assert "replayed: 1" in moodline(url, "replay", key).stderr
    assert key in {action["idempotency_key"] for action in listed(url, "--state", "pending")}
    assert "replayed: 1" in moodline(url, "replay", "--all", "--kind", "webhook").stderr
    assert listed(url) == []


def test_replaying_nothing_tells_so(url: str) -> None:
    assert moodline(url, "replay", "unknown").exit_code == 1


@pytest.mark.parametrize("arguments", [[], ["k1", "--all"]])
def test_what_to_replay_must_be_said(url: str, arguments: list[str]) -> None:
    assert moodline(url, "replay", *arguments).exit_code == 2
    assert len(listed(url)) == 2


def test_without_a_store_there_is_nothing_to_list(url: str) -> None:
    result = moodline("none", "list")
    assert result.exit_code == 2
    assert "MOODLINE_STORE__URL" in result.stderr
