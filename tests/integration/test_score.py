"""Scoring jobs with the real model; in processes of their own where their death is the matter."""

import asyncio
import csv
import json
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from moodline.cli.commands import app
from moodline.jobs.analyzing import open_local
from moodline.jobs.engines.engine import ScoringEngine
from moodline.jobs.engines.remote import server_engine
from moodline.jobs.engines.scoring_thread import scoring_thread
from moodline.jobs.folder import StartMode
from moodline.jobs.result_format import ResultFormat
from moodline.samples import read_samples
from tests.integration.harness import Served, assert_same, settings
from tests.integration.scoring import (
    SECRET,
    TIMEOUT_S,
    TRANSCRIPTS,
    RememberingEngine,
    children,
    command,
    ended_within,
    records,
    running_job,
    score_with,
    write_inputs,
)

COPIES = 24  # More conversations than a process takes at a time, so that a job can be met halfway.
KILLS = 2
ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture(scope="module")
def engine() -> Iterator[ScoringEngine]:
    """The model in this process: what it gives is what all others are compared with."""
    with scoring_thread(lambda: open_local(settings()), max_in_flight=64) as opened:
        yield RememberingEngine(opened)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs") / "many", copies=COPIES)


@pytest.fixture(scope="module")
def wanted(
    engine: ScoringEngine, many: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("whole") / "out.jsonl"
    assert not score_with(engine, many, out)
    return records(out.read_bytes())


def assert_complete(
    engine: ScoringEngine, many: Path, out: Path, wanted: list[dict[str, Any]]
) -> None:
    """Go on with a job that was ended, and look at its results."""
    part_count = len(list(out.with_name(out.name + ".job").glob("part-*")))
    assert 0 < part_count < len(wanted)
    assert not score_with(engine, many, out, mode=StartMode.RESUME)
    assert_same(records(out.read_bytes()), wanted)
    assert not out.with_name(out.name + ".job").exists()


def test_results_are_those_of_analyze(engine: ScoringEngine, tmp_path: Path) -> None:
    samples, out = tmp_path / "samples.jsonl", tmp_path / "out.jsonl"
    samples.write_text(read_samples(), encoding="utf-8")
    assert score_with(engine, samples, out)
    analyzed = CliRunner().invoke(app, ["analyze", str(samples), "--format", "json"])
    for scored, row in zip(records(out.read_bytes()), records(analyzed.stdout_bytes), strict=True):
        assert_same({key: scored[key] for key in row}, row)
        assert scored["status"] == "scored"


def test_damage_is_collected_and_the_others_are_scored(wanted: list[dict[str, Any]]) -> None:
    failed = [row for row in wanted if row["status"] == "failed"]
    assert len(wanted) == COPIES * 7 + 2
    assert len(failed) == COPIES + 1
    assert {row["code"] for row in failed} == {"UNREADABLE"}
    assert SECRET not in json.dumps(wanted)


def test_processes_give_the_same_from_standard_input(engine: ScoringEngine, tmp_path: Path) -> None:
    out, here = tmp_path / "out.jsonl", tmp_path / "here.jsonl"
    samples = tmp_path / "stdin"
    samples.write_text(read_samples(), encoding="utf-8")
    result = subprocess.run(
        command("score", "-", "-o", out, "--processes", "2"),
        input=samples.read_bytes(),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, b""), result.stderr
    score_with(engine, samples, here)
    for row, one in zip(records(out.read_bytes()), records(here.read_bytes()), strict=True):
        assert_same(row | {"source": ""}, one | {"source": ""})


@pytest.mark.asyncio(loop_scope="session")
async def test_a_server_gives_the_same(
    served: Served, many: Path, wanted: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"

    def score() -> None:
        with server_engine(
            f"127.0.0.1:{served.rpc.port}", token=None, tenant=None, tls=None, timeout_s=TIMEOUT_S
        ) as remote:
            score_with(remote, many, out)

    await asyncio.to_thread(score)
    assert_same(records(out.read_bytes()), wanted)


@ON_LINUX
def test_after_kills_nothing_is_lost_or_doubled_and_nobody_works_on(
    engine: ScoringEngine, many: Path, wanted: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    chance = random.Random(5)
    for _ in range(KILLS):
        with ExitStack() as stack:
            job = stack.enter_context(running_job(many, out, "--processes", "2"))
            watched = [os.pidfd_open(child) for child in children(job.pid)]
            for descriptor in watched:
                stack.callback(os.close, descriptor)
            assert len(watched) >= 2
            # At a moment that nothing is in step with.
            assert not ended_within(job, chance.uniform(0, 0.2))
            job.kill()
            for descriptor in watched:
                ended, _, _ = select.select([descriptor], [], [], TIMEOUT_S)
                assert ended
        assert job.returncode == -signal.SIGKILL
    assert_complete(engine, many, out, wanted)


@ON_LINUX
def test_a_scoring_process_that_dies_ends_the_job_with_what_was_scored(
    engine: ScoringEngine, many: Path, wanted: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    with running_job(many, out, "--processes", "1") as job:
        for child in children(job.pid):
            os.kill(child, signal.SIGKILL)
        _, told = job.communicate(timeout=TIMEOUT_S)
    assert job.returncode == 1
    assert b"ENGINE_DIED" in told
    assert b"--resume" in told
    assert_complete(engine, many, out, wanted)


def test_ctrl_c_keeps_what_was_scored(
    engine: ScoringEngine, many: Path, wanted: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    with running_job(many, out, "--processes", "1") as job:
        job.send_signal(signal.SIGINT)
        job.communicate(timeout=TIMEOUT_S)
    assert job.returncode == 130
    assert_complete(engine, many, out, wanted)


@pytest.mark.parametrize("result_format", [ResultFormat.PARQUET, ResultFormat.CSV])
def test_tables_hold_every_conversation(
    engine: ScoringEngine,
    many: Path,
    wanted: list[dict[str, Any]],
    tmp_path: Path,
    result_format: ResultFormat,
) -> None:
    if result_format is ResultFormat.PARQUET:
        pytest.importorskip("pyarrow")
    out = tmp_path / "out"
    assert not score_with(engine, many, out, result_format=result_format)
    rows = read_table(out / f"conversations.{result_format}")
    assert [row["conversation_id"] or "" for row in rows] == [
        row["conversation_id"] for row in wanted
    ]
    for row, one in zip(rows, wanted, strict=True):
        if one["status"] == "scored":
            score = one["sentiment"]["score"]
            assert float(row["sentiment_score"]) == pytest.approx(score, abs=1e-4)
    turn_count = sum(len(one.get("turns", [])) for one in wanted)
    assert len(read_table(out / f"turns.{result_format}")) == turn_count


def read_table(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def test_vcons_come_back_with_the_analysis(engine: ScoringEngine, tmp_path: Path) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    pattern = str(TRANSCRIPTS / "vcon-*.json")
    assert score_with(engine, pattern, out, result_format=ResultFormat.VCON)
    files = sorted(out.iterdir())
    assert len(files) == len(list(TRANSCRIPTS.glob("vcon-*.json")))
    assert score_with(engine, out, again, result_format=ResultFormat.VCON)
    for file in files:
        (same,) = again.glob(f"{file.name[:7]}-*")
        assert json.loads(same.read_bytes()) == json.loads(file.read_bytes())
