"""What a report reads of results, whichever form they were written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from moodline.domain import EscalationLevel, SentimentLabel, UrgencyLevel

_JOINERS: Final = frozenset("\u200c\u200d")


@dataclass(frozen=True, slots=True)
class ScoredTurn:
    """A customer turn that has scores.

    Attributes:
        turn_index: Among all turns of the conversation, from 0; None if it is not known.
        label: Its sentiment.
        score: Its sentiment, in [-1, 1].
        stage: Of the journey, e.g. `support`; `none` if nothing tells it.
        tags: The most probable first.
    """

    turn_index: int | None
    label: SentimentLabel
    score: float
    stage: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RaisedSignal:
    """A signal of a conversation: why, and how severe."""

    reason: str
    severity: str


@dataclass(frozen=True, slots=True)
class Rollup:
    """Scores of a conversation; what they mean stands in docs/scores.md."""

    score: float
    begin_score: float | None
    end_score: float | None
    trend: str
    urgency_level: UrgencyLevel
    urgency_peak_level: UrgencyLevel
    escalation_level: EscalationLevel
    escalation_peak_level: EscalationLevel
    stage_path: tuple[str, ...]
    expected_csat: float | None


@dataclass(frozen=True, slots=True)
class ScoredConversation:
    """A conversation that was analysed.

    Attributes:
        conversation_id: As the caller named it; may be empty.
        source: The file it came from; empty if the results do not tell.
        number: Which of the source, from 1; None if the results do not tell.
        channel: Empty if unknown.
        language: BCP-47 tag, or `und`.
        is_language_measured: None if the results do not tell.
        turn_count: Of everybody.
        rollup: None if nothing could be scored; `absence` says why.
        absence: Empty if there are scores.
        turns: Those of customers that have scores, in order.
        warnings: Codes; None if the results hold none by their form.
        signals: None if the results hold none by their form.
        model: Version and configuration digest.
    """

    conversation_id: str
    source: str
    number: int | None
    channel: str
    language: str
    is_language_measured: bool | None
    turn_count: int
    rollup: Rollup | None
    absence: str
    turns: tuple[ScoredTurn, ...]
    warnings: tuple[str, ...] | None
    signals: tuple[RaisedSignal, ...] | None
    model: tuple[str, str]


@dataclass(frozen=True, slots=True)
class FailedItem:
    """Something that could not be scored.

    Attributes:
        place: Where in the source, for people.
        problems: What is wrong with which field; never customer text.
    """

    source: str
    place: str
    conversation_id: str
    code: str
    problems: tuple[str, ...]


Entry: TypeAlias = ScoredConversation | FailedItem


def legible(name: str) -> str:
    """Return a name without characters that do not show, or turn around what stands beside them."""
    return "".join(
        char if char.isprintable() or char in _JOINERS else "\N{REPLACEMENT CHARACTER}"
        for char in name
    )
