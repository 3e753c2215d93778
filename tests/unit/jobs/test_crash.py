"""The disk as it stands if the process dies before any one of its changes to it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from moodline.jobs.folder import StartMode, job_folder_path
from moodline.jobs.outputs.csv_tables import CsvOutput
from moodline.jobs.outputs.jsonl import JsonlOutput
from moodline.jobs.outputs.output import ERRORS_FILE, Output
from moodline.jobs.outputs.vcon import VconOutput
from tests.unit.jobs.harness import READING, conversation, run, write_lines

SAMPLES = Path(__file__).parents[2] / "data" / "transcripts"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
CHANGES = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"})


class Crash(BaseException):
    """Nothing of the process gets through to the disk any more."""


class Disk:
    """Lets some changes through, then none."""

    def __init__(self) -> None:
        self._left: int | None = None
        sys.addaudithook(self._watch)

    @contextmanager
    def failing_after(self, change_count: int) -> Iterator[None]:
        self._left = change_count
        try:
            yield
        finally:
            self._left = None

    def _watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._left is None:
            return
        is_writing = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if event in CHANGES or is_writing:
            if self._left == 0:
                raise Crash
            self._left -= 1


@pytest.fixture(scope="module")
def disk() -> Disk:
    return Disk()


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    lines = write_lines(tmp_path / "in.jsonl", [conversation("a"), "{no", conversation("b")])
    copies = [tmp_path / name for name in ("vcon-chat.json", "vcon-voice.json")]
    for copy in copies:
        shutil.copy(SAMPLES / copy.name, copy)
    return [lines, *copies]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("output", [JsonlOutput(), CsvOutput(), VconOutput(clock=lambda: NOW)])
def test_whenever_it_dies_resuming_gives_what_an_undisturbed_run_gives(
    output: Output, sources: list[Path], tmp_path: Path, disk: Disk
) -> None:
    reading = replace(READING, is_vcon_required=isinstance(output, VconOutput))
    job = partial(run, output=output, max_part_items=2, reading=reading)
    whole = tmp_path / "whole"
    whole.mkdir()
    job(whole / "out", *sources)
    wanted = contents(whole)
    assert ERRORS_FILE in wanted
    change_count = 0
    while True:
        folder = tmp_path / f"crash-{change_count}"
        folder.mkdir()
        try:
            with disk.failing_after(change_count):
                job(folder / "out", *sources)
        except Crash:
            job(folder / "out", *sources, mode=StartMode.RESUME)
            assert contents(folder) == wanted, change_count
            assert not job_folder_path(folder / "out").exists()
            change_count += 1
            continue
        break
    assert change_count > 10
