"""CSV with one turn a row, of one conversation or of many, read as a stream.

Source: RFC 4180; headings as in `rows.COLUMNS`; the separator is the comma, semicolon, tab or bar
that makes known headings of the first line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from moodline.errors import FieldViolation, InvalidRequestError
from moodline.transcripts.reading import (
    ReadItem,
    ReadOptions,
    Sample,
    TranscriptFormat,
    TranscriptSource,
    refuse,
)
from moodline.transcripts.rows import RawRow, columns_of, read_rows
from moodline.transcripts.transcript import UnreadableItem

_SEPARATORS: Final = ",;\t|"
# What `surrogateescape` makes of bytes that are no text.
_UNDECODED: Final = re.compile("[\udc80-\udcff]")


def _read(source: TranscriptSource, options: ReadOptions) -> Iterator[ReadItem]:
    encoding = source.encoding(options.encoding)
    with (
        source.open() as stream,
        # Bytes that are no text are refused row by row, as the conversation they are in.
        io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline="") as text,
    ):
        heading = text.readline().lstrip("\N{ZERO WIDTH NO-BREAK SPACE}")
        try:
            separator, headings = _headings(heading, options)
            columns = columns_of(headings, options)
        except InvalidRequestError as error:
            yield UnreadableItem(source.name, "line 1", error.violations)
            return
        rows = _rows(text, separator, headings, columns)
        yield from read_rows(rows, source, options, "csv")


def _headings(line: str, options: ReadOptions) -> tuple[str, list[str]]:
    """Return separator and headings of the first line.

    Raises:
        InvalidRequestError: If no separator makes the headings of turns of it.
    """
    problem: InvalidRequestError | None = None
    for separator in _SEPARATORS:
        try:
            headings = next(csv.reader([line], delimiter=separator, strict=True), [])
        except csv.Error:
            continue
        try:
            columns_of(headings, options)
        except InvalidRequestError as error:
            problem = problem or error
            continue
        return separator, headings
    raise problem or refuse(FieldViolation("header", "is no line of CSV; quote it by RFC 4180"))


def _rows(
    text: io.TextIOWrapper, separator: str, headings: Sequence[str], columns: Mapping[str, str]
) -> Iterator[RawRow]:
    reader = csv.reader(text, delimiter=separator, strict=True)
    while True:
        # The heading is line 1; quoted cells may hold line breaks.
        number = reader.line_num + 2
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield RawRow(number, {}, problem=f"is no row of CSV ({error}); quote it by RFC 4180")
            continue
        if any(row):
            yield _row(number, row, headings, columns)


def _row(
    number: int, row: Sequence[str], headings: Sequence[str], columns: Mapping[str, str]
) -> RawRow:
    problem = ""
    if len(row) != len(headings):
        problem = (
            f"has {len(row)} cells instead of {len(headings)}; put cells with a separator or a "
            "line break in quotes"
        )
    elif any(_UNDECODED.search(cell) for cell in row):
        problem = "is not in the encoding of the file; save it as UTF-8, or name its encoding"
    cells = {
        heading: cell
        for heading, cell in zip(headings, row, strict=False)
        if not _UNDECODED.search(cell)
    }
    known = {ours: cells[heading] for heading, ours in columns.items() if heading in cells}
    others = {name: cell for name, cell in cells.items() if name and name not in columns}
    return RawRow(number, known, others, problem)


def _is_table(sample: Sample) -> bool:
    first_line = sample.text.partition("\n")[0].lstrip("\N{ZERO WIDTH NO-BREAK SPACE}").rstrip("\r")
    try:
        _headings(first_line, sample.options)
    except InvalidRequestError:
        return False
    return True


CSV: Final = TranscriptFormat(
    name="csv",
    title="CSV, one turn a row",
    identified_by="a first line with a heading of the text and one of the speaker, such as "
    "`role,text`, or headings that you map to these",
    detect=_is_table,
    read=_read,
)
