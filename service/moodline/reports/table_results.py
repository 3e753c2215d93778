"""Reads results that are two tables, Parquet or CSV, row by row and side by side."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import ValidationError

from moodline.domain import EscalationLevel, SentimentLabel, UrgencyLevel
from moodline.jobs.outputs.columns import CONVERSATION_COLUMNS, TURN_COLUMNS, Column, Kind
from moodline.reports.errors import ReportError
from moodline.reports.records import Csat, Record, Score, SignalRecord, problem_of
from moodline.reports.results import (
    Entry,
    FailedItem,
    Rollup,
    ScoredConversation,
    ScoredTurn,
    legible,
)

CONVERSATIONS: Final = "conversations"
TURNS: Final = "turns"

_BATCH_ROWS: Final = 4096
_OPTIONAL_COLUMNS: Final = frozenset({"place", "signals"})
"""Older tables lack them."""
_Row = TypeVar("_Row", bound=Record)


class _ConversationRow(Record):
    source: str
    number: int
    place: str | None = None
    status: Literal["scored", "failed"]
    conversation_id: str | None
    error_code: str | None
    errors: tuple[str, ...] | None
    channel: str | None
    language: str | None
    is_language_measured: bool | None
    turn_count: int | None
    sentiment_score: Score | None
    sentiment_begin_score: Score | None
    sentiment_end_score: Score | None
    sentiment_trend: str | None
    urgency_level: UrgencyLevel | None
    urgency_peak_level: UrgencyLevel | None
    stage_path: tuple[str, ...] | None
    escalation_level: EscalationLevel | None
    escalation_peak_level: EscalationLevel | None
    expected_csat: Csat | None
    absence: str | None
    warnings: tuple[str, ...] | None
    signals: tuple[SignalRecord, ...] | None = None
    model_version: str | None
    configuration_digest: str | None

    def failure(self) -> FailedItem:
        return FailedItem(
            source=legible(self.source),
            place=legible(self.place or f"conversation {self.number}"),
            conversation_id=legible(self.conversation_id or ""),
            code=legible(self.error_code or ""),
            problems=tuple(map(legible, self.errors or ())),
        )

    def conversation(self, turns: Iterable[_TurnRow]) -> ScoredConversation:
        scored = (turn.turn() for turn in turns)
        return ScoredConversation(
            conversation_id=legible(self.conversation_id or ""),
            source=legible(self.source),
            number=self.number,
            channel=legible(self.channel or ""),
            language=legible(self.language or "und"),
            is_language_measured=self.is_language_measured,
            turn_count=self.turn_count or 0,
            rollup=self._rollup(),
            absence=legible(self.absence or ""),
            turns=tuple(turn for turn in scored if turn is not None),
            warnings=tuple(map(legible, self.warnings or ())),
            signals=None if self.signals is None else tuple(s.signal() for s in self.signals),
            model=(legible(self.model_version or ""), legible(self.configuration_digest or "")),
        )

    def _rollup(self) -> Rollup | None:
        score = self.sentiment_score
        urgency, urgency_peak = self.urgency_level, self.urgency_peak_level
        escalation, escalation_peak = self.escalation_level, self.escalation_peak_level
        if score is None or not (urgency and urgency_peak and escalation and escalation_peak):
            return None
        return Rollup(
            score=score,
            begin_score=self.sentiment_begin_score,
            end_score=self.sentiment_end_score,
            trend=legible(self.sentiment_trend or ""),
            urgency_level=urgency,
            urgency_peak_level=urgency_peak,
            escalation_level=escalation,
            escalation_peak_level=escalation_peak,
            stage_path=tuple(map(legible, self.stage_path or ())),
            expected_csat=self.expected_csat,
        )


class _TurnRow(Record):
    source: str
    number: int
    turn_index: int
    sentiment_label: SentimentLabel | None
    sentiment_score: Score | None
    stage: str | None
    tags: tuple[str, ...] | None

    def turn(self) -> ScoredTurn | None:
        if self.sentiment_label is None or self.sentiment_score is None:
            return None
        return ScoredTurn(
            turn_index=self.turn_index,
            label=self.sentiment_label,
            score=self.sentiment_score,
            stage=legible(self.stage or "none"),
            tags=tuple(map(legible, self.tags or ())),
        )


def read_parquet_tables(folder: Path) -> Iterator[Entry]:
    """Yield one entry a conversation.

    Raises:
        ReportError: If the tables are not those of `moodline score`, or pyarrow is missing.
        OSError: If they cannot be read.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ReportError("Parquet needs pyarrow; install it with: pip install 'moodline[batch]'")
    return _joined(folder, ".parquet", _parquet_rows)


