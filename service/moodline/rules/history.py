"""What rules know of a conversation at a turn: running values and windows, bounded in size."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from google.protobuf.message import Message

from moodline.domain import (
    EscalationLevel,
    Role,
    SentimentLabel,
    TurnResult,
    TurnScores,
    UrgencyLevel,
)
from moodline.rollup import ScoreSums
from moodline.rules.expressions import TurnMessages, Values
from moodline.rules.phrases import Phrases, Span, fold
from moodline.rules.vocabulary import ENUMS, MAX_WINDOW_TURNS, TAGS

_ROLES: Final = {role: ENUMS["Role"][role.name] for role in Role}
_NO_STAGE: Final = ENUMS["Stage"]["none"]
_TOP_URGENCY: Final = ENUMS["Urgency"][UrgencyLevel.CRITICAL.name]
_SENTIMENT_NAMES: Final = {
    label: f"turn.sentiment.probability.{label.name.lower()}" for label in SentimentLabel
}
_URGENCY_NAMES: Final = {
    level: f"turn.urgency.probability.{level.name.lower()}" for level in UrgencyLevel
}
_TAG_NAMES: Final = {tag: (f"turn.tags.{tag}", f"turn.tagged.{tag}") for tag in TAGS}
STAGE_STEPS: Final = {
    "awareness": 1,
    "consideration": 2,
    "evaluation": 3,
    "purchase": 4,
    "onboarding": 5,
    "usage": 6,
    "support": 6,
    "renewal": 6,
    "advocacy": 7,
}
"""How far on the journey a stage is. Who uses a product may need help or think of leaving without
having gone back. Source: docs/rules.md, "Stages"."""


@dataclass(frozen=True, slots=True)
class CustomerPast:
    """What is known of a customer from before the conversation.

    Attributes:
        contact_days: Age of each earlier contact when this conversation began, in days, 0 or more.
        last_outcome: How the latest of them ended, e.g. `unresolved`; empty if unknown.
        open_causes: Causes of the signals of earlier contacts that are still open, one each.
    """

    contact_days: tuple[float, ...] = ()
    last_outcome: str = ""
    open_causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConversationContext:
    """What is known of a conversation before its first turn.

    Attributes:
        channel: E.g. `chat`; empty if unknown.
        attributes: What the caller gave of it.
        customer: None if nothing is known of the customer.
    """

    channel: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    customer: CustomerPast | None = None


@dataclass(slots=True)
class TurnRecord:
    """A turn as windows keep it.

    Attributes:
        result: As it came.
        values: Of the turn, by the names of the vocabulary, `turn.` among them.
        folded: The text, folded for phrases.
        said: Which lists of phrases it says and which not, as far as somebody has asked.
        message: Made when a window first holds the turn.
    """

    result: TurnResult
    values: Values
    folded: str
    said: dict[Phrases, Span | None] = field(default_factory=dict)
    message: Message | None = None
    customer_message: Message | None = None

    @property
    def start_ms(self) -> int | None:
        """When the turn began, if known."""
        return self.result.turn.start_ms

    @property
    def end_ms(self) -> int | None:
        """When the turn ended, else began, if known."""
        turn = self.result.turn
        return turn.start_ms if turn.end_ms is None else turn.end_ms


class ConversationHistory:
    """The turns so far; constant in size, and a turn costs the same however many came before.

    Implements `rule_set.Windows`.
    """

    def __init__(self, context: ConversationContext, messages: TurnMessages) -> None:
        self._messages = messages
        self._customer = context.customer or CustomerPast()
        self._turns: deque[TurnRecord] = deque(maxlen=MAX_WINDOW_TURNS)
        self._scored: deque[TurnRecord] = deque(maxlen=MAX_WINDOW_TURNS)
        self._first_turns: list[TurnRecord] = []
        self._first_scored: list[TurnRecord] = []
        self._said: list[tuple[int, Span]] = []
        self._role_counts = dict.fromkeys(Role, 0)
        self._sums = ScoreSums()
        self._sentiment_min: float | None = None
        self._urgency_peak = 0
        self._escalation_peak = 0
        self._stages: list[int] = []
        self._stage = self._previous_stage = _NO_STAGE
        self._stage_name = ""
        self._is_stage_changed = self._is_stage_regressed = False
        self._begin_ms: int | None = None
        self._run_is_customer: bool | None = None
        self._run_end_ms: int | None = None
        self._constants = _constants(context)

    @property
    def current(self) -> TurnRecord:
        """The turn that was added last."""
        return self._turns[-1]

    def add(self, result: TurnResult) -> Values:
        """Take the next turn and return the value of every variable that is known at it."""
        values = {**self._times(result), **_turn_values(result)}
        record = TurnRecord(result, values, fold(result.turn.text))
        self._turns.append(record)
        if len(self._first_turns) < MAX_WINDOW_TURNS:
            self._first_turns.append(record)
        self._role_counts[result.turn.role] += 1
        self._is_stage_changed = self._is_stage_regressed = False
        if result.scores is not None:
            self._add_scores(record, result.scores)
        return {**values, "turn.text": result.turn.text, **self._running(), **self._constants}

    def begin_condition(self) -> None:
        """Forget where phrases were found."""
        self._said.clear()

    def said(self) -> tuple[tuple[int, Span], ...]:
        """Return where phrases were found since `begin_condition`: turn indexes and spans."""
        return tuple(dict.fromkeys(self._said))

    def record(self, turn_index: int) -> TurnRecord | None:
        """Return a turn that some window may still hold."""
        return next(
            (r for r in (*self._turns, *self._first_turns) if r.result.turn_index == turn_index),
            None,
        )

    def last(self, turn_count: int) -> list[Message]:
        """Return the last scored customer turns, oldest first."""
        return self._customer_messages(_newest(self._scored, turn_count))

    def first(self, turn_count: int) -> list[Message]:
        """Return the first scored customer turns."""
        return self._customer_messages(self._first_scored[:turn_count])

    def within_s(self, seconds: float) -> list[Message]:
        """Return the scored customer turns of the last seconds.

        Raises:
            ValueError: If it is unknown when the current turn began.
        """
        return self._customer_messages(self._recent(self._scored, seconds))

    def last_turns(self, turn_count: int, role: Role | None) -> list[Message]:
        """Return the last turns of a role or of all, of those that are kept."""
        return self._turn_messages(_newest([r for r in self._turns if _is(r, role)], turn_count))

    def first_turns(self, turn_count: int, role: Role | None) -> list[Message]:
        """Return the first turns of a role or of all, of those that are kept."""
        return self._turn_messages(
            islice((r for r in self._first_turns if _is(r, role)), turn_count)
        )

    def turns_within_s(self, seconds: float, role: Role | None) -> list[Message]:
        """Return the turns of the last seconds, of a role or of all.

        Raises:
            ValueError: If it is unknown when the current turn began.
        """
        return self._turn_messages(r for r in self._recent(self._turns, seconds) if _is(r, role))

    def says(self, turn_index: int | None, phrases: Phrases) -> bool:
        """Tell whether a turn says a phrase, and remember where; None for the current turn."""
        record = self.current if turn_index is None else self.record(turn_index)
        if record is None:
            return False
        if phrases not in record.said:
            is_said = phrases.is_in(record.folded)
            record.said[phrases] = phrases.find(record.result.turn.text) if is_said else None
        span = record.said[phrases]
        if span is not None:
            self._said.append((record.result.turn_index, span))
        return span is not None

    def contacts_within_days(self, days: float) -> int:
        """Return how many earlier contacts are at most so many days old."""
        return sum(age <= days for age in self._customer.contact_days)

    def _add_scores(self, record: TurnRecord, scores: TurnScores) -> None:
        self._scored.append(record)
        if len(self._first_scored) < MAX_WINDOW_TURNS:
            self._first_scored.append(record)
        score = scores.sentiment.score
        self._sums = self._sums.after(score)
        known = self._sentiment_min
        self._sentiment_min = score if known is None else min(known, score)
        self._urgency_peak = max(self._urgency_peak, ENUMS["Urgency"][scores.urgency.level.name])
        self._escalation_peak = max(
            self._escalation_peak, ENUMS["Escalation"][scores.escalation.level.name]
        )
        self._add_stage(scores.stage.name)

    def _add_stage(self, name: str) -> None:
        stage = ENUMS["Stage"].get(name, _NO_STAGE)
        if stage in (_NO_STAGE, self._stage):
            return
        if self._stage != _NO_STAGE:
            self._is_stage_changed = True
            self._is_stage_regressed = STAGE_STEPS[name] < STAGE_STEPS[self._stage_name]
        self._previous_stage, self._stage, self._stage_name = self._stage, stage, name
        if stage not in self._stages:
            self._stages.append(stage)

    def _running(self) -> Values:
        known: dict[str, object] = {
            "conversation.turn_count": sum(self._role_counts.values()),
            "conversation.customer_turn_count": self._role_counts[Role.CUSTOMER],
            "conversation.agent_turn_count": self._role_counts[Role.AGENT],
            "conversation.bot_turn_count": self._role_counts[Role.BOT],
            "conversation.urgency_peak": self._urgency_peak,
            "conversation.escalation_peak": self._escalation_peak,
            "conversation.stage": self._stage,
            "conversation.previous_stage": self._previous_stage,
            "conversation.stages": list(self._stages),
            "conversation.is_stage_changed": self._is_stage_changed,
            "conversation.is_stage_regressed": self._is_stage_regressed,
        }
        if self._sums.count:
            known["conversation.sentiment_mean"] = self._sums.mean()
            known["conversation.sentiment_min"] = self._sentiment_min
        change = self._sums.change()
        if change is not None:
            known["conversation.sentiment_change"] = change
        start_ms = self.current.start_ms
        if start_ms is not None and self._begin_ms is not None:
            known["conversation.elapsed_s"] = _seconds(start_ms - self._begin_ms)
        return known

    def _times(self, result: TurnResult) -> Values:
        """Return what is known of when the turn was spoken, the turn itself not yet added."""
        turn = result.turn
        is_customer = turn.role is Role.CUSTOMER
        known: dict[str, object] = {}
        is_reply = self._run_is_customer not in (None, is_customer)
        if turn.start_ms is not None:
            known["turn.start_s"] = turn.start_ms / 1000
            if self._begin_ms is None:
                self._begin_ms = turn.start_ms
            before_ms = self.current.end_ms if self._turns else None
            if before_ms is not None:
                known["turn.silence_s"] = _seconds(turn.start_ms - before_ms)
            if is_reply and self._run_end_ms is not None:
                known["turn.response_s"] = _seconds(turn.start_ms - self._run_end_ms)
        if self._run_is_customer is not is_customer:
            self._run_is_customer = is_customer
            self._run_end_ms = turn.start_ms if turn.end_ms is None else turn.end_ms
        return known

    def _recent(self, records: Iterable[TurnRecord], seconds: float) -> list[TurnRecord]:
        now_ms = self.current.start_ms
        if now_ms is None:
            raise ValueError("the time of the turn is unknown")
        earliest_ms = now_ms - 1000 * seconds
        return [r for r in records if r.start_ms is not None and r.start_ms >= earliest_ms]

    def _customer_messages(self, records: Iterable[TurnRecord]) -> list[Message]:
        messages: list[Message] = []
        for record in records:
            if record.customer_message is None:
                record.customer_message = self._messages.make("CustomerTurn", record.values)
            messages.append(record.customer_message)
        return messages

    def _turn_messages(self, records: Iterable[TurnRecord]) -> list[Message]:
        messages: list[Message] = []
        for record in records:
            if record.message is None:
                record.message = self._messages.make("Turn", record.values)
            messages.append(record.message)
        return messages


def _newest(records: deque[TurnRecord] | list[TurnRecord], count: int) -> list[TurnRecord]:
    return list(islice(records, max(0, len(records) - count), None))


def _is(record: TurnRecord, role: Role | None) -> bool:
    return role is None or record.result.turn.role is role


def _seconds(duration_ms: int) -> float:
    return max(0, duration_ms) / 1000


def _constants(context: ConversationContext) -> Values:
    past = context.customer or CustomerPast()
    known: dict[str, object] = {
        "conversation.channel": context.channel,
        "conversation.attributes": dict(context.attributes),
        "customer.is_known": context.customer is not None,
        "customer.contact_count": len(past.contact_days),
        "customer.last_outcome": past.last_outcome,
        "customer.open_signal_count": len(past.open_causes),
        "customer.open_causes": list(past.open_causes),
    }
    if past.contact_days:
        known["customer.last_contact_days"] = float(min(past.contact_days))
    return known


def _turn_values(result: TurnResult) -> Values:
    turn = result.turn
    values: dict[str, object] = {
        "turn.index": result.turn_index,
        "turn.role": _ROLES[turn.role],
        "turn.language": result.language,
        "turn.word_count": len(turn.text.split()),
    }
    return values if result.scores is None else {**values, **_score_values(result.scores)}


def _score_values(scores: TurnScores) -> Values:
    sentiment, urgency, escalation = scores.sentiment, scores.urgency, scores.escalation
    values: dict[str, object] = {
        "turn.sentiment.label": ENUMS["Sentiment"][sentiment.label.name],
        "turn.sentiment.score": sentiment.score,
        "turn.urgency.level": ENUMS["Urgency"][urgency.level.name],
        "turn.urgency.score": sum(
            ENUMS["Urgency"][level.name] * p for level, p in urgency.probabilities.items()
        )
        / _TOP_URGENCY,
        "turn.stage.name": ENUMS["Stage"].get(scores.stage.name, _NO_STAGE),
        "turn.stage.probability": scores.stage.probability,
        "turn.escalation.level": ENUMS["Escalation"][escalation.level.name],
        "turn.escalation.probability": escalation.probability,
        "turn.escalation.watch_probability": 1.0 - escalation.probabilities[EscalationLevel.NONE],
        "turn.expected_csat": scores.expected_csat,
    }
    if escalation.early_warning is not None:
        values["turn.escalation.early_warning"] = escalation.early_warning
    for label, name in _SENTIMENT_NAMES.items():
        values[name] = sentiment.probabilities[label]
    for level, name in _URGENCY_NAMES.items():
        values[name] = urgency.probabilities[level]
    held = {tag.name: tag.probability for tag in scores.tags}
    for tag, (probability_name, held_name) in _TAG_NAMES.items():
        is_held = tag in held
        values[held_name] = is_held
        values[probability_name] = held[tag] if is_held else scores.tag_probabilities.get(tag, 0.0)
    return values
