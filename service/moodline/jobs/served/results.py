"""Reads the results of a job page by page, while it runs and after.

A place in the results is a count of bytes: the lines of all parts, one part after the other, are
the same bytes before and after the job has ended and its parts were joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moodline.errors import FieldViolation, InvalidRequestError
from moodline.jobs.folder import committed_parts
from moodline.jobs.outputs.jsonl import RESULTS_FILE
from moodline.jobs.served.paths import JobPaths

_MAX_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One result.

    Attributes:
        content: A JSON object.
        end: Where the next one begins, in bytes.
    """

    content: bytes
    end: int


@dataclass(frozen=True, slots=True)
class ResultsPage:
    """Some results.

    Attributes:
        lines: In the order of the input.
        is_end: Whether there are no more for now.
    """

    lines: list[ResultLine]
    is_end: bool


def read_results(paths: JobPaths, *, begin: int, max_items: int, max_bytes: int) -> ResultsPage:
    """Return the results from a place on.

    Args:
        paths: Of the job.
        begin: Where the first one begins: 0, or the `end` of another.
        max_items: At least 1.
        max_bytes: Of all lines together; the first one is returned whatever its size.

    Raises:
        InvalidRequestError: If no result begins there.
        FileNotFoundError: If the job was removed meanwhile.
    """
    for _ in range(_MAX_ATTEMPTS):
        try:
            return _page(paths, begin=begin, max_items=max_items, max_bytes=max_bytes)
        except FileNotFoundError:
            # The parts were joined while we read them; now the whole is there.
            continue
    return _page(paths, begin=begin, max_items=max_items, max_bytes=max_bytes)


def _page(paths: JobPaths, *, begin: int, max_items: int, max_bytes: int) -> ResultsPage:
    lines: list[ResultLine] = []
    byte_count = 0
    for content in _lines_from(_files(paths), begin):
        byte_count += len(content)
        if lines and (len(lines) >= max_items or byte_count > max_bytes):
            return ResultsPage(lines, is_end=False)
        lines.append(ResultLine(content, begin + byte_count))
    return ResultsPage(lines, is_end=True)


def _files(paths: JobPaths) -> list[Path]:
    """Return what holds the results now."""
    parts = committed_parts(paths.results)
    # Looked for after the parts: if it is not there, none of them was gone yet.
    if paths.result_lines.exists():
        return [paths.result_lines]
    return [part / RESULTS_FILE for part in parts]


def _lines_from(files: Sequence[Path], begin: int) -> Iterator[bytes]:
    skipped = begin
    for file in files:
        size = file.stat().st_size
        if skipped >= size and skipped > 0:
            skipped -= size
            continue
        with file.open("rb") as stream:
            if skipped:
                stream.seek(skipped - 1)
                if stream.read(1) != b"\n":
                    raise _no_place()
                skipped = 0
            yield from stream
    if skipped:
        raise _no_place()


def _no_place() -> InvalidRequestError:
    return InvalidRequestError(
        [FieldViolation("page_token", "is none of this job; begin without one")]
    )
