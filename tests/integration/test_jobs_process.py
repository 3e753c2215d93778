"""Scoring jobs of a server process: kills, restarts, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from moodline.cli.commands import app
from moodline.client import MoodlineClient
from moodline.samples import read_samples
from tests.integration.harness import assert_same
from tests.integration.job_server import short

TIMEOUT_S = 300
POLL_S = 0.02
ITEM_COUNT = 260


@contextmanager
def server(state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server whose jobs are in `state/jobs`, and its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "moodline", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={
            **os.environ,
            "MOODLINE_AUTH__MODE": "none",
            "MOODLINE_TELEMETRY__LOG_FORMAT": "json",
            "MOODLINE_STORE__URL": "none",
            "MOODLINE_JOBS__FOLDER": str(state / "jobs"),
            "MOODLINE_JOBS__INPUT_ROOT": str(state / "root"),
        },
    ) as process:
        assert process.stderr is not None
        events = (json.loads(line) for line in process.stderr)
        port = next(event["port"] for event in events if event["event"] == "serving")
        # A full pipe would hold the server up.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield process, f"127.0.0.1:{port}"
        finally:
            process.kill()


def moodline(address: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["jobs", "--server", address, *arguments])


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    (folder / "root" / "default").mkdir(parents=True)
    (folder / "root" / "default" / "calls.jsonl").write_text(read_samples(), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def killed_job(state: Path) -> str:
    """A job whose server was killed behind its first part, at no moment in particular."""
    with server(state) as (process, address), MoodlineClient(address) as client:
        job_id = client.jobs.create(short(ITEM_COUNT), request_id="killed").job_id
        journal = state / "jobs" / job_id / "results.job" / "journal.jsonl"
        deadline_s = time.monotonic() + TIMEOUT_S
        while not journal.exists() or not journal.stat().st_size:
            assert time.monotonic() < deadline_s
            time.sleep(POLL_S)
        process.kill()
        process.wait()
    record = json.loads((state / "jobs" / job_id / "job.json").read_bytes())
    assert record["state"] == "RUNNING"
    return job_id


@pytest.fixture(scope="module")
def address(state: Path, killed_job: str) -> Iterator[str]:
    """The server that goes on."""
    with server(state) as (_, address):
        yield address


def test_after_a_kill_nothing_is_lost_or_doubled(address: str, killed_job: str) -> None:
    with MoodlineClient(address) as client:
        job = client.jobs.wait(killed_job, poll_s=POLL_S)
        assert (job.state, job.completed_count, job.failed_count) == ("SUCCEEDED", ITEM_COUNT, 0)
        results = list(client.jobs.results(killed_job))
        assert [one.conversation_id for one in results] == [f"c{i}" for i in range(ITEM_COUNT)]
        # The same request does not begin it again.
        assert client.jobs.create(short(ITEM_COUNT), request_id="killed") == job
        conversation = short(ITEM_COUNT)[-1]
        (analyzed,) = client.analyze_batch([conversation])
        assert results[-1].analysis.sentiment.score == pytest.approx(
            analyzed.sentiment.score,  # type: ignore[union-attr]
            abs=1e-4,
        )


def test_the_command_line_creates_reads_and_removes(address: str, tmp_path: Path) -> None:
    (job,) = lines(moodline(address, "create", "*.jsonl", "--request-id", "cli", "--wait"))
    assert (job["state"], job["request_id"]) == ("SUCCEEDED", "cli")
    assert lines(moodline(address, "get", job["job_id"])) == [job]
    assert lines(moodline(address, "list", "--state", "succeeded"))[0] == job
    from_files = lines(moodline(address, "results", job["job_id"]))
    assert {result["source"] for result in from_files} == {"calls.jsonl"}

    source = tmp_path / "calls.jsonl"
    source.write_text(read_samples(), encoding="utf-8")
    (job,) = lines(moodline(address, "create", "--inline", str(source), "--wait"))
    sent = lines(moodline(address, "results", job["job_id"]))
    assert_same([one["analysis"] for one in sent], [one["analysis"] for one in from_files])
    assert lines(moodline(address, "cancel", job["job_id"])) == [job]
    assert moodline(address, "delete", job["job_id"]).exit_code == 0
    gone = moodline(address, "get", job["job_id"])
    assert gone.exit_code == 2
    assert "JOB_NOT_FOUND" in gone.stderr


def test_a_job_whose_items_fail_exits_with_1(address: str, state: Path) -> None:
    bad = state / "root" / "default" / "bad.txt"
    bad.write_bytes(b"\xff\xfe\x00")
    result = moodline(address, "create", "bad.txt", "--wait")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed_count"] == "1"


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("create", "a.jsonl", "--inline", "b.jsonl"),
        ("create", "--inline", "missing.jsonl"),
        ("list", "--state", "nonsense"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments: tuple[str, ...]) -> None:
    assert moodline("127.0.0.1:1", *arguments).exit_code == 2


def test_a_server_that_is_not_there_exits_with_3() -> None:
    result = CliRunner().invoke(
        app, ["jobs", "--server", "127.0.0.1:1", "--timeout", "0.2", "list"]
    )
    assert result.exit_code == 3
