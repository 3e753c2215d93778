"""Turn results as the analyzer gives them, with the scores that a test names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moodline.domain import (
    Absence,
    Escalation,
    EscalationLevel,
    Evidence,
    NamedProbability,
    Role,
    Sentiment,
    SentimentLabel,
    Turn,
    TurnResult,
    TurnScores,
    Urgency,
    UrgencyLevel,
)

_SENTIMENTS = tuple(SentimentLabel)
_URGENCIES = tuple(UrgencyLevel)
_HOLDS = 0.5


def scores(
    *,
    sentiment: float = 0.0,
    urgency: UrgencyLevel = UrgencyLevel.NORMAL,
    stage: str = "support",
    stage_probability: float = 0.9,
    tags: Mapping[str, float] | None = None,
    escalation: float = 0.0,
    evidence: Sequence[Evidence] = (),
) -> TurnScores:
    """Scores with all probability on one label where nothing else is said; tags hold from 0.5."""
    label = _SENTIMENTS[round(2 * sentiment) + 2]
    level = EscalationLevel.ESCALATE if escalation >= _HOLDS else EscalationLevel.NONE
    given = tags or {}
    return TurnScores(
        sentiment=Sentiment(label, sentiment, {s: float(s is label) for s in _SENTIMENTS}),
        urgency=Urgency(urgency, {u: float(u is urgency) for u in _URGENCIES}),
        stage=NamedProbability(stage, stage_probability),
        tags=tuple(NamedProbability(name, p) for name, p in given.items() if p >= _HOLDS),
        escalation=Escalation(
            level,
            escalation,
            {
                EscalationLevel.NONE: 1 - escalation,
                EscalationLevel.WATCH: 0.0,
                EscalationLevel.ESCALATE: escalation,
            },
        ),
        expected_csat=3.0,
        evidence=tuple(evidence),
        tag_probabilities=given,
    )


def customer(
    index: int,
    given: TurnScores | None = None,
    *,
    text: str = "words",
    start_s: float | None = None,
    end_s: float | None = None,
    is_scored: bool = True,
) -> TurnResult:
    """A customer turn."""
    turn = Turn(Role.CUSTOMER, text, f"t{index}", start_ms=_ms(start_s), end_ms=_ms(end_s))
    if not is_scored:
        return TurnResult(index, turn, None, Absence.UNSUPPORTED_LANGUAGE)
    return TurnResult(index, turn, given or scores())


def agent(
    index: int,
    *,
    text: str = "words",
    role: Role = Role.AGENT,
    start_s: float | None = None,
    end_s: float | None = None,
) -> TurnResult:
    """A turn of those who serve."""
    turn = Turn(role, text, f"t{index}", start_ms=_ms(start_s), end_ms=_ms(end_s))
    return TurnResult(index, turn, None, Absence.NOT_CUSTOMER)


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(1000 * seconds)
