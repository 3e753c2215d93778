"""Tables with one turn a row, grouped into conversations as the rows come.

One conversation is held at a time, so its rows must follow each other.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from moodline.errors import FieldViolation, InvalidRequestError
from moodline.limits import Limits
from moodline.transcripts.assembly import Clock, Said, assemble
from moodline.transcripts.labels import milliseconds_of
from moodline.transcripts.reading import ReadItem, ReadOptions, TranscriptSource, refuse
from moodline.transcripts.records import (
    EpochMs,
    Milliseconds,
    Record,
    SecondsAsMs,
    Text,
    bounded,
    epoch_ms,
    finite_number,
    read_record,
)
from moodline.transcripts.transcript import (
    SkippedTurn,
    SkipReason,
    Transcript,
    TranscriptTurn,
    UnreadableItem,
)
from moodline.transcripts.vocabulary import role_of, vendor_sentiment

MAX_CONVERSATION_TURNS: Final = Limits().max_stream_turns
MAX_REMEMBERED_IDS: Final = 65_536
"""Finished conversations whose later rows are recognised: a bound on memory, not on input."""

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "conversation_id": (
        "conversation_id",
        "conversation",
        "conversationid",
        "call_id",
        "chat_id",
        "contact_id",
        "session_id",
        "interaction_id",
        "ticket_id",
        "case_id",
        "thread_id",
    ),
    "channel": ("channel", "medium", "media_type"),
    "language": ("language", "lang", "locale", "language_code"),
    "started_at": ("started_at", "conversation_started_at"),
    "turn_id": ("turn_id", "message_id", "utterance_id"),
    "role": (
        "role",
        "speaker_role",
        "participant_role",
        "sender_role",
        "author_role",
        "speaker_type",
        "sender_type",
        "speaker",
        "sender",
        "author",
        "from",
        "participant",
    ),
    "participant_id": (
        "participant_id",
        "speaker_id",
        "sender_id",
        "author_id",
        "participant",
        "speaker_name",
        "sender_name",
        "author_name",
        "speaker",
        "sender",
        "author",
    ),
    "text": (
        "text",
        "utterance",
        "message",
        "content",
        "body",
        "transcript",
        "sentence",
        "phrase",
    ),
    "start_ms": ("start_ms", "start_offset_ms", "begin_ms", "begin_offset_millis", "offset_ms"),
    "end_ms": ("end_ms", "end_offset_ms", "end_offset_millis"),
    "start_s": ("start_s", "start_seconds", "start_sec"),
    "end_s": ("end_s", "end_seconds", "end_sec"),
    "start": ("start", "start_time", "timestamp", "time", "begin", "created_at", "sent_at", "date"),
    "end": ("end", "end_time"),
    "private": ("private", "is_private", "internal", "is_internal", "private_note"),
    "vendor_sentiment": ("vendor_sentiment",),
}
"""Our columns, and the headings that are taken for them, the surest first."""

_CLOCK: Final = re.compile(r"(?:\d{1,3}:)?\d{1,2}:\d{2}(?:[.,]\d{1,3})?")


@dataclass(frozen=True, slots=True)
class _Time:
    """A time of a row: since the beginning, or since the epoch."""

    milliseconds: int
    is_epoch: bool


def _time(value: object) -> _Time:
    """Return a time written as `01:02`, as a number of seconds, or as a date and time."""
    if isinstance(value, datetime):
        return _Time(epoch_ms(value.isoformat()), is_epoch=True)
    text = str(value).strip()
    if _CLOCK.fullmatch(text):
        return _Time(milliseconds_of(text), is_epoch=False)
    try:
        seconds = finite_number(value)
    except ValueError:
        return _Time(epoch_ms(value), is_epoch=True)
    milliseconds = epoch_ms(value)
    # As a number of seconds since the conversation began, half a year is no conversation.
    is_epoch = abs(seconds) > 180 * 86_400
    return _Time(milliseconds, is_epoch=is_epoch)


def _moment(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


_Offset = Annotated[Milliseconds, Field(ge=0)]
_Seconds = Annotated[SecondsAsMs, Field(ge=0)]
_Moment = Annotated[EpochMs, BeforeValidator(_moment)]


class _Row(Record):
    conversation_id: Text = ""
    channel: Text = ""
    language: Text = ""
    started_at: _Moment | None = None
    turn_id: Text = ""
    role: Text = ""
    participant_id: Text = ""
    text: Text = ""
    start_ms: _Offset | None = None
    end_ms: _Offset | None = None
    start_s: _Seconds | None = None
    end_s: _Seconds | None = None
    start: Annotated[_Time, BeforeValidator(_time)] | None = None
    end: Annotated[_Time, BeforeValidator(_time)] | None = None
    private: bool = False
    vendor_sentiment: Text = ""

    @property
    def times(self) -> tuple[_Time | None, _Time | None]:
        """Start and end, from whichever columns there are."""
        return self._first(self.start_ms, self.start_s, self.start), self._first(
            self.end_ms, self.end_s, self.end
        )

    @staticmethod
    def _first(*values: int | _Time | None) -> _Time | None:
        value = next((value for value in values if value is not None), None)
        return _Time(value, is_epoch=False) if isinstance(value, int) else value


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row before it is checked.

    Attributes:
        number: Line or row, from 1.
        cells: Value by our column.
        others: Value by heading, of the other columns.
        problem: Why the cells cannot be trusted, if so.
    """

    number: int
    cells: Mapping[str, object]
    others: Mapping[str, object] = field(default_factory=dict)
    problem: str = ""


