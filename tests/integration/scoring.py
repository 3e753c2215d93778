"""Scoring jobs to watch and to disturb: what they read, how they run, what they left."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from moodline.cli.score import ScoreRequest, score
from moodline.jobs.answers import Answer
from moodline.jobs.engines.engine import ScoringEngine
from moodline.jobs.folder import StartMode
from moodline.jobs.items import Reading
from moodline.jobs.model import ModelIdentity
from moodline.jobs.result_format import ResultFormat
from moodline.samples import read_samples
from moodline.transcripts import load_formats

TRANSCRIPTS = Path(__file__).parents[1] / "data" / "transcripts"
SECRET = "4111 1111 1111"
TIMEOUT_S = 300
POLL_S = 0.01
_SLOW = {"MOODLINE_BATCHING__MAX_CACHE_ENTRIES": "0", "MOODLINE_ENGINE__INTRA_OP_THREADS": "1"}
"""Makes a job of repeated texts last, so that what is done to it happens in its midst."""


def write_inputs(folder: Path, *, copies: int) -> Path:
    """The samples again and again, under other ids, in several files and with damage among them."""
    folder.mkdir()
    samples = [json.loads(line) for line in read_samples().splitlines()]
    for number in range(copies):
        lines = [
            json.dumps(sample | {"conversation_id": f"{sample['conversation_id']}-{number}"})
            for sample in samples
        ]
        lines.insert(1 + number % len(samples), "{" + SECRET)
        (folder / f"{number:03d}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copy(TRANSCRIPTS / "twilio.json", folder)
    (folder / "noise.bin").write_bytes(random.Random(1).randbytes(5000))
    return folder


class RememberingEngine:
    """Asks another engine for each conversation once: what is done with answers is cheap to try."""

    def __init__(self, engine: ScoringEngine) -> None:
        self._engine = engine
        self._answers: dict[bytes, Future[Answer]] = {}

    @property
    def identity(self) -> ModelIdentity:
        return self._engine.identity

    @property
    def max_in_flight(self) -> int:
        return self._engine.max_in_flight

    def submit(self, message: bytes) -> Future[Answer]:
        if message not in self._answers:
            self._answers[message] = self._engine.submit(message)
        return self._answers[message]


def score_with(
    engine: ScoringEngine,
    inputs: Path | str,
    out: Path,
    *,
    result_format: ResultFormat = ResultFormat.JSONL,
    mode: StartMode = StartMode.NEW,
) -> bool:
    """Score as the command does, in this process; whether all was scored."""
    is_vcon = result_format is ResultFormat.VCON
    request = ScoreRequest(
        inputs=(str(inputs),),
        out=out,
        result_format=result_format,
        reading=Reading(load_formats(), is_vcon_required=is_vcon),
        mode=mode,
        max_part_items=20,
    )
    return score(request, lambda: nullcontext(engine))


def records(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.decode().split("\n") if line]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "moodline", *map(str, arguments)]


@contextmanager
def running_job(inputs: Path, out: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A slow job in a process of its own, that has finished one part more than before."""
    journal = out.with_name(out.name + ".job") / "journal.jsonl"
    before = size_of(journal)
    # A shell starts what it runs in the background with Ctrl-C ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        command("score", inputs, "-o", out, "--resume", "--part-size", "1", *options),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **_SLOW},
    ) as process:
        while size_of(journal) <= before:
            assert not ended_within(process, POLL_S), process.stderr and process.stderr.read()
        yield process
        process.kill()


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


def children(process_id: int) -> list[int]:
    """Processes that one has started, on Linux."""
    found: list[int] = []
    for task in Path(f"/proc/{process_id}/task").iterdir():
        try:
            told = (task / "children").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue  # A thread that has ended meanwhile.
        found += map(int, told.split())
    return found
