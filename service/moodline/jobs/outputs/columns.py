"""The columns of the two tables, in one place: Parquet, CSV and their documentation follow it.

Neither table holds what was said, except the few words of `evidence`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeAlias, TypeVar

from moodline.domain import SentimentLabel, UrgencyLevel
from moodline.jobs.answers import Scored
from moodline.jobs.outcomes import Outcome
from moodline.transcripts import TranscriptTurn

Record: TypeAlias = Mapping[str, Any]
_Row = TypeVar("_Row")


class Kind(StrEnum):
    """Type of a column; every column may be null."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "flag"
    TEXTS = "texts"
    EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True)
class Column(Generic[_Row]):
    """A column: its name, its type, and what stands in it."""

    name: str
    kind: Kind
    value: Callable[[_Row], object]


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """An outcome, with its analysis where there is one."""

    outcome: Outcome
    analysis: Record

    def at(self, *keys: str) -> object:
        """Return a value of the analysis; None where there is none."""
        return at(self.analysis, *keys)


@dataclass(frozen=True, slots=True)
class TurnRow:
    """A turn of a scored conversation."""

    outcome: Outcome
    conversation_id: str
    said: TranscriptTurn
    result: Record

    def at(self, *keys: str) -> object:
        """Return a value of the turn's result; None where there is none."""
        return at(self.result, *keys)


def at(record: Record, *keys: str) -> object:
    """Return a value deep in a record; None where there is none."""
    value: object = record
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def rows_of(outcomes: Sequence[Outcome]) -> Iterator[tuple[ConversationRow, list[TurnRow]]]:
    """Yield the row of each conversation with those of its turns; a refused one has no turns."""
    for outcome in outcomes:
        answer, transcript = outcome.answer, outcome.item.transcript
        if not isinstance(answer, Scored) or transcript is None:
            yield ConversationRow(outcome, {}), []
            continue
        analysis = answer.record()
        turns = [
            TurnRow(outcome, transcript.conversation_id, said, result)
            for said, result in zip(transcript.turns, analysis["turns"], strict=True)
        ]
        yield ConversationRow(outcome, analysis), turns


def _of_analysis(name: str, kind: Kind, *keys: str) -> Column[ConversationRow]:
    return Column(name, kind, lambda row: row.at(*keys))


def _of_turn(name: str, kind: Kind, *keys: str) -> Column[TurnRow]:
    return Column(name, kind, lambda row: row.at(*keys))


def _named(value: object) -> list[object]:
    """Return the names of what the analysis lists as objects."""
    return [one["name"] for one in value] if isinstance(value, list) else []


def _warnings(row: ConversationRow) -> list[str]:
    transcript = row.outcome.item.transcript
    told = row.at("warnings")
    return [
        *(warning.code.value for warning in (transcript.warnings if transcript else ())),
        *(one["code"] for one in (told if isinstance(told, list) else [])),
    ]


def _errors(row: ConversationRow) -> list[str]:
    refusal = row.outcome.refusal
    violations = refusal.violations if refusal else ()
    return [f"{one.field} {one.description}".strip() for one in violations]


def _format_name(row: ConversationRow) -> str | None:
    transcript = row.outcome.item.transcript
    return transcript.format_name if transcript else None


def _channel(row: ConversationRow) -> str | None:
    transcript = row.outcome.item.transcript
    return (transcript.channel or None) if transcript else None


def _turn_count(row: ConversationRow) -> int | None:
    transcript = row.outcome.item.transcript
    return len(transcript.turns) if transcript else None