def read_csv_tables(folder: Path) -> Iterator[Entry]:
    """Yield one entry a conversation.

    Raises:
        ReportError: If the tables are not those of `moodline score`.
        OSError: If they cannot be read.
    """
    return _joined(folder, ".csv", _csv_rows)


_Rows = Callable[[Path, Sequence[str]], Iterator[Mapping[str, object]]]


def _joined(folder: Path, ending: str, rows: _Rows) -> Iterator[Entry]:
    """Go through both tables at once: their rows are in the same order."""
    turn_file = folder / f"{TURNS}{ending}"
    conversation_file = folder / f"{CONVERSATIONS}{ending}"
    # Closed here: an error would keep them, and the files below them, open until it is forgotten.
    with (
        closing(_checked(turn_file, _TurnRow, rows)) as turn_rows,
        closing(_checked(conversation_file, _ConversationRow, rows)) as conversation_rows,
    ):
        turns = groupby(turn_rows, key=lambda turn: (turn.source, turn.number))
        for row in conversation_rows:
            if row.status == "failed":
                yield row.failure()
                continue
            key, group = next(turns, (None, iter(())))
            own = list(group)
            if key != (row.source, row.number) or len(own) != row.turn_count:
                raise _not_in_order(turn_file, conversation_file)
            yield row.conversation(own)
        if next(turns, None) is not None:
            raise _not_in_order(turn_file, conversation_file)


def _not_in_order(turn_file: Path, conversation_file: Path) -> ReportError:
    return ReportError(
        f"{turn_file}: its rows are not those of {conversation_file.name}, in their order; give "
        "both tables as moodline score wrote them."
    )


def _checked(path: Path, model: type[_Row], rows: _Rows) -> Generator[_Row, None, None]:
    if not path.is_file():
        raise ReportError(f"{path} is missing; results in tables are two files, side by side.")
    wanted = list(model.model_fields)
    for number, row in enumerate(rows(path, wanted), 1):
        try:
            yield model.model_validate(row)
        except ValidationError as error:
            problem = problem_of(error)
        else:
            continue
        raise ReportError(f"{path}: row {number} is no result of moodline score: {problem}.")


def _parquet_rows(path: Path, wanted: Sequence[str]) -> Iterator[Mapping[str, object]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            present = _present(path, wanted, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=present):
                yield from batch.to_pylist()
    except pa.ArrowInvalid:
        raise ReportError(f"{path} is no Parquet, or is damaged; write it again.") from None


def _csv_rows(path: Path, wanted: Sequence[str]) -> Iterator[Mapping[str, object]]:
    columns: tuple[Column[Any], ...] = (*CONVERSATION_COLUMNS, *TURN_COLUMNS)
    kinds = {column.name: column.kind for column in columns}
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
            present = _present(path, wanted, header)
            places = [(name, header.index(name), kinds.get(name, Kind.TEXTS)) for name in present]
            for cells in reader:
                _check_length(cells, header)
                yield {name: _cell_value(kind, cells[place]) for name, place, kind in places}
        except (csv.Error, UnicodeDecodeError) as error:
            problem = error if isinstance(error, csv.Error) else "it is not UTF-8"
            raise ReportError(f"{path}: line {reader.line_num}: {problem}.") from None


def _check_length(cells: Sequence[str], header: Sequence[str]) -> None:
    if len(cells) != len(header):
        raise csv.Error(f"has {len(cells)} cells, expected {len(header)}")


def _cell_value(kind: Kind, cell: str) -> object:
    """Return what a cell says; what is no JSON is left to the check of the row."""
    if cell == "":
        return None
    if kind is not Kind.TEXTS:
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _present(path: Path, wanted: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the columns to read.

    Raises:
        ReportError: If one is missing that older results have, too.
    """
    missing = [name for name in wanted if name not in {*names, *_OPTIONAL_COLUMNS}]
    if missing:
        raise ReportError(
            f"{path} has no column {', '.join(missing)}; a report reads the tables that "
            "moodline score writes."
        )
    return [name for name in wanted if name in names]
