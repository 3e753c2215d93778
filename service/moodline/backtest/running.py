"""Runs rules over contacts, by the engine that runs them over live conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moodline.backtest.contacts import Contact, ContactFacts
from moodline.rules.model import Reason, Severity
from moodline.signals.domain import SignalEvent
from moodline.signals.engine import SignalEngine


@dataclass(frozen=True, slots=True)
class AlertStep:
    """An alert was raised, or became more severe.

    Attributes:
        turn_index: The turn after which.
        probability: As it was told then, in [0, 1].
    """

    severity: Severity
    rule_id: str
    turn_index: int
    probability: float


@dataclass(frozen=True, slots=True)
class Alert:
    """A signal that was more than news at some time.

    Attributes:
        reason: Of the rule that made it more than news.
        steps: The first is that above `info`; severity rises from step to step. At least one.
    """

    signal_id: str
    cause: str
    reason: Reason
    steps: tuple[AlertStep, ...]

    @property
    def severity(self) -> Severity:
        """The highest."""
        return self.steps[-1].severity

    @property
    def rule_id(self) -> str:
        """The rule that raised it."""
        return self.steps[0].rule_id

    def turn_at(self, severity: Severity) -> int | None:
        """Return the turn after which it had at least that severity; None if it never had."""
        return next((s.turn_index for s in self.steps if s.severity.rank >= severity.rank), None)


@dataclass(frozen=True, slots=True)
class AlertedContact:
    """A contact and the alerts of it, in the order in which they were raised."""

    facts: ContactFacts
    alerts: tuple[Alert, ...]

    def first_turn(self, severity: Severity) -> int | None:
        """Return the turn after which there was an alert of at least that severity, if any."""
        turns = [turn for alert in self.alerts if (turn := alert.turn_at(severity)) is not None]
        return min(turns, default=None)


def signal_events(engine: SignalEngine, contact: Contact) -> tuple[SignalEvent, ...]:
    """Return everything that happens to the signals of a contact, its end included."""
    session = engine.open(
        contact.facts.contact_id,
        channel=contact.facts.channel,
        attributes=contact.attributes,
    )
    events = [event for result in contact.turns for event in session.add(result)]
    return (*events, *session.finish())


def alerts_in(events: Sequence[SignalEvent]) -> tuple[Alert, ...]:
    """Return the alerts that events tell of; signals that remained news are none."""
    alerts: dict[str, Alert] = {}
    for event in events:
        signal = event.signal
        known = alerts.get(signal.signal_id)
        severity = Severity.INFO if known is None else known.severity
        if event.moment is None or signal.severity.rank <= severity.rank:
            continue
        step = AlertStep(
            signal.severity, signal.rule_id, event.moment.turn_index, signal.probability
        )
        alerts[signal.signal_id] = Alert(
            signal.signal_id,
            signal.cause,
            signal.reason if known is None else known.reason,
            (*(known.steps if known else ()), step),
        )
    return tuple(alerts.values())


def alerted(engine: SignalEngine, contact: Contact) -> AlertedContact:
    """Run the rules over a contact."""
    return AlertedContact(contact.facts, alerts_in(signal_events(engine, contact)))