CONVERSATION_COLUMNS: Final[tuple[Column[ConversationRow], ...]] = (
    Column("source", Kind.TEXT, lambda row: row.outcome.item.source),
    Column("number", Kind.INTEGER, lambda row: row.outcome.item.number),
    Column("place", Kind.TEXT, lambda row: row.outcome.item.place),
    Column("conversation_id", Kind.TEXT, lambda row: row.outcome.item.conversation_id or None),
    Column("status", Kind.TEXT, lambda row: "scored" if row.outcome.is_scored else "failed"),
    Column("error_code", Kind.TEXT, lambda row: row.outcome.refusal and row.outcome.refusal.code),
    Column("errors", Kind.TEXTS, _errors),
    Column("format", Kind.TEXT, _format_name),
    Column("channel", Kind.TEXT, _channel),
    _of_analysis("language", Kind.TEXT, "language"),
    _of_analysis("is_language_measured", Kind.FLAG, "is_language_measured"),
    Column("turn_count", Kind.INTEGER, _turn_count),
    _of_analysis("customer_turn_count", Kind.INTEGER, "sentiment", "customer_turn_count"),
    _of_analysis("sentiment_label", Kind.TEXT, "sentiment", "label"),
    _of_analysis("sentiment_score", Kind.NUMBER, "sentiment", "score"),
    _of_analysis("sentiment_begin_score", Kind.NUMBER, "sentiment", "begin_score"),
    _of_analysis("sentiment_end_score", Kind.NUMBER, "sentiment", "end_score"),
    Column("sentiment_trend", Kind.TEXT, lambda row: row.at("sentiment", "trend", "label") or None),
    _of_analysis("urgency_level", Kind.TEXT, "urgency", "level"),
    _of_analysis("urgency_peak_level", Kind.TEXT, "urgency", "peak", "level"),
    _of_analysis("urgency_peak_turn_index", Kind.INTEGER, "urgency", "peak_turn_index"),
    _of_analysis("stage", Kind.TEXT, "stage", "name"),
    Column("stage_path", Kind.TEXTS, lambda row: _named(row.at("stage", "stage_path"))),
    _of_analysis("escalation_level", Kind.TEXT, "escalation", "level"),
    _of_analysis("escalation_probability", Kind.NUMBER, "escalation", "probability"),
    _of_analysis("escalation_peak_level", Kind.TEXT, "escalation", "peak_level"),
    _of_analysis("escalation_peak_probability", Kind.NUMBER, "escalation", "peak_probability"),
    _of_analysis("escalation_first_turn_index", Kind.INTEGER, "escalation", "first_turn_index"),
    _of_analysis("expected_csat", Kind.NUMBER, "expected_csat"),
    Column("tags", Kind.TEXTS, lambda row: _named(row.at("tags"))),
    Column("absence", Kind.TEXT, lambda row: row.at("absence") or None),
    Column("warnings", Kind.TEXTS, _warnings),
    _of_analysis("model_version", Kind.TEXT, "model_version"),
    _of_analysis("configuration_digest", Kind.TEXT, "configuration_digest"),
)

TURN_COLUMNS: Final[tuple[Column[TurnRow], ...]] = (
    Column("source", Kind.TEXT, lambda row: row.outcome.item.source),
    Column("number", Kind.INTEGER, lambda row: row.outcome.item.number),
    Column("conversation_id", Kind.TEXT, lambda row: row.conversation_id),
    _of_turn("turn_index", Kind.INTEGER, "turn_index"),
    Column("turn_id", Kind.TEXT, lambda row: row.said.turn_id or None),
    _of_turn("role", Kind.TEXT, "role"),
    Column("participant_id", Kind.TEXT, lambda row: row.said.participant_id or None),
    Column("start_ms", Kind.INTEGER, lambda row: row.said.start_ms),
    Column("end_ms", Kind.INTEGER, lambda row: row.said.end_ms),
    _of_turn("sentiment_label", Kind.TEXT, "sentiment", "label"),
    _of_turn("sentiment_score", Kind.NUMBER, "sentiment", "score"),
    *(
        _of_turn(f"p_{label.lower()}", Kind.NUMBER, "sentiment", "probabilities", label)
        for label in SentimentLabel
    ),
    _of_turn("urgency_level", Kind.TEXT, "urgency", "level"),
    *(
        _of_turn(f"p_urgency_{level.lower()}", Kind.NUMBER, "urgency", "probabilities", level)
        for level in UrgencyLevel
    ),
    _of_turn("stage", Kind.TEXT, "stage", "name"),
    _of_turn("stage_probability", Kind.NUMBER, "stage", "probability"),
    Column("tags", Kind.TEXTS, lambda row: _named(row.at("tags"))),
    _of_turn("escalation_level", Kind.TEXT, "escalation", "level"),
    _of_turn("escalation_probability", Kind.NUMBER, "escalation", "probability"),
    _of_turn("early_warning_probability", Kind.NUMBER, "escalation", "early_warning_probability"),
    _of_turn("expected_csat", Kind.NUMBER, "expected_csat"),
    Column("absence", Kind.TEXT, lambda row: row.at("absence") or None),
    Column("evidence", Kind.EVIDENCE, lambda row: row.at("evidence") or []),
)
