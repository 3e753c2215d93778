"""Alerts are the signals of the engine that were more than news."""

from __future__ import annotations

from moodline.backtest.running import AlertStep, alerted
from moodline.rules.model import Severity
from moodline.rules.rule_set import RuleSet
from moodline.signals.engine import SignalEngine
from tests.unit.backtest.contacts import contact

RULES = RuleSet.parse(
    """
version: 1
name: test
rules:
  - id: hint
    cause: leaving
    explanation: {en: A hint.}
    reason: churn_risk
    severity: info
    when: turn.tags.churn_risk > 0.2
    probability: turn.tags.churn_risk
  - id: likely
    cause: leaving
    explanation: {en: Likely.}
    reason: churn_risk
    severity: medium
    when: turn.tags.churn_risk > 0.5
    probability: turn.tags.churn_risk
  - id: certain
    cause: leaving
    explanation: {en: Certain.}
    reason: churn_risk
    severity: high
    when: turn.tags.churn_risk > 0.8
    probability: turn.tags.churn_risk
"""
)
ENGINE = SignalEngine(RULES, model_version="m", configuration_digest="d")


def test_news_is_no_alert() -> None:
    assert alerted(ENGINE, contact({"churn_risk": 0.3})).alerts == ()


def test_news_that_becomes_more_is_an_alert_from_the_turn_at_which_it_does() -> None:
    probabilities = (0.3, 0.6, 0.9)
    found = alerted(ENGINE, contact(*({"churn_risk": p} for p in probabilities)))
    (one,) = found.alerts
    assert one.steps == (
        AlertStep(Severity.MEDIUM, "likely", 2, 0.6),
        AlertStep(Severity.HIGH, "certain", 4, 0.9),
    )
    assert (one.rule_id, one.severity, one.reason) == ("likely", Severity.HIGH, "churn_risk")
    assert found.first_turn(Severity.LOW) == 2
    assert found.first_turn(Severity.HIGH) == 4
    assert found.first_turn(Severity.CRITICAL) is None


def test_a_cause_that_comes_back_after_its_cool_down_is_another_alert() -> None:
    quiet = [{"churn_risk": 0.0}] * 5
    found = alerted(ENGINE, contact({"churn_risk": 0.9}, *quiet, {"churn_risk": 0.9}))
    assert len({one.signal_id for one in found.alerts}) == 2