def columns_of(headings: Sequence[str], options: ReadOptions) -> dict[str, str]:
    """Return our column by heading, for the headings that are known.

    Raises:
        InvalidRequestError: If the columns of a turn are not there, or `options` names a column
            that is none of ours.
    """
    strange = sorted(set(options.columns.values()) - set(COLUMNS))
    if strange:
        known = ", ".join(COLUMNS)
        raise refuse(
            *(FieldViolation(name, f"is no column; use one of {known}") for name in strange)
        )
    by_name = {_normalized(heading): heading for heading in reversed(headings)}
    taken = {heading: ours for heading, ours in options.columns.items() if heading in headings}
    for ours, names in COLUMNS.items():
        if ours in taken.values():
            continue
        free = (by_name[name] for name in names if name in by_name and by_name[name] not in taken)
        heading = next(free, None)
        if heading is not None:
            taken[heading] = ours
    missing = [
        FieldViolation(
            "header",
            f"has no column of {what}: looked for {', '.join(names)}; rename one, or map it",
        )
        for what, names, is_there in (
            ("the text", COLUMNS["text"], "text" in taken.values()),
            ("the speaker", COLUMNS["role"], {"role", "participant_id"} & set(taken.values())),
        )
        if not is_there
    ]
    if missing:
        raise refuse(*missing)
    return taken


def _normalized(heading: str) -> str:
    return re.sub(r"\W+", "_", heading.strip().casefold()).strip("_")


def read_rows(
    rows: Iterable[RawRow], source: TranscriptSource, options: ReadOptions, format_name: str
) -> Iterator[ReadItem]:
    """Yield the conversations of a table, each as soon as its last row is read.

    A table without conversation id is one conversation. A row that cannot be read makes its
    conversation an `UnreadableItem`; so do rows that come after those of another conversation.
    """
    grouper = _Grouper(source, options, format_name)
    for row in rows:
        yield from grouper.add(row)
    yield from grouper.finish()


@dataclass(slots=True)
class _Group:
    """The rows of one conversation so far."""

    conversation_id: str
    first_number: int
    last_number: int
    rows: list[tuple[RawRow, _Row]] = field(default_factory=list)
    violations: list[FieldViolation] = field(default_factory=list)


