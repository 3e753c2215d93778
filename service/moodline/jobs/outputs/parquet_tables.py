"""Parquet: a table of conversations and one of turns. Needs the extra `batch`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from moodline.jobs.errors import JobError
from moodline.jobs.outcomes import Outcome
from moodline.jobs.outputs.columns import (
    CONVERSATION_COLUMNS,
    TURN_COLUMNS,
    Column,
    Kind,
    rows_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

_CONVERSATIONS: Final = "conversations.parquet"
_TURNS: Final = "turns.parquet"
_ROW_GROUP_ROWS: Final = 65_536
_Row = TypeVar("_Row")


class ParquetOutput:
    """Writes both tables with one schema, whatever the rows hold."""

    def __init__(self) -> None:
        """Look for pyarrow.

        Raises:
            JobError: If it is not installed.
        """
        if importlib.util.find_spec("pyarrow") is None:
            raise JobError("Parquet needs pyarrow; install it with: pip install 'moodline[batch]'")

    def write_part(self, outcomes: Sequence[Outcome], folder: Path, *, first_number: int) -> None:
        """Write some outcomes; see `Output`."""
        from pyarrow import parquet

        rows = list(rows_of(outcomes))
        conversations = _table(CONVERSATION_COLUMNS, [row for row, _ in rows])
        turns = _table(TURN_COLUMNS, [turn for _, turns in rows for turn in turns])
        parquet.write_table(conversations, folder / _CONVERSATIONS)
        parquet.write_table(turns, folder / _TURNS)

    def assemble(self, parts: Sequence[Path], out: Path) -> None:
        """Make one folder of all parts; see `Output`."""
        out.mkdir(exist_ok=True)
        _join([p / _CONVERSATIONS for p in parts], out / _CONVERSATIONS, CONVERSATION_COLUMNS)
        _join([p / _TURNS for p in parts], out / _TURNS, TURN_COLUMNS)


def schema_of(columns: Iterable[Column[_Row]]) -> pa.Schema:
    """Return the schema of a table."""
    import pyarrow as pa

    evidence = pa.struct(
        [
            ("aspect", pa.string()),
            ("start", pa.int32()),
            ("end", pa.int32()),
            ("text", pa.string()),
            ("weight", pa.float64()),
        ]
    )
    types: dict[Kind, pa.DataType] = {
        Kind.TEXT: pa.string(),
        Kind.INTEGER: pa.int64(),
        Kind.NUMBER: pa.float64(),
        Kind.FLAG: pa.bool_(),
        Kind.TEXTS: pa.list_(pa.string()),
        Kind.EVIDENCE: pa.list_(evidence),
    }
    return pa.schema([(column.name, types[column.kind]) for column in columns])


def _table(columns: Sequence[Column[_Row]], rows: Sequence[_Row]) -> pa.Table:
    import pyarrow as pa

    values = {column.name: [column.value(row) for row in rows] for column in columns}
    return pa.table(values, schema=schema_of(columns))


def _join(files: Sequence[Path], out: Path, columns: Sequence[Column[_Row]]) -> None:
    """Copy tables into one, in row groups of a size that is quick to read."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = schema_of(columns)
    with parquet.ParquetWriter(out, schema) as writer:
        gathered: list[pa.Table] = []
        row_count = 0
        for file in files:
            table = parquet.read_table(file, schema=schema)
            gathered.append(table)
            row_count += table.num_rows
            if row_count >= _ROW_GROUP_ROWS:
                writer.write_table(pa.concat_tables(gathered))
                gathered, row_count = [], 0
        if gathered:
            writer.write_table(pa.concat_tables(gathered))
