"""Checks what is read against what `moodline score` writes; unknown keys are let pass."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moodline.domain import EscalationLevel, SentimentLabel, UrgencyLevel
from moodline.reports.errors import ReportError
from moodline.reports.results import (
    FailedItem,
    RaisedSignal,
    Rollup,
    ScoredConversation,
    ScoredTurn,
    legible,
)

Score = Annotated[float, Field(ge=-1, le=1)]
Csat = Annotated[float, Field(ge=1, le=5)]


class Record(BaseModel):
    """What all records share."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Named(Record):
    """A stage or a tag."""

    name: str


class Coded(Record):
    """A warning."""

    code: str


class SignalRecord(Record):
    """A signal of the roll-up."""

    reason: str
    severity: str

    def signal(self) -> RaisedSignal:
        """Return what a report reads of it."""
        return RaisedSignal(legible(self.reason), legible(self.severity))


class TrendRecord(Record):
    """How the mood went."""

    label: str = ""


class SentimentRecord(Record):
    """Sentiment of a conversation."""

    score: Score
    begin_score: Score | None = None
    end_score: Score | None = None
    trend: TrendRecord = TrendRecord()


class LevelOfUrgency(Record):
    """Urgency of a turn."""

    level: UrgencyLevel


class UrgencyRecord(LevelOfUrgency):
    """Urgency of a conversation."""

    peak: LevelOfUrgency


class EscalationRecord(Record):
    """Escalation of a conversation."""

    level: EscalationLevel
    peak_level: EscalationLevel


class StageRecord(Record):
    """Stages of a conversation."""

    stage_path: tuple[Named, ...] = ()


class TurnSentimentRecord(Record):
    """Sentiment of a turn."""

    label: SentimentLabel
    score: Score


class TurnRecord(Record):
    """A turn of JSON lines."""

    turn_index: int
    sentiment: TurnSentimentRecord | None = None
    stage: Named | None = None
    tags: tuple[Named, ...] = ()

    def turn(self) -> ScoredTurn | None:
        """Return what a report reads of it; None if it has no scores."""
        if self.sentiment is None:
            return None
        return ScoredTurn(
            turn_index=self.turn_index,
            label=self.sentiment.label,
            score=self.sentiment.score,
            stage=legible(self.stage.name) if self.stage else "none",
            tags=names_of(self.tags),
        )


def names_of(named: tuple[Named, ...]) -> tuple[str, ...]:
    """Return names to show."""
    return tuple(legible(one.name) for one in named)


def rollup_of(
    sentiment: SentimentRecord | None,
    urgency: UrgencyRecord | None,
    escalation: EscalationRecord | None,
    stage: StageRecord | None,
    expected_csat: float | None,
) -> Rollup | None:
    """Return the scores of a conversation; None if there are none.

    Raises:
        ReportError: If there are some but not all of them.
    """
    if sentiment is None and urgency is None and escalation is None:
        return None
    if sentiment is None or urgency is None or escalation is None:
        raise ReportError("holds scores in part; write the results again")
    return Rollup(
        score=sentiment.score,
        begin_score=sentiment.begin_score,
        end_score=sentiment.end_score,
        trend=legible(sentiment.trend.label),
        urgency_level=urgency.level,
        urgency_peak_level=urgency.peak.level,
        escalation_level=escalation.level,
        escalation_peak_level=escalation.peak_level,
        stage_path=names_of(stage.stage_path) if stage else (),
        expected_csat=expected_csat,
    )


class ScoredRecord(Record):
    """A line of JSON lines: a conversation that was scored."""

    status: Literal["scored"]
    source: str
    number: int
    channel: str = ""
    conversation_id: str
    language: str
    is_language_measured: bool
    absence: str
    sentiment: SentimentRecord | None = None
    urgency: UrgencyRecord | None = None
    escalation: EscalationRecord | None = None
    stage: StageRecord | None = None
    expected_csat: Csat | None = None
    warnings: tuple[Coded, ...] = ()
    transcript_warnings: tuple[Coded, ...] = ()
    signals: tuple[SignalRecord, ...] | None = None
    turns: tuple[TurnRecord, ...]
    model_version: str
    configuration_digest: str

    def entry(self) -> ScoredConversation:
        """Return what a report reads of it.

        Raises:
            ReportError: If there are scores in part.
        """
        turns = (turn.turn() for turn in self.turns)
        codes = (*self.transcript_warnings, *self.warnings)
        return ScoredConversation(
            conversation_id=legible(self.conversation_id),
            source=legible(self.source),
            number=self.number,
            channel=legible(self.channel),
            language=legible(self.language),
            is_language_measured=self.is_language_measured,
            turn_count=len(self.turns),
            rollup=rollup_of(
                self.sentiment, self.urgency, self.escalation, self.stage, self.expected_csat
            ),
            absence=legible(self.absence),
            turns=tuple(turn for turn in turns if turn is not None),
            warnings=tuple(legible(one.code) for one in codes),
            signals=None if self.signals is None else tuple(s.signal() for s in self.signals),
            model=(legible(self.model_version), legible(self.configuration_digest)),
        )


class ProblemRecord(Record):
    """What is wrong with a field."""

    field: str
    problem: str


class FailedRecord(Record):
    """A line of JSON lines: what could not be scored."""

    status: Literal["failed"]
    source: str
    place: str
    conversation_id: str
    code: str
    errors: tuple[ProblemRecord, ...]

    def entry(self) -> FailedItem:
        """Return what a report reads of it."""
        return FailedItem(
            source=legible(self.source),
            place=legible(self.place),
            conversation_id=legible(self.conversation_id),
            code=legible(self.code),
            problems=tuple(legible(f"{e.field} {e.problem}".strip()) for e in self.errors),
        )


def problem_of(error: ValidationError) -> str:
    """Return the first thing that is wrong; what was read is not quoted."""
    first: Any = error.errors(include_input=False, include_context=False, include_url=False)[0]
    if first["type"].startswith("union_tag"):
        return "its status is neither scored nor failed"
    field = ".".join(map(str, first["loc"]))
    return f"{field}: {first['msg']}" if field else str(first["msg"])
