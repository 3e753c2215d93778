"""Figures in words, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence

from moodline.backtest.figures import RuleSetFigures, Staffing, rate, rule_set_figures, share
from moodline.backtest.running import AlertedContact
from moodline.backtest.wording import compared, rate_text, share_text
from moodline.reports.cells import ABSENT
from moodline.rules.model import Severity
from tests.unit.backtest.contacts import alert, alerted


def figures(contacts: Sequence[AlertedContact]) -> RuleSetFigures:
    return rule_set_figures(
        contacts, name="r", digest="d", rule_ids=["r"], staffing=Staffing(1, None)
    )


def test_figures_have_their_interval() -> None:
    assert rate_text(rate([0] * 100)) == "0.0 (0.0–3.0)"
    assert rate_text(rate([1])) == "100.0"
    assert share_text(share(8, 10)) == "80% (49–94)"


def test_what_there_is_none_of_is_no_zero() -> None:
    assert rate_text(None) == rate_text(rate([])) == share_text(share(0, 0)) == ABSENT


def test_every_severity_of_either_rule_set_is_compared_the_highest_first() -> None:
    now = figures([alerted(None, alert((Severity.LOW, 0))), alerted()])
    before = figures([alerted(None, alert((Severity.HIGH, 0))), alerted()])
    rows = list(compared(now, before))
    assert [name for name, _, _ in rows] == [
        "alerts a 100 contacts",
        "alerts of severity high",
        "alerts of severity low",
        "a 100 contacts labelled quiet",
        "contacts with an alert",
    ]
    (high, low) = rows[1:3]
    assert high[1:] == (None, rate([1, 0]))
    assert low[1:] == (rate([1, 0]), None)
