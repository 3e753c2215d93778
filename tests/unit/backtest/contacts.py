"""Contacts with the scores and labels that a test names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moodline.backtest.contacts import Contact, ContactFacts, ContactLabels
from moodline.backtest.running import Alert, AlertedContact, AlertStep
from moodline.domain import EscalationLevel, TurnResult
from moodline.rules.model import Reason, Severity
from tests.unit.rules.results import agent, customer, scores

NONE, WATCH, ESCALATE = EscalationLevel


def labels(level: EscalationLevel, turn: int | None = None, *reasons: str) -> ContactLabels:
    return ContactLabels(
        level,
        watch_turn=turn if level is not NONE else None,
        escalate_turn=turn if level is ESCALATE else None,
        reasons=reasons,
    )


def facts(
    name: str = "c",
    given: ContactLabels | None = None,
    *,
    number: int = 1,
    channel: str = "chat",
    language: str = "en",
    turn_count: int = 4,
    duration_s: float | None = None,
) -> ContactFacts:
    return ContactFacts(name, "f", number, channel, language, turn_count, duration_s, given)


def alert(
    *steps: tuple[Severity, int], reason: Reason = Reason.FRAUD, cause: str = "", rule: str = "r"
) -> Alert:
    made = tuple(AlertStep(severity, rule, turn, 0.5) for severity, turn in steps)
    return Alert(f"{cause or reason}-1", cause or reason, reason, made)


def alerted(
    given: ContactLabels | None = None, *alerts: Alert, name: str = "c", **known: object
) -> AlertedContact:
    return AlertedContact(facts(name, given, **known), alerts)  # type: ignore[arg-type]


def contact(
    *tags: Mapping[str, float], given: ContactLabels | None = None, name: str = "c"
) -> Contact:
    """A customer turn for each set of tags, an agent's behind each."""
    turns: list[TurnResult] = []
    for one in tags:
        turns.append(customer(len(turns), scores(sentiment=-0.5, tags=one)))
        turns.append(agent(len(turns)))
    return Contact(facts(name, given, turn_count=len(turns)), tuple(turns))


def contacts(peaks: Sequence[float], tag: str, given: ContactLabels | None) -> list[Contact]:
    """Contacts of one turn with a tag of such probabilities."""
    return [contact({tag: peak}, given=given, name=f"{tag}-{peak}") for peak in peaks]
