"""The life of signals as a pure state machine (docs/rules.md, Life of a signal).

Two parts: what may happen to a signal (`acknowledge`, `resolve`, `expire`, `rebase`), for
whoever keeps signals; and the life of a cause in one conversation (`CauseLife`), which turns the
matches of rules into events.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from moodline.errors import SignalStateError
from moodline.rules.evaluation import RuleMatch
from moodline.rules.model import Rule, Severity
from moodline.signals.domain import (
    Moment,
    Outcome,
    Signal,
    SignalEvent,
    SignalEventKind,
    SignalState,
)

MIN_UPDATE_CHANGE: Final = 0.1
"""A change of probability that is worth telling."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What all signals of a conversation have in common."""

    conversation_id: str
    rule_set_digest: str
    model_version: str
    configuration_digest: str


def signal_id(conversation_id: str, cause: str, ordinal: int) -> str:
    """Return the id of the how manyth signal of a cause in a conversation."""
    identity = json.dumps([conversation_id, cause, ordinal])
    return hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()


def acknowledge(signal: Signal, *, by: str) -> SignalEvent:
    """Somebody has taken note.

    Raises:
        SignalStateError: If the signal has ended.
    """
    if not signal.state.is_open:
        raise SignalStateError(
            f"the signal is {signal.state}, not open; only open signals can be acknowledged"
        )
    changed = replace(signal, state=SignalState.ACKNOWLEDGED, acknowledged_by=by)
    return SignalEvent(SignalEventKind.ACKNOWLEDGED, changed)


def resolve(signal: Signal, *, outcome: Outcome, by: str) -> SignalEvent:
    """Somebody has dealt with it and says what it was worth; also of one that is over by itself.

    Raises:
        SignalStateError: If it was resolved before with another outcome.
    """
    if signal.state is SignalState.RESOLVED and signal.outcome is not outcome:
        raise SignalStateError(
            f"the signal is RESOLVED as {signal.outcome}; that cannot be changed any more"
        )
    changed = replace(
        signal,
        state=SignalState.RESOLVED,
        outcome=outcome,
        resolved_by=signal.resolved_by or by,
        ended=signal.ended or signal.updated,
    )
    return SignalEvent(SignalEventKind.RESOLVED, changed)


def expire(signal: Signal, moment: Moment | None = None) -> SignalEvent:
    """Nobody has dealt with it in time, or it means nothing after its conversation.

    Raises:
        SignalStateError: If the signal has ended.
    """
    if not signal.state.is_open:
        raise SignalStateError(f"the signal is {signal.state}, not open; it cannot expire")
    changed = replace(signal, state=SignalState.EXPIRED, ended=moment or signal.updated)
    return SignalEvent(SignalEventKind.EXPIRED, changed, moment)


def rebase(stored: Signal, event: SignalEvent) -> SignalEvent | None:
    """Bring an event of a conversation to a signal that people may have changed meanwhile.

    Returns:
        The event with what people did kept; None if the signal has ended, so that nothing can
        happen to it any more. What is raised once more, because another model or other rules read
        the conversation again, is an update.
    """
    if not stored.state.is_open:
        return None
    state = event.signal.state
    if state is SignalState.RAISED:
        state = stored.state
    kind = event.kind
    if kind is SignalEventKind.RAISED:
        kind = SignalEventKind.UPDATED
    signal = replace(
        event.signal, state=state, acknowledged_by=stored.acknowledged_by, raised=stored.raised
    )
    return replace(event, kind=kind, signal=signal)


