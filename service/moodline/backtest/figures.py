"""Figures of rules on past contacts; every formula stands in docs/backtest.md."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from moodline.backtest.running import Alert, AlertedContact
from moodline.domain import EscalationLevel
from moodline.rules.model import Severity

CONFIDENCE: Final = 0.95
"""Of every interval."""
ALERT_SEVERITIES: Final = tuple(severity for severity in Severity if severity.rank > 0)
"""Those of alerts, rising; `info` is news that asks nobody to act."""
TARGETS: Final = (EscalationLevel.ESCALATE, EscalationLevel.WATCH)
"""Which contacts alerts shall find: those that reached this level, or a higher one."""
MAX_LISTED_CONTACTS: Final = 50

_Z: Final = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
_S_PER_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a figure would lie had other contacts of the same kind come, with `CONFIDENCE`."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole.

    Attributes:
        value: `part / whole`; None of nothing.
        interval: None of nothing.
    """

    part: int
    whole: int
    value: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Rate:
    """Alerts a hundred contacts.

    Attributes:
        per_100: None without contacts.
        interval: None without contacts, and for a single one with alerts.
    """

    alert_count: int
    contact_count: int
    per_100: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class LeadTime:
    """How many turns before the first labelled one the first alert came; less than 0 is later.

    Attributes:
        contact_count: Contacts that were found and whose label names a turn.
        in_time: Those of them that were found at that turn or before it.
        median_turns: None without contacts, as are the quartiles.
    """

    contact_count: int
    in_time: Share
    median_turns: float | None
    lower_quartile_turns: float | None
    upper_quartile_turns: float | None


@dataclass(frozen=True, slots=True)
class Detection:
    """How well alerts of at least a severity find the contacts that reached a level.

    Attributes:
        precision: Of the labelled contacts with such an alert, those that reached the level.
        recall: Of the labelled contacts that reached the level, those with such an alert.
        recall_in_time: Of the contacts that reached it at a turn that is known, those with such an
            alert at that turn or before it.
    """

    target: EscalationLevel
    min_severity: Severity
    precision: Share
    recall: Share
    recall_in_time: Share
    lead_time: LeadTime


@dataclass(frozen=True, slots=True)
class ReasonFigures:
    """Alerts of one reason.

    Attributes:
        precision: Of the labelled contacts with such an alert, those labelled with the reason.
        recall: Of the contacts labelled with the reason, those with such an alert.
    """

    reason: str
    rate: Rate
    precision: Share
    recall: Share


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """Contacts of one language or channel, or all.

    Attributes:
        name: Empty where it is unknown.
        alerts: Of all contacts of the group.
        quiet_alerts: Of those that are labelled as in need of nobody.
        detections: For each of `TARGETS`, each severity; empty where nothing is labelled.
    """

    name: str
    contact_count: int
    labelled_count: int
    alerts: Rate
    quiet_alerts: Rate
    alerted_contacts: Share
    detections: tuple[Detection, ...]


@dataclass(frozen=True, slots=True)
class NamedRate:
    """Alerts by something that they have."""

    name: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class Staffing:
    """Who looks at alerts.

    Attributes:
        supervisor_count: People who share them; 1 or more.
        contacts_per_hour: Contacts of all agents together; None to take the durations.
    """

    supervisor_count: int = 1
    contacts_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class SupervisorLoad:
    """What alerts cost a supervisor.

    Attributes:
        alerts_per_hour: Of one supervisor; None if neither a rate of contacts nor times are known.
        contacts_per_hour: What it was computed with.
        timed_contact_count: Contacts whose times are known.
        is_given: Whether the rate of contacts was given, not taken from the durations.
    """

    supervisor_count: int
    alerts_per_hour: float | None
    contacts_per_hour: float | None
    timed_contact_count: int
    is_given: bool


@dataclass(frozen=True, slots=True)
class RuleSetFigures:
    """Everything that is told of one rule set.

    Attributes:
        severities: By the highest severity of an alert, falling; those that occurred.
        rules: By the rule that raised it; all rules above `info`, in their order.
        reasons: Those that occurred or are labelled, the most frequent first.
    """

    name: str
    digest: str
    total: GroupFigures
    severities: tuple[NamedRate, ...]
    rules: tuple[NamedRate, ...]
    reasons: tuple[ReasonFigures, ...]
    languages: tuple[GroupFigures, ...]
    channels: tuple[GroupFigures, ...]
    load: SupervisorLoad


@dataclass(frozen=True, slots=True)
class ContactName:
    """Where to find a contact."""

    contact_id: str
    source: str
    number: int


