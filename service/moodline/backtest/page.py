"""A backtest as one page with plots, for people; needs the extra `report`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from moodline.backtest.budget import BudgetFigures
from moodline.backtest.figures import (
    TARGETS,
    BacktestFigures,
    ContactList,
    Detection,
    GroupFigures,
    Rate,
    ReasonFigures,
    Share,
    SupervisorLoad,
)
from moodline.backtest.wording import AlertFigure, compared, interval_text, rate_text, share_text
from moodline.domain import EscalationLevel
from moodline.reports.cells import ABSENT, SMALL_COUNT, Cell, number
from moodline.reports.figures import Colour
from moodline.reports.page import Headline, Page, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAR_HEIGHT = 0.38
_ROW_IN = 0.42
"""Height of a row of bars, in inches."""
_INTERVALS = "Intervals hold the figure with 95 % confidence."


def backtest_page(
    figures: BacktestFigures, budget: BudgetFigures | None, *, refused_count: int
) -> str:
    """Return the HTML document.

    Args:
        figures: What came of the backtest.
        budget: What came of the search for thresholds, if one was made.
        refused_count: Conversations that no figure holds.

    Raises:
        ReportError: If the extra `report` is not installed.
    """
    now, before = figures.candidate, figures.in_force
    page = Page(
        f"Backtest of {now.name}",
        f"Candidate {now.digest[:12]} beside {before.name} {before.digest[:12]} in force, on "
        f"scores of {figures.model_version}",
    )
    _summary(page, figures, refused_count)
    _reasons(page, figures)
    if now.total.detections:
        _detections(page, now.total.detections)
    _groups(page, figures)
    if budget is not None:
        _budget(page, budget)
    _difference(page, figures)
    _rules(page, figures)
    return page.render()


def _summary(page: Page, figures: BacktestFigures, refused_count: int) -> None:
    now, before = figures.candidate, figures.in_force
    left_out = (
        f" {refused_count} more could not be read or scored and are left out."
        if refused_count
        else ""
    )
    page.section(
        "Summary",
        f"{figures.contact_count} contacts with {figures.turn_count} turns, of which "
        f"{figures.labelled_count} contacts are labelled.{left_out} Alerts are signals above info.",
    )
    page.headlines(
        [
            Headline("Alerts a 100 contacts", _in_short(now.total.alerts)),
            Headline("A 100 contacts labelled quiet", _in_short(now.total.quiet_alerts)),
            Headline("Alerts an hour, each supervisor", _load(now.load)),
        ]
    )
    rows: list[list[Cell | str | int]] = [
        [name.capitalize(), _cell(new), _cell(old)] for name, new, old in compared(now, before)
    ]
    rows.append(["Alerts an hour, each supervisor", _load(now.load), _load(before.load)])
    page.table(Table("Candidate and rules in force", ["", "candidate", "in force"], rows))


def _reasons(page: Page, figures: BacktestFigures) -> None:
    now, before = figures.candidate.reasons, figures.in_force.reasons
    rates = {one.reason: one.rate for one in before}
    told = [one for one in now if one.rate.alert_count]
    names = [one.reason for one in told]
    names += [one.reason for one in before if one.rate.alert_count and one.reason not in names]
    page.section("Why")
    if names:
        new = {one.reason: one.rate for one in told}
        page.figure(
            lambda figure: _draw_rates(
                figure, names, [new.get(n) for n in names], [rates.get(n) for n in names]
            ),
            caption="Alerts a 100 contacts, by reason",
            alternative="Bars of the alerts a hundred contacts for each reason, the candidate "
            "above the rules in force.",
            height_in=1.0 + _ROW_IN * len(names),
        )
    page.table(
        Table(
            "Reasons of the candidate, against labels",
            ["reason", "alerts a 100", "precision", "recall"],
            [_reason_row(one) for one in now],
            note="Precision: of the labelled contacts with such an alert, those labelled with the "
            "reason. Recall: of the contacts labelled with it, those with such an alert.",
        )
    )


def _reason_row(one: ReasonFigures) -> list[Cell | str | int]:
    return [one.reason, _rate(one.rate), _share(one.precision), _share(one.recall)]


def _detections(page: Page, detections: Sequence[Detection]) -> None:
    page.section(
        "Right, and in time",
        "How well alerts find the contacts in which, by labels, somebody had to step in. Lead "
        "is the number of turns by which the first alert came before the first labelled turn.",
    )
    page.figure(
        lambda figure: _draw_detections(figure, detections),
        caption="Precision and recall of alerts of at least a severity",
        alternative="For the levels escalate and watch or more: precision, recall, and recall in "
        "time, with intervals, for each lowest severity.",
        data=Table(
            "Alerts against labels",
            ["finds", "severity", "precision", "recall", "recall in time", "lead in turns"],
            [
                [
                    _target(one.target),
                    one.min_severity.value,
                    _share(one.precision),
                    _share(one.recall),
                    _share(one.recall_in_time),
                    _lead(one),
                ]
                for one in detections
            ],
            note="Lead: median, and the two quartiles, of the contacts that were found.",
        ),
        note=_INTERVALS,
        height_in=3.4,
    )


def _groups(page: Page, figures: BacktestFigures) -> None:
    page.section("Languages and channels")
    for caption, groups in (
        ("Languages", figures.candidate.languages),
        ("Channels", figures.candidate.channels),
    ):
        page.table(
            Table(
                caption,
                ["", "contacts", "alerts a 100", "a 100 quiet", "precision", "recall", "in time"],
                [_group_row(group) for group in groups],
                note="Precision, recall and recall in time are of any alert, for contacts labelled "
                "as escalate.",
            )
        )


def _group_row(group: GroupFigures) -> list[Cell | str | int]:
    any_alert = next(iter(group.detections), None)
    shares: list[Cell | str | int] = [ABSENT, ABSENT, ABSENT]
    if any_alert is not None:
        shares = [
            _share(any_alert.precision),
            _share(any_alert.recall),
            _share(any_alert.recall_in_time),
        ]
    return [
        group.name or "unknown",
        group.contact_count,
        _rate(group.alerts),
        _rate(group.quiet_alerts),
        *shares,
    ]


def _budget(page: Page, budget: BudgetFigures) -> None:
    page.section(
        f"Thresholds for {budget.alerts_per_100:g} alerts a 100 contacts",
        "min_probability was raised from half of what it is now, one rule after the other, always "
        "where that costs least. Critical rules, and those without a threshold, stay as they are.",
    )
    if budget.chosen is None:
        page.paragraph("Nothing fits: what is left comes of rules that a budget does not change.")
    page.figure(
        lambda figure: _draw_curve(figure, budget),
        caption="What a budget buys",
        alternative="Precision and recall over the alerts a hundred contacts, with the budget and "
        "the point that was chosen.",
        data=Table(
            "Points of the curve",
            ["alerts a 100", "a 100 quiet", "precision", "recall", ""],
            [
                [
                    _rate(point.alerts),
                    _rate(point.quiet_alerts),
                    _share(point.precision),
                    _share(point.recall),
                    "chosen" if point is budget.chosen else "",
                ]
                for point in budget.curve
            ],
        ),
        note="Precision and recall are of any alert, for contacts labelled as escalate.",
        height_in=3.4,
    )
    page.table(
        Table(
            "Thresholds that change",
            ["rule", "min_probability now", "then"],
            [
                [rule_id, _decimal(before), _decimal(now)]
                for rule_id, (before, now) in budget.changes.items()
            ],
        )
    )


def _difference(page: Page, figures: BacktestFigures) -> None:
    page.section("What changes")
    for caption, contacts in (
        ("Contacts that gain their first alert", figures.difference.gained),
        ("Contacts that lose all alerts", figures.difference.lost),
        ("Contacts with other alerts", figures.difference.changed),
    ):
        page.table(_contacts(caption, contacts))


def _contacts(caption: str, contacts: ContactList) -> Table:
    listed = len(contacts.contacts)
    note = f"The first {listed} of {contacts.count}." if listed < contacts.count else ""
    return Table(
        f"{caption}: {contacts.count}",
        ["conversation", "source", "number there"],
        [[one.contact_id, one.source, one.number] for one in contacts.contacts],
        note=note,
    )


def _rules(page: Page, figures: BacktestFigures) -> None:
    page.section("Rules")
    page.table(
        Table(
            "Rules of the candidate",
            ["rule", "alerts a 100"],
            [[one.name, _rate(one.rate)] for one in figures.candidate.rules],
            note="By the rule that raised the alert.",
        )
    )


def _draw_rates(
    figure: Figure,
    names: Sequence[str],
    now: Sequence[Rate | None],
    before: Sequence[Rate | None],
) -> None:
    axes = figure.subplots()
    for offset, rates, colour, label in (
        (-_BAR_HEIGHT / 2, now, Colour.ACCENT, "candidate"),
        (_BAR_HEIGHT / 2, before, Colour.MUTED, "in force"),
    ):
        places = [index + offset for index in range(len(names))]
        values = [one.per_100 or 0.0 if one else 0.0 for one in rates]
        axes.barh(places, values, height=_BAR_HEIGHT * 0.9, color=colour, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("alerts a 100 contacts")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.legend(loc="lower right")


def _draw_detections(figure: Figure, detections: Sequence[Detection]) -> None:
    for axes, target in zip(figure.subplots(1, len(TARGETS), sharey=True), TARGETS, strict=True):
        of_target = [one for one in detections if one.target is target]
        for offset, colour, marker, label, shares in (
            (-0.15, Colour.ACCENT, "o", "precision", [one.precision for one in of_target]),
            (0.0, Colour.POSITIVE, "s", "recall", [one.recall for one in of_target]),
            (0.15, Colour.SECOND, "D", "recall in time", [o.recall_in_time for o in of_target]),
        ):
            _draw_shares(axes, shares, offset, colour, marker, label)
        severities = [one.min_severity.value for one in of_target]
        axes.set_xticks(range(len(severities)), severities)
        axes.set_xlim(-0.5, len(severities) - 0.5)
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(_percent)
        axes.set_title(_target(target))
        axes.set_xlabel("lowest severity")
        axes.grid(axis="y")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)


def _draw_shares(
    axes: Axes,
    shares: Sequence[Share],
    offset: float,
    colour: Colour,
    marker: str,
    label: str,
) -> None:
    known = [
        (index + offset, one.value, one.interval)
        for index, one in enumerate(shares)
        if one.value is not None and one.interval is not None
    ]
    axes.errorbar(
        [place for place, _, _ in known],
        [value for _, value, _ in known],
        yerr=[
            [value - interval.low for _, value, interval in known],
            [interval.high - value for _, value, interval in known],
        ],
        fmt=marker,
        markersize=5,
        linewidth=1.2,
        color=colour,
        label=label,
    )


def _draw_curve(figure: Figure, budget: BudgetFigures) -> None:
    axes = figure.subplots()
    points = [point for point in budget.curve if point.alerts.per_100 is not None]
    for colour, marker, label, values in (
        (Colour.ACCENT, "o", "precision", [point.precision.value for point in points]),
        (Colour.POSITIVE, "s", "recall", [point.recall.value for point in points]),
    ):
        known = [
            (point.alerts.per_100, value)
            for point, value in zip(points, values, strict=True)
            if value is not None
        ]
        if known:
            x, y = zip(*known, strict=True)
            axes.plot(x, y, marker=marker, markersize=4, color=colour, label=label)
    if budget.chosen is not None and budget.chosen.alerts.per_100 is not None:
        chosen = budget.chosen.alerts.per_100
        axes.axvline(chosen, color=Colour.INK, linewidth=1, linestyle=":", label="chosen")
    axes.axvline(
        budget.alerts_per_100, color=Colour.NEGATIVE, linewidth=1, linestyle="--", label="budget"
    )
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(_percent)
    axes.set_xlabel("alerts a 100 contacts")
    axes.grid(axis="both")
    axes.legend(loc="lower left", bbox_to_anchor=(1.0, 0.0))


def _percent(value: float, _position: float) -> str:
    return f"{value:.0%}"


def _target(target: EscalationLevel) -> str:
    return "escalate" if target is EscalationLevel.ESCALATE else "watch or more"


def _lead(one: Detection) -> Cell:
    lead = one.lead_time
    if (
        lead.median_turns is None
        or lead.lower_quartile_turns is None
        or lead.upper_quartile_turns is None
    ):
        return Cell(ABSENT, is_numeric=True, is_small=True)
    text = f"{number(lead.median_turns)} ({number(lead.lower_quartile_turns)} to "
    text += f"{number(lead.upper_quartile_turns)})"
    count = lead.contact_count
    return Cell(text, f"n = {count}", is_numeric=True, is_small=count < SMALL_COUNT)


def _cell(one: AlertFigure) -> Cell:
    return _share(one) if isinstance(one, Share) else _rate(one)


def _rate(one: Rate | None) -> Cell:
    if one is None or one.per_100 is None:
        return Cell(ABSENT, is_numeric=True)
    basis = f"{one.alert_count} in {one.contact_count}"
    is_small = one.contact_count < SMALL_COUNT
    return Cell(rate_text(one), basis, is_numeric=True, is_small=is_small)


def _in_short(one: Rate) -> Cell:
    """Return a rate for large type, its interval below."""
    if one.per_100 is None or one.interval is None:
        return Cell(ABSENT, is_numeric=True)
    return Cell(f"{one.per_100:.1f}", interval_text(one.interval), is_numeric=True)


def _share(one: Share) -> Cell:
    basis = f"{one.part} of {one.whole}"
    return Cell(share_text(one), basis, is_numeric=True, is_small=one.whole < SMALL_COUNT)


def _load(load: SupervisorLoad) -> Cell:
    if load.alerts_per_hour is None or load.contacts_per_hour is None:
        return Cell(ABSENT, "no times", is_numeric=True)
    basis = f"{load.contacts_per_hour:.1f} contacts an hour"
    return Cell(f"{load.alerts_per_hour:.2f}", basis, is_numeric=True)


def _decimal(amount: float) -> Cell:
    return Cell(f"{amount:g}", is_numeric=True)
