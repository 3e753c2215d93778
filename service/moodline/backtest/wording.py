"""Figures of a backtest as text, the same on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from moodline.backtest.figures import Interval, Rate, RuleSetFigures, Share
from moodline.reports.cells import ABSENT
from moodline.rules.model import Severity

AlertFigure: TypeAlias = Rate | Share | None


def rate_text(one: Rate | None) -> str:
    """Return a rate with its interval; `ABSENT` where there is none."""
    if one is None or one.per_100 is None:
        return ABSENT
    text = f"{one.per_100:.1f}"
    return text if one.interval is None else f"{text} ({interval_text(one.interval)})"


def interval_text(interval: Interval) -> str:
    """Return the interval of a rate."""
    return f"{interval.low:.1f}–{interval.high:.1f}"


def share_text(one: Share) -> str:
    """Return a share with its interval, in percent; `ABSENT` where there is none."""
    if one.value is None or one.interval is None:
        return ABSENT
    return f"{one.value:.0%} ({100 * one.interval.low:.0f}–{100 * one.interval.high:.0f})"


def compared(
    now: RuleSetFigures, before: RuleSetFigures
) -> Iterator[tuple[str, AlertFigure, AlertFigure]]:
    """Yield how often two rule sets alert: what a figure is of, and the figure of each.

    Severities that neither raised are left out; where one of them did not, it has None.
    """
    yield "alerts a 100 contacts", now.total.alerts, before.total.alerts
    new = {one.name: one.rate for one in now.severities}
    old = {one.name: one.rate for one in before.severities}
    for severity in reversed(Severity):
        if severity in new.keys() | old.keys():
            yield f"alerts of severity {severity}", new.get(severity), old.get(severity)
    yield "a 100 contacts labelled quiet", now.total.quiet_alerts, before.total.quiet_alerts
    yield "contacts with an alert", now.total.alerted_contacts, before.total.alerted_contacts
