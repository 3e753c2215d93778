"""A candidate rule set beside the one in force, over the same contacts."""

from __future__ import annotations

from collections.abc import Iterable

from moodline.backtest.contacts import Contact
from moodline.backtest.figures import (
    BacktestFigures,
    RuleSetFigures,
    Staffing,
    difference,
    rule_set_figures,
)
from moodline.backtest.running import AlertedContact, alerted
from moodline.rules.model import Severity
from moodline.rules.rule_set import RuleSet
from moodline.signals.engine import SignalEngine


def compare(
    candidate: RuleSet,
    in_force: RuleSet,
    contacts: Iterable[Contact],
    *,
    model_version: str,
    configuration_digest: str,
    staffing: Staffing = Staffing(),
) -> BacktestFigures:
    """Run two rule sets over contacts and tell what they give.

    Args:
        candidate: The rules to be tried.
        in_force: What they would replace.
        contacts: Are read once, one in memory at a time.
        model_version: Of the scores, as `ConversationAnalysis.model_version`.
        configuration_digest: Of the scores, as `ConversationAnalysis.configuration_digest`.
        staffing: Who looks at alerts.
    """
    engines = [
        SignalEngine(rules, model_version=model_version, configuration_digest=configuration_digest)
        for rules in (candidate, in_force)
    ]
    pairs = [tuple(alerted(engine, contact) for engine in engines) for contact in contacts]
    now, before = ([pair[which] for pair in pairs] for which in (0, 1))
    return BacktestFigures(
        contact_count=len(now),
        turn_count=sum(contact.facts.turn_count for contact in now),
        labelled_count=sum(contact.facts.labels is not None for contact in now),
        model_version=model_version,
        configuration_digest=configuration_digest,
        candidate=_figures(candidate, now, staffing),
        in_force=_figures(in_force, before, staffing),
        difference=difference(now, before),
    )


def _figures(
    rule_set: RuleSet, contacts: list[AlertedContact], staffing: Staffing
) -> RuleSetFigures:
    return rule_set_figures(
        contacts,
        name=rule_set.name,
        digest=rule_set.digest,
        rule_ids=[rule.id for rule in rule_set.content.rules if rule.severity is not Severity.INFO],
        staffing=staffing,
    )
