"""Chooses thresholds for an alert budget (docs/backtest.md, "Alert budget").

The way: note once how probable each rule ever was in each contact; from thresholds that let much
through, raise one after the other where that costs least, as an estimate; then run the engine with
some thresholds of that way, so that what is told of them is exact.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from moodline.backtest.contacts import Contact, ContactFacts
from moodline.backtest.figures import ALERT_SEVERITIES, Rate, Share, detection, rate, share
from moodline.backtest.running import alerted
from moodline.domain import EscalationLevel
from moodline.rules.evaluation import open_evaluation
from moodline.rules.history import ConversationContext
from moodline.rules.model import Rule, Severity
from moodline.rules.rule_set import RuleSet
from moodline.signals.engine import SignalEngine

THRESHOLD_STEP: Final = 0.05
MAX_THRESHOLD: Final = 0.95
FLOOR_RATIO: Final = 0.5
"""A threshold is lowered to this part of the author's at most: a rule must not come to say what it
was never written for."""
MAX_CURVE_POINTS: Final = 12
MAX_REFINED_POINTS: Final = 6

Thresholds = Mapping[str, float]
"""`min_probability` by rule id, of the rules that may be changed."""


@dataclass(frozen=True, slots=True)
class TracedContact:
    """How probable the rules were in a contact.

    Attributes:
        peaks: The highest probability at which a rule above `info` held, by rule id.
    """

    facts: ContactFacts
    peaks: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """A threshold of one rule, taken alone.

    Attributes:
        contact_count: Contacts in which the rule would hold.
        precision: Of those that are labelled, the ones that reached WATCH or more.
    """

    min_probability: float
    contact_count: int
    precision: Share


@dataclass(frozen=True, slots=True)
class RuleSweep:
    """One rule under rising thresholds."""

    rule_id: str
    min_probability: float
    points: tuple[SweepPoint, ...]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What some thresholds give, by the engine.

    Attributes:
        precision: Of the labelled contacts with an alert, those that reached ESCALATE.
        recall: Of the contacts that reached ESCALATE, those with an alert.
        quiet_alerts: Of the contacts that are labelled as in need of nobody.
    """

    alerts: Rate
    quiet_alerts: Rate
    precision: Share
    recall: Share
    min_probabilities: Thresholds


@dataclass(frozen=True, slots=True)
class BudgetFigures:
    """Thresholds for an alert budget.

    Attributes:
        alerts_per_100: The budget.
        curve: From many alerts to few.
        chosen: Of the curve, what tells most within the budget; None if nothing fits.
        changes: What differs from the rules as given, by rule id: thresholds before and after.
        sweeps: Of each rule that may be changed and held somewhere.
    """

    alerts_per_100: float
    curve: tuple[CurvePoint, ...]
    chosen: CurvePoint | None
    changes: Mapping[str, tuple[float, float]]
    sweeps: tuple[RuleSweep, ...]


def is_tunable(rule: Rule) -> bool:
    """Tell whether a budget may change a rule.

    News is no alert. What is critical is left alone, since no budget may silence danger; and a rule
    that names no threshold is not meant to have one.
    """
    return Severity.INFO.rank < rule.severity.rank < Severity.CRITICAL.rank and (
        rule.min_probability > 0
    )


def floors(rule_set: RuleSet) -> dict[str, float]:
    """Return the lowest thresholds that may be chosen."""
    return {
        rule.id: round(FLOOR_RATIO * rule.min_probability, 4)
        for rule in rule_set.content.rules
        if is_tunable(rule)
    }


def trace(rule_set: RuleSet, contacts: Iterable[Contact]) -> list[TracedContact]:
    """Note how probable the rules ever were.

    Args:
        rule_set: With the lowest thresholds.
        contacts: Are read once.
    """
    traced: list[TracedContact] = []
    for contact in contacts:
        context = ConversationContext(contact.facts.channel, contact.attributes)
        evaluation = open_evaluation(rule_set, context)
        peaks: dict[str, float] = {}
        for result in contact.turns:
            for match in evaluation.add(result):
                if match.rule.severity is not Severity.INFO:
                    peaks[match.rule.id] = max(match.probability, peaks.get(match.rule.id, 0.0))
        traced.append(TracedContact(contact.facts, peaks))
    return traced


def sweep(rule: Rule, contacts: Sequence[TracedContact]) -> RuleSweep:
    """Return what a rule alone gives under rising thresholds."""
    held = [(c.peaks[rule.id], c.facts.labels) for c in contacts if rule.id in c.peaks]
    points = []
    for threshold in _grid(round(FLOOR_RATIO * rule.min_probability, 4)):
        labels = [one for peak, one in held if peak >= threshold]
        known = [one.is_at_least(EscalationLevel.WATCH) for one in labels if one is not None]
        points.append(SweepPoint(threshold, len(labels), share(sum(known), len(known))))
    return RuleSweep(rule.id, rule.min_probability, tuple(points))


