"""Scoring jobs as a person runs them: real processes, the real model, kills."""

import csv
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moodline.samples import read_samples
from tests.integration.harness import assert_same

SAMPLES = Path(__file__).parents[1] / "data" / "transcripts"
SECRET = "4111 1111 1111"
TIMEOUT_S = 600
COPIES = 4
MAX_KILLS = 4
POLL_S = 0.01


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "moodline", *map(str, arguments)]


def moodline(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False
    )


def records(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.decode().split("\n") if line]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples again and again, under other ids, in several files and with damage among them."""
    folder = tmp_path_factory.mktemp("many")
    samples = [json.loads(line) for line in read_samples().splitlines()]
    for number in range(COPIES):
        lines = [
            json.dumps(sample | {"conversation_id": f"{sample['conversation_id']}-{number}"})
            for sample in samples
        ]
        lines.insert(number % len(lines), "{" + SECRET)
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copy(SAMPLES / "twilio.json", folder)
    (folder / "noise.bin").write_bytes(random.Random(1).randbytes(5000))
    return folder


@pytest.fixture(scope="module")
def uninterrupted(many: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("whole") / "out.jsonl"
    result = moodline("score", many, "-o", out, "--processes", "2")
    assert result.returncode == 1, result.stderr
    return out.read_bytes()


def test_results_are_those_of_analyze(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    result = moodline("score", "-", "-o", out, "--processes", "1", stdin=read_samples().encode())
    assert (result.returncode, result.stdout) == (0, b"")
    analyzed = moodline("analyze", "-", "--format", "json", stdin=read_samples().encode())
    for scored, row in zip(records(out.read_bytes()), records(analyzed.stdout), strict=True):
        assert_same({key: scored[key] for key in row}, row)
        assert scored["status"] == "scored"


def test_damage_is_collected_and_the_others_are_scored(uninterrupted: bytes) -> None:
    rows = records(uninterrupted)
    failed = [row for row in rows if row["status"] == "failed"]
    assert len(rows) == COPIES * 7 + 2
    assert len(failed) == COPIES + 1
    assert {row["code"] for row in failed} == {"UNREADABLE"}
    assert SECRET.encode() not in uninterrupted


def test_a_server_gives_the_same(many: Path, uninterrupted: bytes, tmp_path: Path) -> None:
    with subprocess.Popen(
        command("serve", "--port", "0"),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={
            **os.environ,
            "MOODLINE_AUTH__MODE": "none",
            "MOODLINE_TELEMETRY__LOG_FORMAT": "json",
        },
    ) as server:
        assert server.stderr is not None
        events = (json.loads(line) for line in server.stderr)
        port = next(event["port"] for event in events if event["event"] == "serving")
        # A full pipe would hold the server up.
        threading.Thread(target=server.stderr.read, daemon=True).start()
        out = tmp_path / "out.jsonl"
        result = moodline("score", many, "-o", out, "--server", f"127.0.0.1:{port}")
        server.terminate()
    assert result.returncode == 1, result.stderr
    assert_same(records(out.read_bytes()), records(uninterrupted))


def test_after_kills_nothing_is_lost_or_doubled(
    many: Path, uninterrupted: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    chance = random.Random(5)
    journal = tmp_path / "out.jsonl.job" / "journal.jsonl"
    kill_count = 0
    while not out.exists():
        wanted_bytes = size_of(journal) + chance.randint(1, 2_000)
        with subprocess.Popen(
            command("score", many, "-o", out, "--resume", "--part-size", "1", "--processes", "2"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            while not ended_within(process, POLL_S):
                # Some parts further, at a moment that nothing is in step with.
                if size_of(journal) >= wanted_bytes and kill_count < MAX_KILLS:
                    process.kill()
                    kill_count += 1
                    break
        assert process.returncode in {1, -signal.SIGKILL}
    assert kill_count > 0
    assert_same(records(out.read_bytes()), records(uninterrupted))
    assert not journal.parent.exists()


def size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


@pytest.fixture
def running(many: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A job of many parts that has finished one."""
    out = tmp_path / "out.jsonl"
    journal = tmp_path / "out.jsonl.job" / "journal.jsonl"
    with subprocess.Popen(
        command("score", many, "-o", out, "--part-size", "1", "--processes", "2"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        while not size_of(journal):
            assert not ended_within(process, POLL_S)
        yield process
        process.kill()


def children(process_id: int) -> list[int]:
    tasks = Path(f"/proc/{process_id}/task").iterdir()
    return [
        int(child)
        for task in tasks
        for child in (task / "children").read_text(encoding="ascii").split()
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_scoring_processes_end_with_the_one_that_was_killed(
    running: subprocess.Popen[bytes],
) -> None:
    watched = [os.pidfd_open(child) for child in children(running.pid)]
    assert len(watched) >= 2
    running.kill()
    for descriptor in watched:
        ended, _, _ = select.select([descriptor], [], [], TIMEOUT_S)
        os.close(descriptor)
        assert ended


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_scoring_process_that_dies_ends_the_job_with_what_was_scored(
    running: subprocess.Popen[bytes], many: Path, uninterrupted: bytes, tmp_path: Path
) -> None:
    for child in children(running.pid):
        os.kill(child, signal.SIGKILL)
    _, told = running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == 1
    assert b"ENGINE_DIED" in told
    assert b"--resume" in told
    out = tmp_path / "out.jsonl"
    assert moodline("score", many, "-o", out, "--resume").returncode == 1
    assert_same(records(out.read_bytes()), records(uninterrupted))


def test_ctrl_c_keeps_what_was_scored(
    running: subprocess.Popen[bytes], many: Path, uninterrupted: bytes, tmp_path: Path
) -> None:
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=TIMEOUT_S)
    out = tmp_path / "out.jsonl"
    has_finished = out.exists()  # Before the signal came.
    assert running.returncode == (1 if has_finished else 130)
    assert moodline("score", many, "-o", out, "--resume").returncode == 1
    assert_same(records(out.read_bytes()), records(uninterrupted))


@pytest.mark.parametrize("result_format", ["parquet", "csv"])
def test_tables_hold_every_conversation(
    many: Path, uninterrupted: bytes, tmp_path: Path, result_format: str
) -> None:
    if result_format == "parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / "out"
    result = moodline("score", many, "-o", out, "--to", result_format, "--processes", "1")
    assert result.returncode == 1
    rows = read_table(out / f"conversations.{result_format}")
    whole = records(uninterrupted)
    assert [row["conversation_id"] or "" for row in rows] == [
        row["conversation_id"] for row in whole
    ]
    for row, one in zip(rows, whole, strict=True):
        if one["status"] == "scored":
            wanted = one["sentiment"]["score"]
            assert float(row["sentiment_score"]) == pytest.approx(wanted, abs=1e-4)
    turn_count = sum(len(one.get("turns", [])) for one in whole)
    assert len(read_table(out / f"turns.{result_format}")) == turn_count


def read_table(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def test_vcons_come_back_with_the_analysis(tmp_path: Path) -> None:
    out = tmp_path / "out"
    pattern = str(SAMPLES / "vcon-*.json")
    result = moodline("score", pattern, "-o", out, "--to", "vcon", "--processes", "1")
    assert result.returncode == 0, result.stderr
    files = sorted(out.iterdir())
    assert len(files) == len(list(SAMPLES.glob("vcon-*.json")))
    again = tmp_path / "again"
    result = moodline("score", out, "-o", again, "--to", "vcon", "--processes", "1")
    assert result.returncode == 0, result.stderr
    for file in files:
        (same,) = again.glob(f"{file.name[:7]}-*")
        assert json.loads(same.read_bytes()) == json.loads(file.read_bytes())
