"""The command line as a person runs it: real processes, the real model, a real server."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from moodline.artifact import bundled_model_dir
from moodline.samples import read_samples
from tests.integration.harness import assert_same

TOKEN = "integration"
BAD_LINES = "\n".join(
    [
        '{"conversation_id": "ok", "turns": [{"role": "customer", "text": "👍 🎉"}]}',
        "{not json, my card number is 4111",
        '{"conversation_id": "no-turns", "turns": []}',
        '{"conversation_id": "no-words", "turns": [{"role": "customer", "text": " \\u202e"}]}',
        '{"conversation_id": "stranger", "turns": [{"role": "boss", "text": "hello"}]}',
        json.dumps(
            {"conversation_id": "long", "turns": [{"role": "customer", "text": "x" * 200_000}]}
        ),
        json.dumps(
            {"conversation_id": "many", "turns": [{"role": "customer", "text": "x"}] * 10_000}
        ),
        '{"conversation_id": "agent", "turns": [{"role": "agent", "text": "Hello?"}]}',
    ]
).encode()

ABOUT_GOLD = """
version: 1
name: about_gold
rules:
  - id: about_gold
    explanation: {en: Somebody with gold spoke.}
    reason: other
    severity: low
    when: conversation.attributes["plan"] == "gold"
"""


def moodline(
    *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "moodline", *arguments],
        input=stdin,
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, **(env or {})},
    )


def rows(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.decode().split("\n") if line]


@dataclass
class Server:
    process: subprocess.Popen[str]
    target: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    tokens_file = tmp_path_factory.mktemp("server") / "tokens.yaml"
    entry = {
        "name": "test",
        "sha256": hashlib.sha256(TOKEN.encode()).hexdigest(),
        "tenant": "acme",
        "scopes": ["analysis"],
    }
    tokens_file.write_text(yaml.safe_dump({"tokens": [entry]}), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "moodline", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={
            **os.environ,
            "MOODLINE_AUTH__TOKENS_FILE": str(tokens_file),
            "MOODLINE_STORE__URL": f"sqlite:///{tokens_file.parent}/moodline.db",
            "MOODLINE_TELEMETRY__LOG_FORMAT": "json",
        },
    ) as process:
        assert process.stderr is not None
        lines = (json.loads(line) for line in process.stderr)
        ready = next(line for line in lines if line["event"] == "serving")
        # A full pipe would hold the server up.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield Server(process, f"127.0.0.1:{ready['port']}")
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def local_rows() -> list[dict[str, Any]]:
    result = moodline("analyze", "-", "--format", "json", stdin=read_samples().encode())
    assert (result.returncode, result.stderr) == (0, b"")
    return rows(result.stdout)


def analyze_there(
    server: Server, stdin: bytes, *arguments: str
) -> subprocess.CompletedProcess[bytes]:
    return moodline(
        "analyze", "-", "--server", server.target, *arguments,
        stdin=stdin, env={"MOODLINE_TOKEN": TOKEN},
    )  # fmt: skip


def test_json_has_the_published_names(local_rows: list[dict[str, Any]]) -> None:
    samples = [json.loads(line) for line in read_samples().splitlines()]
    assert [row["conversation_id"] for row in local_rows] == [
        sample["conversation_id"] for sample in samples
    ]
    for row, sample in zip(local_rows, samples, strict=True):
        assert {
            "sentiment", "urgency", "stage", "escalation", "expected_csat", "model_version",
            "configuration_digest", "language", "warnings",
        } <= row.keys()  # fmt: skip
        for index, (turn, said) in enumerate(zip(row["turns"], sample["turns"], strict=True)):
            assert turn["turn_index"] == index
            assert turn["role"] == said["role"]
            if said["role"] == "agent":
                assert turn["absence"] == "NOT_CUSTOMER"
                assert "sentiment" not in turn
                continue
            check_customer_turn(turn, said["text"])


def check_customer_turn(turn: dict[str, Any], text: str) -> None:
    sentiment, urgency = turn["sentiment"], turn["urgency"]
    escalation = turn["escalation"]
    assert sentiment["label"] in sentiment["probabilities"]
    assert sorted(sentiment["probabilities"]) == [
        "NEGATIVE", "NEUTRAL", "POSITIVE", "VERY_NEGATIVE", "VERY_POSITIVE",
    ]  # fmt: skip
    assert -1 <= sentiment["score"] <= 1
    assert urgency["probabilities"].keys() == {"LOW", "NORMAL", "HIGH", "CRITICAL"}
    assert urgency["level"] in urgency["probabilities"]
    assert turn["stage"].keys() == {"name", "probability"}
    assert all(tag.keys() == {"name", "probability"} for tag in turn["tags"])
    assert escalation["level"] in {"NONE", "WATCH", "ESCALATE"}
    assert 0 <= escalation["probability"] <= 1
    assert 1 <= turn["expected_csat"] <= 5
    for span in turn["evidence"]:
        assert span.keys() == {"start", "end", "text", "aspect", "weight"}
        assert span["text"] == text[span["start"] : span["end"]] != ""


def test_a_server_gives_the_same_to_1e4(server: Server, local_rows: list[dict[str, Any]]) -> None:
    result = analyze_there(server, read_samples().encode())
    assert (result.returncode, result.stderr) == (0, b"")
    assert_same(rows(result.stdout), local_rows)


def test_bad_lines_are_told_and_the_others_go_on(server: Server) -> None:
    result = analyze_there(server, BAD_LINES)
    assert result.returncode == 1
    assert [row["conversation_id"] for row in rows(result.stdout)] == ["ok", "agent"]
    told = result.stderr.decode()
    for problem in (
        "stdin:2: is not JSON from column 2 on",
        "stdin:3: turns: is empty, but required",
        "stdin:4: turns[0].text: is empty, or holds nothing but white space",
        "stdin:5: turns[0].role: is none of customer, agent, bot",
        "stdin:6: turns[0].text: has 200000 characters, at most 20000 are allowed; split it",
        "stdin:7: turns: has 10000 turns, at most 2000 are allowed; send the conversation through",
    ):
        assert problem in told
    assert "4111" not in told
    assert "hello" not in told


def test_bad_lines_are_told_alike_without_a_server(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(BAD_LINES)
    here = moodline("analyze", str(source), "--format", "json")
    there = analyze_there(server, BAD_LINES)
    assert here.returncode == there.returncode == 1
    assert_same(rows(here.stdout), rows(there.stdout))
    assert here.stderr.decode().replace(str(source), "stdin") == there.stderr.decode()


def test_rules_look_at_the_attributes_of_a_line(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(ABOUT_GOLD, encoding="utf-8")
    said = {"customer_id": "k-7", "turns": [{"role": "customer", "text": "Hello"}]}
    lines = [
        said | {"conversation_id": plan, "attributes": {"plan": value}}
        for plan, value in (("gold", "gold"), ("basic", "basic"), ("number", 7))
    ]
    result = moodline(
        *("analyze", "-", "--format", "json"),
        stdin="\n".join(map(json.dumps, lines)).encode(),
        env={"MOODLINE_RULES__PATH": str(rules)},
    )
    assert result.returncode == 1
    told = result.stderr.decode()
    assert "stdin:3: attributes: holds a value that is no text" in told
    signals = {row["conversation_id"]: row["signals"] for row in rows(result.stdout)}
    assert signals["basic"] == []
    assert [signal["rule_id"] for signal in signals["gold"]] == ["about_gold"]


def test_a_table_is_readable_without_a_terminal(server: Server) -> None:
    result = analyze_there(server, read_samples().encode(), "--format", "table")
    drawn = result.stdout.decode()
    assert result.returncode == 0
    assert "\x1b" not in drawn
    assert "sample-tr-late-parcel  social · tr" in drawn
    assert "of 5 expected" in drawn


@pytest.mark.parametrize(
    ("token", "arguments", "code"),
    [
        ("", (), "UNAUTHENTICATED"),
        ("wrong", (), "UNAUTHENTICATED"),
        (TOKEN, ("--tenant", "other"), "PERMISSION_DENIED"),
    ],
)
def test_a_caller_who_is_refused_exits_with_3(
    server: Server, token: str, arguments: tuple[str, ...], code: str
) -> None:
    result = moodline(
        "analyze", "-", "--server", server.target, *arguments,
        stdin=read_samples().encode(), env={"MOODLINE_TOKEN": token},
    )  # fmt: skip
    assert result.returncode == 3
    assert code in result.stderr.decode()
    assert result.stdout == b""


@pytest.mark.parametrize("service", ["", "liveness", "moodline.v1.AnalysisService"])
def test_the_probe_sees_a_server_that_serves(server: Server, service: str) -> None:
    result = moodline("probe", "--server", server.target, "--service", service)
    assert (result.returncode, result.stdout) == (0, b"SERVING\n")


def test_sigterm_ends_serving_with_0(server: Server) -> None:
    """Last of those that use the server."""
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=60) == 0


def test_check_model_tells_what_it_checked() -> None:
    result = moodline("check-model")
    assert result.returncode == 0
    told = yaml.safe_load(result.stdout)
    assert told["model"].startswith("moodline-base ")
    assert "checksums" in told["checked"]


def test_check_model_refuses_a_changed_file(tmp_path: Path) -> None:
    for path in bundled_model_dir().iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "tokenizer.json").open("ab") as file:
        file.write(b" ")
    result = moodline("check-model", str(tmp_path))
    assert result.returncode == 2
    assert b"tokenizer.json" in result.stderr


def test_the_demo_shows_every_conversation_and_ends_by_itself() -> None:
    result = moodline("demo")
    drawn = result.stdout.decode()
    assert (result.returncode, result.stderr) == (0, b"")
    assert "A call without a token: refused with UNAUTHENTICATED" in drawn
    for line in read_samples().splitlines():
        sample = json.loads(line)
        assert drawn.count(sample["conversation_id"]) >= 2
    assert "مساء الخير" in drawn
    assert "54 turns in 6 conversations" in drawn
    assert "moodline analyze -" in drawn
    assert "\x1b" not in drawn
