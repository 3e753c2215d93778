"""Figures by the formulas of docs/backtest.md, against numbers that were worked out by hand."""

from __future__ import annotations

import pytest

from moodline.backtest.figures import (
    MAX_LISTED_CONTACTS,
    Staffing,
    detection,
    difference,
    group_figures,
    rate,
    rule_set_figures,
    share,
    supervisor_load,
)
from moodline.rules.model import Reason, Severity
from tests.unit.backtest.contacts import ESCALATE, NONE, WATCH, alert, alerted, labels

LOW, MEDIUM, HIGH = Severity.LOW, Severity.MEDIUM, Severity.HIGH


def test_a_share_has_the_wilson_interval() -> None:
    # Source: scipy 1.16, binomtest(8, 10).proportion_ci(method="wilson").
    eight = share(8, 10)
    assert eight.value == 0.8
    assert eight.interval is not None
    assert (eight.interval.low, eight.interval.high) == pytest.approx(
        (0.490162, 0.943318), abs=1e-6
    )
    none = share(0, 5)
    assert none.interval is not None
    assert (none.interval.low, none.interval.high) == pytest.approx((0.0, 0.434482), abs=1e-6)


def test_every_share_lies_in_its_interval() -> None:
    for whole in range(1, 300):
        for part in (0, 1, whole // 2, whole):
            one = share(part, whole)
            assert one.value is not None
            assert one.interval is not None
            assert 0 <= one.interval.low <= one.value <= one.interval.high <= 1


def test_a_share_of_nothing_is_none() -> None:
    assert share(0, 0).value is None
    assert share(0, 0).interval is None


def test_a_rate_counts_alerts_a_hundred_contacts() -> None:
    two = rate([2, 0, 0, 0])
    assert (two.alert_count, two.contact_count, two.per_100) == (2, 4, 50)
    assert two.interval is not None
    # 100 * 1.959964 * 1 / sqrt(4), cut at 0.
    assert (two.interval.low, two.interval.high) == pytest.approx((0, 147.9982), abs=1e-3)


def test_no_alert_in_some_contacts_does_not_mean_none_ever() -> None:
    none = rate([0] * 100)
    assert none.interval is not None
    assert none.interval.high == pytest.approx(2.9957, abs=1e-3)
    assert rate([]).per_100 is None


CONTACTS = [
    alerted(labels(ESCALATE, 6, "fraud"), alert((MEDIUM, 2), (HIGH, 8))),
    alerted(labels(ESCALATE, 4, "legal_threat"), alert((MEDIUM, 5))),
    alerted(labels(ESCALATE, 4, "fraud")),
    alerted(labels(WATCH, 3), alert((MEDIUM, 1))),
    alerted(labels(NONE), alert((LOW, 1))),
    alerted(labels(NONE)),
    alerted(None, alert((HIGH, 0))),
]


def test_alerts_are_compared_with_the_contacts_that_reached_a_level() -> None:
    any_alert = detection(CONTACTS, ESCALATE, LOW)
    assert (any_alert.precision.part, any_alert.precision.whole) == (2, 4)
    assert (any_alert.recall.part, any_alert.recall.whole) == (2, 3)
    assert (any_alert.recall_in_time.part, any_alert.recall_in_time.whole) == (1, 3)
    watch = detection(CONTACTS, WATCH, LOW)
    assert (watch.precision.part, watch.precision.whole) == (3, 4)
    assert (watch.recall.part, watch.recall.whole) == (3, 4)


def test_only_the_turn_at_which_an_alert_was_so_severe_counts_for_a_severity() -> None:
    high = detection(CONTACTS, ESCALATE, HIGH)
    assert (high.precision.part, high.precision.whole) == (1, 1)
    assert (high.recall_in_time.part, high.recall_in_time.whole) == (0, 3)
    assert high.lead_time.median_turns == -2


def test_lead_is_the_turns_by_which_the_alert_came_before_the_label() -> None:
    lead = detection(CONTACTS, ESCALATE, LOW).lead_time
    assert lead.contact_count == 2
    assert (lead.in_time.part, lead.in_time.whole) == (1, 2)
    # Of +4 and -1.
    assert lead.median_turns == 1.5
    assert (lead.lower_quartile_turns, lead.upper_quartile_turns) == (0.25, 2.75)


def test_a_label_without_a_turn_counts_for_recall_and_not_for_time() -> None:
    one = detection([alerted(labels(ESCALATE), alert((HIGH, 3)))], ESCALATE, LOW)
    assert one.recall.value == 1
    assert one.recall_in_time.whole == one.lead_time.contact_count == 0


def test_quiet_contacts_are_those_labelled_as_in_need_of_nobody() -> None:
    figures = group_figures("all", CONTACTS)
    assert (figures.contact_count, figures.labelled_count) == (7, 6)
    assert (figures.quiet_alerts.alert_count, figures.quiet_alerts.contact_count) == (1, 2)
    assert (figures.alerted_contacts.part, figures.alerted_contacts.whole) == (5, 7)


def test_without_labels_nothing_is_said_of_being_right() -> None:
    assert group_figures("all", [alerted(None, alert((HIGH, 0)))]).detections == ()


def test_figures_come_by_severity_rule_reason_language_and_channel() -> None:
    contacts = [
        *CONTACTS,
        alerted(None, alert((LOW, 1), reason=Reason.ABUSE, rule="s"), language="tr", channel=""),
    ]
    figures = rule_set_figures(
        contacts, name="n", digest="d", rule_ids=["r", "s", "t"], staffing=Staffing()
    )
    assert [(one.name, one.rate.alert_count) for one in figures.severities] == [
        ("high", 2),
        ("medium", 2),
        ("low", 2),
    ]
    assert [(one.name, one.rate.alert_count) for one in figures.rules] == [
        ("r", 5),
        ("s", 1),
        ("t", 0),
    ]
    fraud, abuse, legal = figures.reasons
    assert (fraud.reason, fraud.rate.alert_count) == ("fraud", 5)
    assert (fraud.precision.part, fraud.precision.whole) == (1, 4)
    assert (fraud.recall.part, fraud.recall.whole) == (1, 2)
    assert (abuse.reason, abuse.precision.whole) == ("abuse", 0)
    assert (legal.reason, legal.recall.part, legal.recall.whole) == ("legal_threat", 0, 1)
    assert [(one.name, one.contact_count) for one in figures.languages] == [("en", 7), ("tr", 1)]
    assert [(one.name, one.contact_count) for one in figures.channels] == [("chat", 7), ("", 1)]


def test_a_supervisor_gets_the_alerts_of_the_contacts_of_an_hour() -> None:
    contacts = [alerted(None, alert((LOW, 1)), duration_s=60), alerted(None, duration_s=180)]
    by_time = supervisor_load(contacts, Staffing())
    # One after the other, contacts of two minutes are thirty an hour, with half an alert each.
    assert by_time.contacts_per_hour == 30
    assert by_time.alerts_per_hour == 15
    assert not by_time.is_given
    given = supervisor_load(contacts, Staffing(supervisor_count=4, contacts_per_hour=200))
    assert given.alerts_per_hour == 25
    assert supervisor_load([alerted(None)], Staffing()).alerts_per_hour is None


def test_a_difference_names_the_contacts_that_gain_and_lose_alerts() -> None:
    one, other = alert((LOW, 1)), alert((HIGH, 1))
    now = [alerted(None, one, name=name) for name in "abc"] + [alerted(None, name="d")]
    before = [
        alerted(None, name="a"),
        alerted(None, one, name="b"),
        alerted(None, other, name="c"),
        alerted(None, one, name="d"),
    ]
    found = difference(now, before)
    assert [name.contact_id for name in found.gained.contacts] == ["a"]
    assert [name.contact_id for name in found.lost.contacts] == ["d"]
    assert [name.contact_id for name in found.changed.contacts] == ["c"]


def test_a_long_difference_is_counted_and_listed_in_part() -> None:
    count = MAX_LISTED_CONTACTS + 1
    found = difference([alerted(None, alert((LOW, 1)))] * count, [alerted(None)] * count)
    assert found.gained.count == count
    assert len(found.gained.contacts) == MAX_LISTED_CONTACTS
