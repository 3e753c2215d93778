"""Reads results that are JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from moodline.json_lines import read_lines
from moodline.reports.errors import ReportError
from moodline.reports.records import FailedRecord, ScoredRecord, problem_of
from moodline.reports.results import Entry

MAX_LINE_BYTES: Final = 256 * 1024 * 1024
"""Longest line that is held: a stream of 100,000 turns has about 1,500 bytes of results each."""

_Line = Annotated[ScoredRecord | FailedRecord, Field(discriminator="status")]


def read_json_lines(path: Path) -> Iterator[Entry]:
    """Yield one entry a line.

    Raises:
        ReportError: If a line is none that `moodline score` writes.
        OSError: If the file cannot be read.
    """
    adapter: TypeAdapter[ScoredRecord | FailedRecord] = TypeAdapter(_Line)
    with path.open("rb") as file:
        for number, line in read_lines(file, max_bytes=MAX_LINE_BYTES):
            if line is None:
                raise ReportError(f"{path}: line {number} has more than {MAX_LINE_BYTES} bytes.")
            try:
                yield adapter.validate_json(line).entry()
            except ValidationError as error:
                problem = problem_of(error)
            except ReportError as error:
                problem = str(error)
            else:
                continue
            raise ReportError(
                f"{path}: line {number} is no result of moodline score: {problem}. Looked for "
                "status, source, number and an analysis; score the conversations first."
            )