class _Grouper:
    """Holds the conversation under way, and the ids of finished ones."""

    def __init__(self, source: TranscriptSource, options: ReadOptions, format_name: str) -> None:
        self._source = source
        self._options = options
        self._format_name = format_name
        self._unit = "row" if format_name == "parquet" else "line"
        self._group: _Group | None = None
        self._finished: OrderedDict[str, int] = OrderedDict()

    def add(self, row: RawRow) -> Iterator[ReadItem]:
        """Take the next row, and yield the conversation that it ends, if it does."""
        conversation_id = str(row.cells.get("conversation_id") or "")
        # A row that is too broken to tell belongs to where it stands.
        is_lost = bool(row.problem) and not conversation_id
        if self._group is None or not (is_lost or conversation_id == self._group.conversation_id):
            yield from self.finish()
            self._group = _Group(conversation_id, row.number, row.number)
            self._check_id(self._group, has_ids="conversation_id" in row.cells)
        self._group.last_number = row.number
        self._check_row(self._group, row)

    def finish(self) -> Iterator[ReadItem]:
        """Yield the conversation under way, if there is one."""
        group, self._group = self._group, None
        if group is None:
            return
        self._finished[group.conversation_id] = group.first_number
        if len(self._finished) > MAX_REMEMBERED_IDS:
            self._finished.popitem(last=False)
        if not group.violations:
            try:
                yield self._transcript(group)
            except InvalidRequestError as error:
                group.violations.extend(error.violations)
        if group.violations:
            place = f"{self._unit} {group.first_number}"
            if group.last_number > group.first_number:
                place = f"{place}-{group.last_number}"
            told = tuple(bounded(group.violations))
            yield UnreadableItem(self._source.name, place, told, group.conversation_id)

    def _check_id(self, group: _Group, *, has_ids: bool) -> None:
        if has_ids and not group.conversation_id:
            group.violations.append(
                FieldViolation("conversation_id", "is empty; fill it in on every row")
            )
        earlier = self._finished.get(group.conversation_id)
        if earlier is not None and group.conversation_id:
            group.violations.append(
                FieldViolation(
                    "conversation_id",
                    f"was already read from {self._unit} {earlier} on, and other conversations "
                    "stand between; what was read there is not whole: sort the table by "
                    "conversation and time",
                )
            )

    def _check_row(self, group: _Group, row: RawRow) -> None:
        at = f"{self._unit} {row.number}"
        if row.problem:
            group.violations.append(FieldViolation(at, row.problem))
        elif len(group.rows) >= MAX_CONVERSATION_TURNS:
            if not group.violations:
                group.violations.append(
                    FieldViolation(
                        at,
                        f"is turn {MAX_CONVERSATION_TURNS + 1} of one conversation; if there are "
                        "more than one, tell them apart by a column conversation_id",
                    )
                )
        else:
            try:
                cells = {name: value for name, value in row.cells.items() if value != ""}
                group.rows.append((row, read_record(_Row, cells, at=at)))
            except InvalidRequestError as error:
                group.violations.extend(error.violations)

    def _transcript(self, group: _Group) -> Transcript:
        rows = [row for _, row in group.rows]
        has_epoch = {time.is_epoch for row in rows for time in row.times if time is not None}
        if len(has_epoch) > 1:
            raise refuse(
                FieldViolation("start", "mixes dates and offsets; write all times in one way")
            )
        shared = _shared([raw.others for raw, _ in group.rows])
        said = (self._said(raw, row, shared) for raw, row in group.rows)
        return assemble(
            said,
            conversation_id=group.conversation_id or self._source.stem,
            format_name=self._format_name,
            options=self._options,
            clock=Clock.EPOCH if True in has_epoch else Clock.CONVERSATION,
            begin_ms=next((row.started_at for row in rows if row.started_at is not None), None),
            is_ordered=True,
            channel=next((row.channel for row in rows if row.channel), ""),
            language=next((row.language for row in rows if row.language), ""),
            attributes=shared,
        )

    def _said(self, raw: RawRow, row: _Row, shared: Mapping[str, object]) -> Said:
        start, end = row.times
        label = row.role or row.participant_id
        role = role_of(label)
        turn = TranscriptTurn(
            role=role,
            text=row.text,
            turn_id=row.turn_id,
            # A label that says more than the role, such as `Agent 2`, tells who exactly.
            participant_id=row.participant_id or ("" if label.casefold() == role else label),
            start_ms=start.milliseconds if start else None,
            end_ms=end.milliseconds if end else None,
            vendor_sentiment=vendor_sentiment(row.vendor_sentiment),
            attributes={
                name: value
                for name, value in raw.others.items()
                if name not in shared and value not in (None, "")
            },
            place=f"{self._unit} {raw.number}",
        )
        return SkippedTurn(SkipReason.PRIVATE_NOTE, turn) if row.private else turn


def _shared(cells: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Return the columns that say the same in every row: they are about the conversation."""
    first = cells[0] if cells else {}
    return {
        name: value
        for name, value in first.items()
        if value not in (None, "") and all(other.get(name) == value for other in cells)
    }