@dataclass(frozen=True, slots=True)
class ContactList:
    """Some contacts.

    Attributes:
        contacts: The first `MAX_LISTED_CONTACTS` of them.
    """

    count: int
    contacts: tuple[ContactName, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What the candidate would change against the rules in force.

    Attributes:
        gained: Contacts that have alerts with the candidate and none with the rules in force.
        lost: The other way round.
        changed: Contacts with alerts by both, but not the same causes or severities.
    """

    gained: ContactList
    lost: ContactList
    changed: ContactList


@dataclass(frozen=True, slots=True)
class BacktestFigures:
    """A candidate beside the rules in force.

    Attributes:
        model_version: Of the scores.
        configuration_digest: Of the scores.
    """

    contact_count: int
    turn_count: int
    labelled_count: int
    model_version: str
    configuration_digest: str
    candidate: RuleSetFigures
    in_force: RuleSetFigures
    difference: Difference


def share(part: int, whole: int) -> Share:
    """Return a share with its Wilson score interval.

    Source: Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference.
    """
    if whole == 0:
        return Share(part, whole, None, None)
    p, z2 = part / whole, _Z**2
    centre = (p + z2 / (2 * whole)) / (1 + z2 / whole)
    half = _Z / (1 + z2 / whole) * math.sqrt(p * (1 - p) / whole + z2 / (4 * whole**2))
    # At 0 and 1 the interval ends there; rounding must leave the share neither out of it nor over.
    low, high = max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))
    return Share(part, whole, p, Interval(low, high))


def rate(counts: Sequence[int]) -> Rate:
    """Return alerts a hundred contacts, with the normal interval of a mean.

    Without any alert that would have no width; the upper end is then the rate at which so many
    contacts would have none in one of twenty cases.

    Args:
        counts: Alerts of each contact.
    """
    total, whole = sum(counts), len(counts)
    if whole == 0:
        return Rate(0, 0, None, None)
    per_100 = 100 * total / whole
    interval = None
    if total == 0:
        interval = Interval(0.0, -100 * math.log(1 - CONFIDENCE) / whole)
    elif whole > 1:
        half = 100 * _Z * statistics.stdev(counts) / math.sqrt(whole)
        interval = Interval(max(0.0, per_100 - half), per_100 + half)
    return Rate(total, whole, per_100, interval)


def detection(
    contacts: Iterable[AlertedContact], target: EscalationLevel, min_severity: Severity
) -> Detection:
    """Return how well alerts find the labelled contacts among some."""
    found = reached = right = timed = in_time = 0
    leads: list[int] = []
    for contact in contacts:
        labels = contact.facts.labels
        if labels is None:
            continue
        is_reached = labels.is_at_least(target)
        first_alert = contact.first_turn(min_severity)
        first_label = labels.first_turn(target)
        found += first_alert is not None
        reached += is_reached
        right += is_reached and first_alert is not None
        if is_reached and first_label is not None:
            timed += 1
            if first_alert is not None:
                leads.append(first_label - first_alert)
                in_time += first_alert <= first_label
    return Detection(
        target=target,
        min_severity=min_severity,
        precision=share(right, found),
        recall=share(right, reached),
        recall_in_time=share(in_time, timed),
        lead_time=_lead_time(leads),
    )


def _lead_time(leads: Sequence[int]) -> LeadTime:
    quartiles: Sequence[float | None] = (None, None, None)
    if leads:
        # Twice the same one: quantiles of a single value are that value.
        quartiles = statistics.quantiles(
            leads if len(leads) > 1 else [*leads, *leads], n=4, method="inclusive"
        )
    lower, median, upper = quartiles
    in_time = sum(lead >= 0 for lead in leads)
    return LeadTime(len(leads), share(in_time, len(leads)), median, lower, upper)


def group_figures(name: str, contacts: Sequence[AlertedContact]) -> GroupFigures:
    """Return the figures of some contacts."""
    labelled = [contact for contact in contacts if contact.facts.labels is not None]
    quiet = [
        len(contact.alerts)
        for contact in labelled
        if contact.facts.labels and contact.facts.labels.level is EscalationLevel.NONE
    ]
    return GroupFigures(
        name=name,
        contact_count=len(contacts),
        labelled_count=len(labelled),
        alerts=rate([len(contact.alerts) for contact in contacts]),
        quiet_alerts=rate(quiet),
        alerted_contacts=share(sum(bool(c.alerts) for c in contacts), len(contacts)),
        detections=tuple(
            detection(labelled, target, severity)
            for target in TARGETS
            for severity in ALERT_SEVERITIES
            if labelled
        ),
    )


def supervisor_load(contacts: Sequence[AlertedContact], staffing: Staffing) -> SupervisorLoad:
    """Return what alerts cost a supervisor."""
    durations = [c.facts.duration_s for c in contacts if c.facts.duration_s is not None]
    per_hour = staffing.contacts_per_hour
    if per_hour is None and durations:
        per_hour = _S_PER_HOUR / statistics.fmean(durations)
    alerts_per_hour = None
    if per_hour is not None and contacts:
        alerts_per_contact = sum(len(contact.alerts) for contact in contacts) / len(contacts)
        alerts_per_hour = alerts_per_contact * per_hour / staffing.supervisor_count
    return SupervisorLoad(
        supervisor_count=staffing.supervisor_count,
        alerts_per_hour=alerts_per_hour,
        contacts_per_hour=per_hour,
        timed_contact_count=len(durations),
        is_given=staffing.contacts_per_hour is not None,
    )


def rule_set_figures(
    contacts: Sequence[AlertedContact],
    *,
    name: str,
    digest: str,
    rule_ids: Sequence[str],
    staffing: Staffing,
) -> RuleSetFigures:
    """Return the figures of one rule set.

    Args:
        contacts: All contacts, with its alerts.
        name: Of the rule set.
        digest: Of the rule set.
        rule_ids: Its rules above `info`, in their order.
        staffing: Who looks at the alerts.
    """
    return RuleSetFigures(
        name=name,
        digest=digest,
        total=group_figures("all", contacts),
        severities=tuple(
            NamedRate(severity, found)
            for severity in reversed(ALERT_SEVERITIES)
            if (found := _rate_of(contacts, lambda alert: alert.severity, severity)).alert_count
        ),
        rules=tuple(
            NamedRate(rule_id, _rate_of(contacts, lambda alert: alert.rule_id, rule_id))
            for rule_id in rule_ids
        ),
        reasons=_reasons(contacts),
        languages=_groups(contacts, lambda contact: contact.facts.language),
        channels=_groups(contacts, lambda contact: contact.facts.channel),
        load=supervisor_load(contacts, staffing),
    )


def _rate_of(
    contacts: Sequence[AlertedContact], value_of: Callable[[Alert], str], value: str
) -> Rate:
    return rate([sum(value_of(one) == value for one in contact.alerts) for contact in contacts])


def _groups(
    contacts: Sequence[AlertedContact], key: Callable[[AlertedContact], str]
) -> tuple[GroupFigures, ...]:
    groups: dict[str, list[AlertedContact]] = {}
    for contact in contacts:
        groups.setdefault(key(contact), []).append(contact)
    largest_first = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(group_figures(name, members) for name, members in largest_first)


def _reasons(contacts: Sequence[AlertedContact]) -> tuple[ReasonFigures, ...]:
    alert_counts: Counter[str] = Counter()
    alerted: Counter[str] = Counter()
    labelled: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for contact in contacts:
        told = {alert.reason.value for alert in contact.alerts}
        alert_counts.update(alert.reason.value for alert in contact.alerts)
        if contact.facts.labels is not None:
            meant = set(contact.facts.labels.reasons)
            alerted.update(told)
            labelled.update(meant)
            right.update(told & meant)
    names = sorted(alert_counts | labelled, key=lambda name: (-alert_counts[name], name))
    return tuple(
        ReasonFigures(
            reason=name,
            rate=_rate_of(contacts, lambda alert: alert.reason, name),
            precision=share(right[name], alerted[name]),
            recall=share(right[name], labelled[name]),
        )
        for name in names
    )


def difference(
    candidate: Sequence[AlertedContact], in_force: Sequence[AlertedContact]
) -> Difference:
    """Return what changes; both name the same contacts in the same order."""
    gained: list[AlertedContact] = []
    lost: list[AlertedContact] = []
    changed: list[AlertedContact] = []
    for now, before in zip(candidate, in_force, strict=True):
        if bool(now.alerts) != bool(before.alerts):
            (gained if now.alerts else lost).append(now)
        elif _told(now) != _told(before):
            changed.append(now)
    return Difference(_listed(gained), _listed(lost), _listed(changed))


def _told(contact: AlertedContact) -> Counter[tuple[str, Severity]]:
    return Counter((alert.cause, alert.severity) for alert in contact.alerts)


def _listed(contacts: Sequence[AlertedContact]) -> ContactList:
    names = (
        ContactName(contact.facts.contact_id, contact.facts.source, contact.facts.number)
        for contact in contacts[:MAX_LISTED_CONTACTS]
    )
    return ContactList(len(contacts), tuple(names))
