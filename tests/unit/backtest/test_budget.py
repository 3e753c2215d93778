"""Thresholds for a budget: within it, and where it costs least."""

from __future__ import annotations

from moodline.backtest.budget import BudgetFigures, choose
from moodline.backtest.contacts import Contact
from moodline.backtest.running import alerted
from moodline.rules.rule_set import RuleSet
from moodline.signals.engine import SignalEngine
from tests.unit.backtest.contacts import ESCALATE, NONE, contact, contacts, labels

RULES = RuleSet.parse(
    """
version: 1
name: test
rules:
  - id: theft
    explanation: {en: A theft.}
    reason: fraud
    severity: critical
    when: turn.tags.fraud > 0.0
    probability: turn.tags.fraud
    min_probability: 0.1
  - id: insult
    explanation: {en: An insult.}
    reason: abuse
    severity: medium
    when: turn.tags.abuse > 0.0
    probability: turn.tags.abuse
    min_probability: 0.4
  - id: leaving
    explanation: {en: Leaving.}
    reason: churn_risk
    severity: medium
    when: turn.tags.churn_risk > 0.0
    probability: turn.tags.churn_risk
    min_probability: 0.4
  - id: always
    explanation: {en: Always.}
    reason: other
    severity: low
    when: turn.tags.billing > 0.0
  - id: never
    explanation: {en: Never.}
    reason: legal_threat
    severity: medium
    when: turn.tags.legal_threat > 0.0
    probability: turn.tags.legal_threat
    min_probability: 0.4
"""
)
SPREAD = [0.42, 0.52, 0.62, 0.72, 0.82]


def chosen(found: list[Contact], alerts_per_100: float) -> BudgetFigures:
    return choose(
        RULES,
        found,
        alerts_per_100=alerts_per_100,
        model_version="m",
        configuration_digest="d",
    )


def alert_count(rules: RuleSet, found: list[Contact]) -> int:
    engine = SignalEngine(rules, model_version="m", configuration_digest="d")
    return sum(len(alerted(engine, one).alerts) for one in found)


def test_the_chosen_thresholds_keep_the_budget_by_the_engine_itself() -> None:
    found = contacts(SPREAD, "abuse", None) + contacts(SPREAD, "churn_risk", None)
    for budget in (100, 70, 40, 10, 0):
        figures = chosen(found, budget)
        assert figures.chosen is not None
        tuned = RULES.with_min_probabilities(figures.chosen.min_probabilities)
        assert alert_count(tuned, found) == figures.chosen.alerts.alert_count <= budget / 10


def test_without_labels_the_least_probable_alerts_go_first() -> None:
    found = contacts([0.9, 0.85, 0.8], "abuse", None) + contacts(
        [0.45, 0.5, 0.55], "churn_risk", None
    )
    assert set(chosen(found, 50).changes) == {"leaving"}


def test_labels_say_which_alerts_may_go() -> None:
    # The insults are the less probable ones, but they are what people want to know.
    found = contacts([0.45, 0.5, 0.55], "abuse", labels(ESCALATE, 0, "abuse"))
    found += contacts([0.9, 0.85, 0.8], "churn_risk", labels(NONE))
    figures = chosen(found, 50)
    assert set(figures.changes) == {"leaving"}
    assert figures.chosen is not None
    assert figures.chosen.recall.value == figures.chosen.precision.value == 1


def test_a_budget_that_leaves_room_lets_more_through_but_not_below_half() -> None:
    found = contacts([0.1, 0.3], "abuse", labels(ESCALATE, 0, "abuse"))
    figures = chosen(found, 100)
    assert figures.changes == {"insult": (0.4, 0.2)}


def test_critical_rules_and_rules_without_threshold_are_left_alone() -> None:
    found = contacts(SPREAD, "fraud", None) + contacts(SPREAD, "billing", None)
    figures = chosen(found, 20)
    assert figures.chosen is None
    assert figures.changes == {}


def test_a_rule_that_raised_nothing_keeps_its_threshold() -> None:
    figures = chosen(contacts(SPREAD, "abuse", None), 20)
    assert set(figures.changes) == {"insult"}
    assert [sweep.rule_id for sweep in figures.sweeps] == ["insult"]


def test_a_threshold_on_which_no_alert_depends_stays_as_it_was() -> None:
    # The critical rule of another cause does not stand in for it; one of the same cause would.
    shared = RuleSet.parse(
        """
version: 1
name: shared
rules:
  - {id: sure, cause: theft, explanation: {en: Sure.}, reason: fraud, severity: critical,
     when: turn.tags.fraud > 0.0}
  - {id: maybe, cause: theft, explanation: {en: Maybe.}, reason: fraud, severity: medium,
     when: turn.tags.fraud > 0.0, probability: turn.tags.fraud, min_probability: 0.4}
"""
    )
    found = contacts(SPREAD, "fraud", None)
    figures = choose(shared, found, alerts_per_100=10, model_version="m", configuration_digest="d")
    assert figures.changes == {}
    assert figures.chosen is None


def test_a_sweep_counts_the_contacts_of_a_rule_under_each_threshold() -> None:
    found = contacts([0.5], "abuse", labels(ESCALATE, 0)) + contacts([0.7], "abuse", labels(NONE))
    (sweep,) = chosen([*found, contact({"billing": 0.5})], 100).sweeps
    by_threshold = {point.min_probability: point for point in sweep.points}
    assert min(by_threshold) == 0.2
    assert (by_threshold[0.5].contact_count, by_threshold[0.5].precision.part) == (2, 1)
    assert (by_threshold[0.55].contact_count, by_threshold[0.55].precision.part) == (1, 0)
    assert by_threshold[0.75].contact_count == 0
