"""CSV: a table of conversations and one of turns."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from moodline.jobs.folder import join_files
from moodline.jobs.outcomes import Outcome
from moodline.jobs.outputs.columns import (
    CONVERSATION_COLUMNS,
    TURN_COLUMNS,
    Column,
    Kind,
    rows_of,
)

_CONVERSATIONS: Final = "conversations.csv"
_TURNS: Final = "turns.csv"
_JSON_KINDS: Final = frozenset({Kind.TEXTS, Kind.EVIDENCE})
_Row = TypeVar("_Row")


class CsvOutput:
    """Writes UTF-8 by RFC 4180; lists stand as JSON, flags as true and false, nothing for null."""

    def write_part(self, outcomes: Sequence[Outcome], folder: Path, *, first_number: int) -> None:
        """Write some outcomes; see `Output`."""
        rows = list(rows_of(outcomes))
        _write(folder / _CONVERSATIONS, CONVERSATION_COLUMNS, (row for row, _ in rows))
        _write(folder / _TURNS, TURN_COLUMNS, (turn for _, turns in rows for turn in turns))

    def assemble(self, parts: Sequence[Path], out: Path) -> None:
        """Make one folder of all parts; see `Output`."""
        out.mkdir(exist_ok=True)
        for name in (_CONVERSATIONS, _TURNS):
            join_files([part / name for part in parts], out / name, skipped_lines=1)


def _write(path: Path, columns: Sequence[Column[_Row]], rows: Iterable[_Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(column.name for column in columns)
        for row in rows:
            writer.writerow(_cell(column.kind, column.value(row)) for column in columns)


def _cell(kind: Kind, value: object) -> object:
    if value is None:
        return ""
    if kind in _JSON_KINDS or isinstance(value, bool):
        return json.dumps(value, ensure_ascii=False)
    return value
