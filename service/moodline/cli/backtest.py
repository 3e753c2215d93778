"""Runs a backtest as `moodline backtest` shows it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from moodline.analyzer import ConversationAnalyzer
from moodline.backtest.budget import BudgetFigures, choose
from moodline.backtest.comparison import compare
from moodline.backtest.contacts import Contact
from moodline.backtest.figures import (
    TARGETS,
    BacktestFigures,
    ContactList,
    Detection,
    GroupFigures,
    RuleSetFigures,
    Share,
    Staffing,
    SupervisorLoad,
)
from moodline.backtest.patching import patch_of, with_min_probabilities
from moodline.backtest.spool import Spool, SpoolHeader, SpoolWriter
from moodline.backtest.wording import AlertFigure, compared, rate_text, share_text
from moodline.cli import render
from moodline.cli.failures import FailureTeller, error_console
from moodline.jobs.contacts import score_contacts
from moodline.jobs.errors import JobError
from moodline.jobs.inputs import find_inputs
from moodline.jobs.items import Reading, read_items
from moodline.limits import Limits
from moodline.reports.cells import ABSENT
from moodline.rpc.validation import RequestValidator
from moodline.rules.rule_set import DEFAULT_RULES_FILE, RuleSet

DEFAULT_RULES: Final = "default"
"""Names the rules that come with moodline."""
_MAX_NAMED_CONTACTS: Final = 5


OpenAnalyzer: TypeAlias = Callable[[], AbstractAsyncContextManager[ConversationAnalyzer]]
"""Loads the model; only called if something is to be scored."""


@dataclass(frozen=True, slots=True)
class BacktestRequest:
    """What to try, on what, and where it is told.

    Attributes:
        rules: A file, or `DEFAULT_RULES`.
        in_force: What they would replace.
        inputs: Transcripts; none if `scores_file` holds them already.
        scores_file: Where scored contacts are kept, or taken from if it is there.
        alerts_per_100: An alert budget to choose thresholds for.
        patch_file: Where the thresholds go that were chosen.
    """

    rules: str
    in_force: RuleSet
    inputs: tuple[str, ...]
    reading: Reading
    scores_file: Path | None
    staffing: Staffing
    alerts_per_100: float | None
    patch_file: Path | None
    json_file: Path | None
    html_file: Path | None


@dataclass(frozen=True, slots=True)
class BacktestReport:
    """Everything that a backtest tells; its JSON is the file of `--json`.

    Attributes:
        refused_count: Conversations that could not be read or scored, which no figure holds.
        budget: None if no budget was given.
    """

    refused_count: int
    figures: BacktestFigures
    budget: BudgetFigures | None


REPORT: Final = TypeAdapter(BacktestReport)


def backtest(request: BacktestRequest, open_analyzer: OpenAnalyzer, console: Console) -> bool:
    """Make a backtest and tell what came of it.

    Returns:
        Whether everything was scored.

    Raises:
        JobError: If the inputs cannot be used.
        BacktestError: If the scores file cannot be used.
        ReportError: If a page is wanted and its extra is not installed.
        RuleSetError: If a rule set cannot be used.
        ArtifactError: If the model cannot be loaded.
        OSError: If a file cannot be read or written.
    """
    if request.html_file is not None:
        from moodline.reports.page import require_report_extra

        require_report_extra()
    candidate_text, candidate = read_rules(request.rules)
    with ExitStack() as stack:
        path = request.scores_file
        refused_count = 0
        if path is None:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "scores"
        if not path.exists():
            refused_count = asyncio.run(_score(request, path, open_analyzer))
        elif request.inputs:
            raise JobError(
                f"{path} holds scores already; give it without transcripts to use them, or remove "
                "it to score anew."
            )
        contacts = Spool(path)
        header = contacts.header
        figures = compare(
            candidate,
            request.in_force,
            contacts,
            model_version=header.model_version,
            configuration_digest=header.configuration_digest,
            staffing=request.staffing,
        )
        budget = None
        if request.alerts_per_100 is not None:
            budget = choose(
                candidate,
                contacts,
                alerts_per_100=request.alerts_per_100,
                model_version=header.model_version,
                configuration_digest=header.configuration_digest,
            )
    report = BacktestReport(refused_count, figures, budget)
    _show(report, console)
    _write(report, request, candidate_text)
    return refused_count == 0


def read_rules(name: str) -> tuple[str, RuleSet]:
    """Return the text of a rule set, and what it says.

    Args:
        name: A file, or `DEFAULT_RULES`.

    Raises:
        OSError: If the file cannot be read.
        RuleSetError: If it is no rule set.
    """
    if name == DEFAULT_RULES:
        return RuleSet.default_text(), RuleSet.default()
    path = Path(name)
    return path.read_bytes().decode(errors="replace"), RuleSet.load(path)


async def _score(request: BacktestRequest, path: Path, open_analyzer: OpenAnalyzer) -> int:
    """Score all inputs into a file; return how many could not be."""
    if not request.inputs:
        raise JobError("There are no transcripts; name files, folders or patterns.")
    files = find_inputs(request.inputs)
    errors = error_console()
    failures = FailureTeller(errors)
    async with open_analyzer() as analyzer:
        artifact = analyzer.artifact
        header = SpoolHeader(artifact.model_version, artifact.digest)
        with SpoolWriter(path, header) as spool:
            async for outcome in score_contacts(
                read_items(files, request.reading, {}), analyzer, RequestValidator(Limits())
            ):
                if isinstance(outcome.scored, Contact):
                    spool.add(outcome.scored)
                else:
                    failures.tell(outcome.item, outcome.scored)
    if failures.failed_count:
        errors.print(f"{failures.failed_count} conversations are left out", soft_wrap=True)
    return failures.failed_count


def _write(report: BacktestReport, request: BacktestRequest, rules_text: str) -> None:
    if request.json_file is not None:
        request.json_file.write_bytes(REPORT.dump_json(report, indent=1) + b"\n")
    if request.html_file is not None:
        from moodline.backtest.page import backtest_page

        page = backtest_page(report.figures, report.budget, refused_count=report.refused_count)
        request.html_file.write_text(page, encoding="utf-8")
    if request.patch_file is not None and report.budget is not None and report.budget.chosen:
        chosen = {rule_id: now for rule_id, (_, now) in report.budget.changes.items()}
        name = DEFAULT_RULES_FILE if request.rules == DEFAULT_RULES else request.rules
        changed = with_min_probabilities(rules_text, chosen)
        request.patch_file.write_text(patch_of(rules_text, changed, name=name), encoding="utf-8")


def _show(report: BacktestReport, console: Console) -> None:
    figures = report.figures
    now, before = figures.candidate, figures.in_force
    console.print(
        f"{figures.contact_count} contacts, {figures.turn_count} turns, {figures.labelled_count} "
        f"labelled; scored by {figures.model_version}"
    )
    console.print(
        f"candidate {now.name} ({now.digest[:12]}), in force {before.name} ({before.digest[:12]})"
    )
    console.print(_table("Alerts", ("", "candidate", "in force"), _alert_rows(now, before)))
    console.print(
        _table(
            "By language and channel",
            ("", "contacts", "alerts a 100", "a 100 quiet", "finds escalate", "in time"),
            [_group_row(group) for group in (*now.languages, *now.channels)],
        )
    )
    if now.total.detections:
        console.print(
            _table(
                "Alerts of at least a severity, against labels",
                ("finds", "severity", "precision", "recall", "in time", "lead, turns"),
                [_detection_row(one) for one in now.total.detections],
            )
        )
    console.print(
        _table(
            "Reasons",
            ("", "alerts a 100", "precision", "recall"),
            [
                (one.reason, rate_text(one.rate), _share(one.precision), _share(one.recall))
                for one in now.reasons
            ],
        )
    )
    told = [one for one in now.rules if one.rate.alert_count]
    console.print(
        _table("Rules", ("", "alerts a 100"), [(one.name, rate_text(one.rate)) for one in told])
    )
    silent = len(now.rules) - len(told)
    if silent:
        console.print(f"{silent} rules raised nothing")
    console.print()
    for word, contacts in (
        ("gain their first alert", figures.difference.gained),
        ("lose all alerts", figures.difference.lost),
        ("have other alerts", figures.difference.changed),
    ):
        console.print(_named(word, contacts), soft_wrap=True)
    if report.budget is not None:
        _show_budget(report.budget, console)


def _show_budget(budget: BudgetFigures, console: Console) -> None:
    console.print(
        _table(
            f"Thresholds for {budget.alerts_per_100:g} alerts a 100 contacts",
            ("alerts a 100", "a 100 quiet", "precision", "recall", ""),
            [
                (
                    rate_text(point.alerts),
                    rate_text(point.quiet_alerts),
                    _share(point.precision),
                    _share(point.recall),
                    "chosen" if point is budget.chosen else "",
                )
                for point in budget.curve
            ],
        )
    )
    if budget.chosen is None:
        console.print(
            "No thresholds fit: what is left comes of rules that a budget does not change "
            "(critical ones, and those without min_probability)."
        )
    for rule_id, (before, now) in budget.changes.items():
        console.print(f"{rule_id}: min_probability {before:g} -> {now:g}")
    if budget.chosen is not None and not budget.changes:
        console.print("The thresholds as they are fit the budget best.")


def _alert_rows(now: RuleSetFigures, before: RuleSetFigures) -> Iterator[tuple[str, str, str]]:
    for name, new, old in compared(now, before):
        yield name, _cell(new), _cell(old)
    yield _load_name(now.load), _load(now.load), _load(before.load)


def _cell(one: AlertFigure) -> str:
    return _share(one) if isinstance(one, Share) else rate_text(one)


def _group_row(group: GroupFigures) -> tuple[str, ...]:
    escalate = next(iter(group.detections), None)
    return (
        group.name or "unknown",
        str(group.contact_count),
        rate_text(group.alerts),
        rate_text(group.quiet_alerts),
        _share(escalate.recall) if escalate else ABSENT,
        _share(escalate.recall_in_time) if escalate else ABSENT,
    )


def _detection_row(one: Detection) -> tuple[str, ...]:
    lead = one.lead_time
    turns = ABSENT
    if lead.median_turns is not None:
        turns = f"{lead.median_turns:+g} ({lead.lower_quartile_turns:+g} to "
        turns += f"{lead.upper_quartile_turns:+g})"
    target = str(one.target).lower() + ("" if one.target is TARGETS[0] else " or more")
    return (
        target,
        one.min_severity,
        _share(one.precision),
        _share(one.recall),
        _share(one.recall_in_time),
        turns,
    )


def _load_name(load: SupervisorLoad) -> str:
    name = f"alerts an hour, one of {load.supervisor_count} supervisors"
    if load.contacts_per_hour is None:
        return name
    return f"{name}, {load.contacts_per_hour:g} contacts an hour"


def _load(load: SupervisorLoad) -> str:
    if load.alerts_per_hour is None:
        return f"{ABSENT} (give --contacts-per-hour)"
    return f"{load.alerts_per_hour:.2f}"


def _share(one: Share) -> str:
    return f"{share_text(one)} of {one.whole}"


def _named(word: str, contacts: ContactList) -> str:
    if contacts.count == 0:
        return f"0 contacts {word}"
    names = [render.escaped(one.contact_id) for one in contacts.contacts[:_MAX_NAMED_CONTACTS]]
    more = f" and {contacts.count - len(names)} more" if contacts.count > len(names) else ""
    return f"{contacts.count} contacts {word}: {', '.join(names)}{more}"


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    options: dict[str, Any] = {"box": None, "title_justify": "left", "title_style": "bold"}
    table = Table(title=f"\n{title}", pad_edge=False, **options)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index == 0 else "right", header_style="dim")
    for row in rows:
        table.add_row(*row)
    return table