def _grid(floor: float) -> list[float]:
    """Return thresholds from a floor up, then multiples of `THRESHOLD_STEP`."""
    steps = range(1, round(MAX_THRESHOLD / THRESHOLD_STEP) + 1)
    return [floor, *(t for k in steps if (t := round(k * THRESHOLD_STEP, 4)) > floor)]


@dataclass(frozen=True, slots=True)
class _Step:
    """Thresholds on the way, with the estimated number of alerts."""

    alert_count: int
    thresholds: dict[str, float]


class _Estimate:
    """Which causes hold in which contacts under some thresholds.

    A cause counts once a contact; clearing and cool-downs are left out.
    """

    def __init__(
        self, rule_set: RuleSet, contacts: Sequence[TracedContact], thresholds: Thresholds
    ) -> None:
        self.thresholds = dict(thresholds)
        self._contacts = contacts
        rules = {rule.id: rule for rule in rule_set.content.rules}
        self._causes = {rule_id: rule.cause_key for rule_id, rule in rules.items()}
        self._reasons = {rule_id: rule.reason.value for rule_id, rule in rules.items()}
        # Of each rule, how probable it was where, rising.
        self._peaks: dict[str, list[tuple[float, int]]] = defaultdict(list)
        # Of each contact and cause, the rules that hold.
        self._holding: list[dict[str, set[str]]] = []
        for index, contact in enumerate(contacts):
            causes: dict[str, set[str]] = defaultdict(set)
            for rule_id, peak in contact.peaks.items():
                self._peaks[rule_id].append((peak, index))
                if peak >= self.thresholds.get(rule_id, 0.0):
                    causes[self._causes[rule_id]].add(rule_id)
            self._holding.append(dict(causes))
        for peaks in self._peaks.values():
            peaks.sort()

    @property
    def alert_count(self) -> int:
        return sum(map(len, self._holding))

    def between(self, rule_id: str, low: float, high: float) -> list[tuple[float, int]]:
        """Return the contacts in which the rule was so probable: from `low` to under `high`."""
        peaks = self._peaks[rule_id]
        start = bisect_left(peaks, (low, -1))
        return peaks[start : bisect_left(peaks, (high, -1))]

    def cost(self, rule_id: str, threshold: float) -> tuple[float, float, float, float]:
        """Return what a higher threshold costs for each alert that it takes away.

        First whether it takes away any. Then what the labels say is lost: contacts that reached
        ESCALATE and have no other alert, and alerts whose reason is a labelled one; the same of
        WATCH; and the mean probability of the alerts, which is how many of them should be right.
        """
        alert_count = escalate = watch = 0
        probability = 0.0
        for peak, index in self.between(rule_id, self.thresholds[rule_id], threshold):
            causes = self._holding[index]
            if causes[self._causes[rule_id]] != {rule_id}:
                continue
            alert_count += 1
            probability += peak
            labels = self._contacts[index].facts.labels
            if labels is not None:
                is_only = len(causes) == 1
                escalate += is_only and labels.is_at_least(EscalationLevel.ESCALATE)
                escalate += self._reasons[rule_id] in labels.reasons
                watch += is_only and labels.is_at_least(EscalationLevel.WATCH)
        whole = max(alert_count, 1)
        return (alert_count == 0, escalate / whole, watch / whole, probability / whole)

    def raise_to(self, rule_id: str, threshold: float) -> None:
        """Let a rule hold less often."""
        cause = self._causes[rule_id]
        for _, index in self.between(rule_id, self.thresholds[rule_id], threshold):
            rules = self._holding[index][cause]
            rules.remove(rule_id)
            if not rules:
                del self._holding[index][cause]
        self.thresholds[rule_id] = threshold

    def restore(self, rule_id: str, threshold: float) -> None:
        """Give a rule another threshold if no alert comes or goes by that."""
        now, cause = self.thresholds[rule_id], self._causes[rule_id]
        moved = self.between(rule_id, min(now, threshold), max(now, threshold))
        if any(not self._holding[index].get(cause, set()) - {rule_id} for _, index in moved):
            return
        for _, index in moved:
            rules = self._holding[index][cause]
            (rules.discard if threshold > now else rules.add)(rule_id)
        self.thresholds[rule_id] = threshold


