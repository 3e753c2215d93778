"""Signals as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from moodline.rules.evaluation import Contribution, Quote
from moodline.rules.model import Action, Reason, Route, Severity


class SignalState(StrEnum):
    """Where a signal stands. Source: docs/rules.md, "Life of a signal"."""

    RAISED = "RAISED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CLEARED = "CLEARED"
    RESOLVED = "RESOLVED"
    EXPIRED = "EXPIRED"

    @property
    def is_open(self) -> bool:
        """Whether there may still be something to do."""
        return self in (SignalState.RAISED, SignalState.ACKNOWLEDGED)


class SignalEventKind(StrEnum):
    """What happened to a signal."""

    RAISED = "RAISED"
    UPDATED = "UPDATED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CLEARED = "CLEARED"
    RESOLVED = "RESOLVED"
    EXPIRED = "EXPIRED"


class Outcome(StrEnum):
    """What whoever resolved a signal says of it."""

    RIGHT = "RIGHT"
    WRONG = "WRONG"
    TOO_LATE = "TOO_LATE"


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in a conversation.

    Attributes:
        turn_index: The turn after which it is.
        offset_ms: Start of that turn since the beginning of the conversation; None if unknown.
    """

    turn_index: int
    offset_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """Something in a conversation that somebody should know.

    Attributes:
        signal_id: Follows from conversation, cause and ordinal, so that the same turns give the
            same signals however often they are analysed.
        cause: What it is about; a conversation has at most one open signal of a cause.
        ordinal: The how manyth of its cause in the conversation, from 1.
        severity: Of the most severe rule that has held; never falls.
        rule_id: That rule.
        explanation: Of that rule, by language; holds `en`.
        next_best_action: Of that rule, by language; empty if it names none.
        route: Who should take it over, if the rule names somebody.
        probability: When it was last told, in [0, 1].
        peak_probability: The highest that was told.
        contributions: Of turns, when it was last told.
        quotes: Words that it rests on; customer text.
        raised: When it began.
        updated: When it was last told.
        ended: When it ended; None while it is open.
        expire_after_s: Age at which it expires if it is still open.
        rule_set_digest: Digest of the rules.
        model_version: As `ConversationAnalysis.model_version`.
        configuration_digest: As `ConversationAnalysis.configuration_digest`.
        acknowledged_by: Who has taken note; empty for nobody.
        resolved_by: Who has resolved it; empty for nobody.
        outcome: What they said of it.
    """

    signal_id: str
    conversation_id: str
    cause: str
    ordinal: int
    state: SignalState
    severity: Severity
    rule_id: str
    reason: Reason
    explanation: Mapping[str, str]
    next_best_action: Mapping[str, str]
    route: Route | None
    actions: tuple[Action, ...]
    probability: float
    peak_probability: float
    contributions: tuple[Contribution, ...]
    quotes: tuple[Quote, ...]
    raised: Moment
    updated: Moment
    expire_after_s: int
    rule_set_digest: str
    model_version: str
    configuration_digest: str
    ended: Moment | None = None
    acknowledged_by: str = ""
    resolved_by: str = ""
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class SignalEvent:
    """Something happened to a signal.

    Attributes:
        kind: What.
        signal: The signal as it stands afterwards.
        moment: When in the conversation; None if people or the clock did it.
    """

    kind: SignalEventKind
    signal: Signal
    moment: Moment | None = None

    @property
    def event_id(self) -> str:
        """The same whenever the same thing happens again, e.g. when a stream is sent again."""
        turn = "" if self.moment is None else f"-{self.moment.turn_index}"
        return f"{self.signal.signal_id}-{self.kind.value.lower()}{turn}"