@dataclass(frozen=True, slots=True)
class CauseLife:
    """One cause in one conversation.

    Attributes:
        signal: The latest signal of the cause, open or ended; None before the first.
        rule: The rule that speaks for it.
        clear_turns: On how many evaluated turns in a row it could have cleared.
    """

    signal: Signal | None = None
    rule: Rule | None = None
    clear_turns: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the cause has an open signal."""
        return self.signal is not None and self.signal.state.is_open

    def observe(
        self,
        matches: Sequence[RuleMatch],
        *,
        is_clear: Callable[[str], bool | None],
        moment: Moment,
        origin: Origin,
    ) -> tuple[CauseLife, SignalEvent | None]:
        """Take a turn.

        Args:
            matches: The rules of the cause that hold at it, in the order of the rule set.
            is_clear: Whether a rule lets its signal go; None if it was not evaluated.
            moment: The turn.
            origin: For a new signal.

        Returns:
            The cause after the turn and what happened, if anything did.
        """
        best = max(matches, key=lambda match: match.rule.severity.rank, default=None)
        if self.signal is None or self.rule is None or not self.signal.state.is_open:
            if best is None or self._is_quiet(best.rule.severity, moment):
                return self, None
            return self._raised(best, moment, origin)
        if best is None:
            return self._calmed(self.signal, self.rule, is_clear(self.rule.id), moment)
        own = next((match for match in matches if match.rule.id == self.rule.id), None)
        if best.rule.severity.rank > self.signal.severity.rank:
            own = best
        return self._held(self.signal, self.rule, own, moment)

    def ended(self, moment: Moment) -> tuple[CauseLife, SignalEvent | None]:
        """Take the end of the conversation."""
        if self.signal is None or self.rule is None or not self.is_open:
            return self, None
        if self.rule.at_end == "keep":
            return self, None
        event = expire(self.signal, moment)
        return replace(self, signal=event.signal), event

    def changed_by_people(self, changed: Signal, moment: Moment | None) -> CauseLife:
        """Take over what people, or the clock, did to the signal.

        Args:
            changed: The signal as they left it; another than the latest open one changes nothing.
            moment: How far the conversation is; a cool-down begins there.
        """
        if self.signal is None or changed.signal_id != self.signal.signal_id or not self.is_open:
            return self
        signal = replace(
            self.signal,
            state=changed.state,
            acknowledged_by=changed.acknowledged_by,
            resolved_by=changed.resolved_by,
            outcome=changed.outcome,
            ended=None if changed.state.is_open else moment or self.signal.updated,
        )
        return replace(self, signal=signal, clear_turns=0)

    def _is_quiet(self, severity: Severity, moment: Moment) -> bool:
        """Tell whether a new signal of this severity would come too soon after the last one."""
        last, rule = self.signal, self.rule
        if last is None or rule is None or last.ended is None:
            return False
        if severity.rank > last.severity.rank:
            return False
        if last.outcome is Outcome.WRONG:
            return True
        if moment.turn_index - last.ended.turn_index <= rule.cool_down.turns:
            return True
        if moment.offset_ms is None or last.ended.offset_ms is None:
            return False
        return moment.offset_ms - last.ended.offset_ms < 1000 * rule.cool_down.seconds

    def _raised(
        self, match: RuleMatch, moment: Moment, origin: Origin
    ) -> tuple[CauseLife, SignalEvent]:
        rule = match.rule
        ordinal = 1 if self.signal is None else self.signal.ordinal + 1
        signal = Signal(
            signal_id=signal_id(origin.conversation_id, rule.cause_key, ordinal),
            conversation_id=origin.conversation_id,
            cause=rule.cause_key,
            ordinal=ordinal,
            state=SignalState.RAISED,
            severity=rule.severity,
            rule_id=rule.id,
            reason=rule.reason,
            explanation=rule.explanation,
            next_best_action=rule.next_best_action or {},
            route=rule.route,
            actions=rule.actions,
            probability=match.probability,
            peak_probability=match.probability,
            contributions=match.contributions,
            quotes=match.quotes,
            raised=moment,
            updated=moment,
            expire_after_s=rule.expire_after_s,
            rule_set_digest=origin.rule_set_digest,
            model_version=origin.model_version,
            configuration_digest=origin.configuration_digest,
        )
        return CauseLife(signal, rule), SignalEvent(SignalEventKind.RAISED, signal, moment)

    def _held(
        self, signal: Signal, rule: Rule, match: RuleMatch | None, moment: Moment
    ) -> tuple[CauseLife, SignalEvent | None]:
        """The signal's cause holds on; `match` is that of its own rule or of a more severe one."""
        life = replace(self, clear_turns=0)
        if match is None:
            return life, None
        is_other = match.rule.id != rule.id
        change = abs(match.probability - signal.probability)
        if not is_other and change < MIN_UPDATE_CHANGE:
            return life, None
        updated = replace(
            signal,
            severity=match.rule.severity,
            rule_id=match.rule.id,
            reason=match.rule.reason,
            explanation=match.rule.explanation,
            next_best_action=match.rule.next_best_action or {},
            route=match.rule.route,
            actions=match.rule.actions,
            probability=match.probability,
            peak_probability=max(signal.peak_probability, match.probability),
            contributions=match.contributions,
            quotes=match.quotes,
            updated=moment,
            expire_after_s=match.rule.expire_after_s,
        )
        event = SignalEvent(SignalEventKind.UPDATED, updated, moment)
        return CauseLife(updated, match.rule), event

    def _calmed(
        self, signal: Signal, rule: Rule, is_clear: bool | None, moment: Moment
    ) -> tuple[CauseLife, SignalEvent | None]:
        """The signal's cause does not hold at this turn."""
        if is_clear is None:
            return self, None
        clear_turns = self.clear_turns + 1 if is_clear else 0
        if clear_turns < rule.clear.hold_turns:
            return replace(self, clear_turns=clear_turns), None
        cleared = replace(signal, state=SignalState.CLEARED, updated=moment, ended=moment)
        event = SignalEvent(SignalEventKind.CLEARED, cleared, moment)
        return replace(self, signal=cleared, clear_turns=0), event