def _descent(rule_set: RuleSet, contacts: Sequence[TracedContact]) -> list[_Step]:
    """Raise thresholds one after the other, each time where it costs least.

    Returns:
        All thresholds on the way at which alerts go, from the lowest to the highest.
    """
    estimate = _Estimate(rule_set, contacts, floors(rule_set))
    # Thresholds of a rule that let something more through than the next one.
    left = {
        rule_id: [
            high for low, high in pairwise(_grid(floor)) if estimate.between(rule_id, low, high)
        ]
        for rule_id, floor in estimate.thresholds.items()
    }
    steps = [_Step(estimate.alert_count, dict(estimate.thresholds))]
    while left := {rule_id: thresholds for rule_id, thresholds in left.items() if thresholds}:
        # Of equals the first in the file.
        cheapest = min(left, key=lambda rule_id: estimate.cost(rule_id, left[rule_id][0]))
        estimate.raise_to(cheapest, left[cheapest].pop(0))
        if estimate.alert_count < steps[-1].alert_count:
            steps.append(_Step(estimate.alert_count, dict(estimate.thresholds)))
    return steps


def _restored(
    rule_set: RuleSet, contacts: Sequence[TracedContact], thresholds: Thresholds
) -> dict[str, float]:
    """Return thresholds that differ from the author's only where an alert depends on it."""
    estimate = _Estimate(rule_set, contacts, thresholds)
    for rule in rule_set.content.rules:
        if rule.id in thresholds:
            estimate.restore(rule.id, rule.min_probability)
    return estimate.thresholds


def choose(
    rule_set: RuleSet,
    contacts: Iterable[Contact],
    *,
    alerts_per_100: float,
    model_version: str,
    configuration_digest: str,
) -> BudgetFigures:
    """Choose thresholds that tell most within a budget.

    Args:
        rule_set: The rules as given.
        contacts: Are read three times.
        alerts_per_100: The budget: alerts a hundred contacts, 0 or more.
        model_version: As `SignalEngine`.
        configuration_digest: As `SignalEngine`.
    """
    traced = trace(rule_set.with_min_probabilities(floors(rule_set)), contacts)
    steps = _descent(rule_set, traced)

    def measured(chosen: Sequence[_Step]) -> list[CurvePoint]:
        thresholds = [_restored(rule_set, traced, step.thresholds) for step in chosen]
        engines = [
            SignalEngine(
                rule_set.with_min_probabilities(one),
                model_version=model_version,
                configuration_digest=configuration_digest,
            )
            for one in thresholds
        ]
        return _measured(engines, thresholds, contacts)

    first = _spread(range(len(steps)), MAX_CURVE_POINTS)
    points = dict(zip(first, measured([steps[i] for i in first]), strict=True))
    fitting = next((i for i in first if _fits(points[i], alerts_per_100)), None)
    if fitting:
        # Between it and the one before may lie some that tell more.
        before = first[first.index(fitting) - 1]
        between = _spread(range(before + 1, fitting), MAX_REFINED_POINTS)
        points |= zip(between, measured([steps[i] for i in between]), strict=True)
    curve = tuple(points[i] for i in sorted(points))
    best = next((point for point in curve if _fits(point, alerts_per_100)), None)
    tunable = {rule.id: rule for rule in rule_set.content.rules if is_tunable(rule)}
    return BudgetFigures(
        alerts_per_100=alerts_per_100,
        curve=curve,
        chosen=best,
        changes={
            rule_id: (rule.min_probability, best.min_probabilities[rule_id])
            for rule_id, rule in tunable.items()
            if best is not None and best.min_probabilities[rule_id] != rule.min_probability
        },
        sweeps=tuple(
            sweep(rule, traced)
            for rule in tunable.values()
            if any(rule.id in contact.peaks for contact in traced)
        ),
    )


def _fits(point: CurvePoint, alerts_per_100: float) -> bool:
    return point.alerts.per_100 is None or point.alerts.per_100 <= alerts_per_100


def _spread(indexes: range, max_count: int) -> list[int]:
    """Return at most so many of some indexes, evenly, the first and the last among them."""
    if len(indexes) <= max_count:
        return list(indexes)
    return [indexes[k * (len(indexes) - 1) // (max_count - 1)] for k in range(max_count)]


def _measured(
    engines: Sequence[SignalEngine],
    thresholds: Sequence[Thresholds],
    contacts: Iterable[Contact],
) -> list[CurvePoint]:
    """Run several rule sets in one reading of the contacts."""
    found = [
        [alerted(engine, contact) for engine in engines]
        for contact in (contacts if engines else ())
    ]
    points = []
    for index, chosen in enumerate(thresholds):
        of_one = [row[index] for row in found]
        detected = detection(of_one, EscalationLevel.ESCALATE, ALERT_SEVERITIES[0])
        quiet = [
            len(one.alerts)
            for one in of_one
            if one.facts.labels and one.facts.labels.level is EscalationLevel.NONE
        ]
        points.append(
            CurvePoint(
                alerts=rate([len(one.alerts) for one in of_one]),
                quiet_alerts=rate(quiet),
                precision=detected.precision,
                recall=detected.recall,
                min_probabilities=chosen,
            )
        )
    return points
