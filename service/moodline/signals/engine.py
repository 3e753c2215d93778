"""From turn results to signal events: the same for the stream, the unary call, batch and backtest.

Pure: no clock, no store. Whoever holds a session passes the events on.
"""

from __future__ import annotations

from collections.abc import Mapping

from moodline.domain import TurnResult
from moodline.rules.evaluation import ConversationEvaluation, RuleMatch, open_evaluation
from moodline.rules.history import ConversationContext, CustomerPast
from moodline.rules.rule_set import RuleSet
from moodline.signals.domain import Moment, Signal, SignalEvent
from moodline.signals.lifecycle import CauseLife, Origin


class SignalEngine:
    """A rule set and a model; immutable, shared by all conversations.

    Attributes:
        rule_set: The rules in force.
    """

    def __init__(self, rule_set: RuleSet, *, model_version: str, configuration_digest: str) -> None:
        """Take what signals say they rest on.

        Args:
            rule_set: The rules.
            model_version: As `ConversationAnalysis.model_version`.
            configuration_digest: As `ConversationAnalysis.configuration_digest`.
        """
        self.rule_set = rule_set
        self._model_version = model_version
        self._configuration_digest = configuration_digest

    def open(
        self,
        conversation_id: str,
        *,
        channel: str = "",
        attributes: Mapping[str, str] | None = None,
        customer: CustomerPast | None = None,
    ) -> SignalSession:
        """Begin a conversation.

        Args:
            conversation_id: Signals of the same id, cause and ordinal are the same signal.
            channel: As `Conversation.channel`.
            attributes: What the caller gave of it.
            customer: The customer's past; None if nothing is known.
        """
        context = ConversationContext(channel, dict(attributes or {}), customer)
        origin = Origin(
            conversation_id=conversation_id,
            rule_set_digest=self.rule_set.digest,
            model_version=self._model_version,
            configuration_digest=self._configuration_digest,
        )
        causes = dict.fromkeys(rule.rule.cause_key for rule in self.rule_set.rules)
        return SignalSession(open_evaluation(self.rule_set, context), origin, tuple(causes))


class SignalSession:
    """The signals of one conversation; its turns come one at a time, in order."""

    def __init__(
        self, evaluation: ConversationEvaluation, origin: Origin, causes: tuple[str, ...]
    ) -> None:
        """Made by `SignalEngine.open` alone."""
        self._evaluation = evaluation
        self._origin = origin
        # In the order of the rule set, which is that of the events of one turn.
        self._lives = {cause: CauseLife() for cause in causes}
        self._moment: Moment | None = None
        self._signals: dict[str, Signal] = {}

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Every signal so far as it stands now, ended ones too, in the order of their raising."""
        return tuple(self._signals.values())

    @property
    def open_signals(self) -> tuple[Signal, ...]:
        """The signals that are open now, in the order of the rule set."""
        return tuple(
            life.signal
            for life in self._lives.values()
            if life.signal is not None and life.signal.state.is_open
        )

    def add(self, result: TurnResult) -> tuple[SignalEvent, ...]:
        """Take the result of the next final turn, evidence included, and tell what happened.

        At most one event a cause, in the order of the rule set.
        """
        moment = self._moment = Moment(result.turn_index, result.turn.start_ms)
        matches: dict[str, list[RuleMatch]] = {}
        for match in self._evaluation.add(result):
            matches.setdefault(match.rule.cause_key, []).append(match)
        events: list[SignalEvent] = []
        for cause, life in self._lives.items():
            if cause in matches or life.is_open:
                self._lives[cause], event = life.observe(
                    matches.get(cause, ()),
                    is_clear=self._evaluation.is_clear,
                    moment=moment,
                    origin=self._origin,
                )
                if event is not None:
                    events.append(event)
        return self._remembered(events)

    def apply(self, event: SignalEvent) -> None:
        """Take over what people, or the clock, did to a signal of this conversation."""
        life = self._lives.get(event.signal.cause)
        if life is not None:
            changed = life.changed_by_people(event.signal, self._moment)
            self._lives[event.signal.cause] = changed
            if changed.signal is not None:
                self._signals[changed.signal.signal_id] = changed.signal

    def finish(self) -> tuple[SignalEvent, ...]:
        """Take the end of the conversation; signals that still need somebody stay open."""
        events: list[SignalEvent] = []
        for cause, life in self._lives.items():
            if self._moment is not None:
                self._lives[cause], event = life.ended(self._moment)
                if event is not None:
                    events.append(event)
        return self._remembered(events)

    def _remembered(self, events: list[SignalEvent]) -> tuple[SignalEvent, ...]:
        self._signals.update((event.signal.signal_id, event.signal) for event in events)
        return tuple(events)
