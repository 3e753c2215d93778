"""Parquet: our own JSON as rows with a list of turns, or a flat table with one turn a row.

Read batch by batch, so that a file larger than memory streams. Needs the extra `batch`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from moodline.errors import FieldViolation, InvalidRequestError
from moodline.transcripts.jsonl import read_conversation
from moodline.transcripts.reading import (
    Document,
    ReadItem,
    ReadOptions,
    TranscriptFormat,
    TranscriptSource,
)
from moodline.transcripts.rows import RawRow, columns_of, read_rows
from moodline.transcripts.transcript import UnreadableItem

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

# Rows that are in memory at a time: conversations, or turns of a flat table.
_CONVERSATION_BATCH_ROWS: Final = 64
_TURN_BATCH_ROWS: Final = 2_048
_MAGIC: Final = b"PAR1"


def _read(source: TranscriptSource, options: ReadOptions) -> Iterator[ReadItem]:
    if importlib.util.find_spec("pyarrow") is None:
        yield _refused(source, "needs pyarrow; install it with: pip install 'moodline[batch]'")
        return
    if source.path is None:
        yield _refused(source, "cannot be read from a stream; name it as a file")
        return
    # An optional extra, and slow to load for those who read other formats.
    import pyarrow as pa

    try:
        yield from _read_file(source, source.path, options)
    except pa.ArrowException:
        yield _refused(source, "is damaged, or no Parquet; write it again")


def _read_file(source: TranscriptSource, path: Path, options: ReadOptions) -> Iterator[ReadItem]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        headings = file.schema_arrow.names
        if "turns" in headings:
            yield from _conversations(file, source, options)
            return
        try:
            columns = columns_of(headings, options)
        except InvalidRequestError as error:
            yield UnreadableItem(source.name, "schema", error.violations)
            return
        yield from read_rows(_rows(file, columns), source, options, "parquet")


def _conversations(
    file: ParquetFile, source: TranscriptSource, options: ReadOptions
) -> Iterator[ReadItem]:
    number = 0
    for batch in file.iter_batches(batch_size=_CONVERSATION_BATCH_ROWS):
        for record in batch.to_pylist():
            number += 1
            document = Document(record, f"{source.stem}-{number}", f"row {number}")
            try:
                yield from read_conversation(document, options, "parquet")
            except InvalidRequestError as error:
                yield UnreadableItem(source.name, document.place, error.violations)


def _rows(file: ParquetFile, columns: dict[str, str]) -> Iterator[RawRow]:
    number = 0
    for batch in file.iter_batches(batch_size=_TURN_BATCH_ROWS):
        for record in batch.to_pylist():
            number += 1
            cells = {ours: record[heading] for heading, ours in columns.items()}
            others = {name: value for name, value in record.items() if name not in columns}
            yield RawRow(number, cells, others)


def _refused(source: TranscriptSource, problem: str) -> UnreadableItem:
    return UnreadableItem(source.name, "", (FieldViolation("", problem),))


PARQUET: Final = TranscriptFormat(
    name="parquet",
    title="Parquet, one conversation or one turn a row",
    identified_by="magic bytes `PAR1`; a column `turns`, or the headings of CSV",
    detect=lambda sample: sample.head.startswith(_MAGIC),
    read=_read,
)
