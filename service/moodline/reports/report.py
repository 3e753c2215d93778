"""Makes the page of `moodline report` from findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Final

from moodline.domain import EscalationLevel, UrgencyLevel
from moodline.reports import cells, drawings
from moodline.reports.cells import Cell
from moodline.reports.drawings import Bar, Curve, Tile
from moodline.reports.errors import ReportError
from moodline.reports.figures import Colour
from moodline.reports.findings import (
    MAX_GROUPS,
    TENTH_COUNT,
    ConversationOutcome,
    Findings,
    Group,
    Groups,
    MoodSpread,
    RankedConversation,
    Selection,
    TurnFigures,
    find,
)
from moodline.reports.page import Headline, Page, Table, require_report_extra
from moodline.reports.reading import read_results
from moodline.reports.results import legible
from moodline.rollup import MIN_TREND_TURN_COUNT, NO_STAGE

_STAGES: Final = (
    "awareness",
    "consideration",
    "evaluation",
    "purchase",
    "onboarding",
    "usage",
    "support",
    "renewal",
    "advocacy",
    NO_STAGE,
)
"""In the order of the journey (docs/labels.md); others stand behind them, by name."""
_TRENDS: Final = (
    "IMPROVING",
    "SLIGHTLY_IMPROVING",
    "STABLE",
    "SLIGHTLY_DECLINING",
    "DECLINING",
)
_SEVERITIES: Final = ("critical", "high", "medium", "low", "info")
_MAX_TOLD_GROUPS: Final = 30
_MAX_PROBLEM_CHARS: Final = 240
"""The whole is in the results: an unknown shape is told all that was looked for."""
_MAX_MATRIX_TAGS: Final = 10
_UNKNOWN: Final = "(unknown)"
_MEANINGS: Final[Mapping[str, str]] = {
    "UNREADABLE": "a file, or a conversation in it, that its reader refuses",
    "NOT_A_VCON": "no vCon to add an analysis to",
    "INVALID_REQUEST": "outside the limits of content",
    "INPUT_TOO_LONG": "longer than the limits",
    "INFERENCE_FAILED": "the engine failed; report it",
    "INTERNAL": "moodline failed; report it",
    "ROLE_UNCERTAIN": "who is the customer is not certain",
    "ROLES_SWAPPED": "customer and agent are probably the wrong way round",
    "ROLES_MIXED": "one speaker probably carries both sides",
    "ROLES_GUESSED": "roles were guessed from the words",
    "ROLE_UNKNOWN": "the role of a speaker is unknown; such turns have no scores",
    "INCOMPLETE": "a part of the conversation is not in the export",
    "SIGNATURE_NOT_VERIFIED": "a signed vCon whose signature was not verified",
    "LANGUAGE_NOT_READ": "the language is no BCP-47 tag; it was detected",
    "TURN_ID_DROPPED": "ids of turns were repeated or too long",
    "CUES_NOT_READ": "cues of WebVTT without valid times are left out",
    "UNMEASURED_LANGUAGE": "the model's quality in this language is not measured",
    "UNSUPPORTED_LANGUAGE": "a script that the model cannot read; such turns have no scores",
    "INSUFFICIENT_TURNS": "no customer turn to score",
    "TURNS_OUT_OF_TIME_ORDER": "times of turns run backwards",
}
_URGENCY_COLOURS: Final = (
    (Colour.MUTED, 0.15),
    (Colour.MUTED, 0.35),
    (Colour.WARNING, 0.5),
    (Colour.NEGATIVE, 0.6),
)
_ESCALATION_COLOURS: Final = (
    (Colour.MUTED, 0.15),
    (Colour.WARNING, 0.45),
    (Colour.NEGATIVE, 0.6),
)


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What to report on.

    Attributes:
        results: Files and folders that `moodline score` wrote.
        title: Of the page.
        languages: BCP-47 tags of the conversations to report on; empty for all.
        channels: Likewise.
        max_listed: How many conversations and tags lists hold.
    """

    results: tuple[Path, ...]
    title: str = "Conversation report"
    languages: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    max_listed: int = 10


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was made: the HTML, and what it rests on."""

    html: str
    findings: Findings


def make_report(request: ReportRequest) -> Report:
    """Read results and make the page.

    Raises:
        ReportError: If there are none, they are not ours, or something is missing that pages need.
        OSError: If they cannot be read.
    """
    require_report_extra()
    selection = Selection(
        languages=frozenset(one.casefold() for one in request.languages),
        channels=frozenset(one.casefold() for one in request.channels),
    )
    found = find(read_results(request.results), selection=selection, max_ranked=request.max_listed)
    if not found.total.conversation_count:
        raise _nothing_to_tell(request, found)
    return Report(_page(request, found).render(), found)


def _nothing_to_tell(request: ReportRequest, found: Findings) -> ReportError:
    if found.left_out_count:
        return ReportError(
            f"None of {found.left_out_count} conversations is of the language and channel asked "
            f"for; there are the languages {_listed(found.seen_languages)} and the channels "
            f"{_listed(found.seen_channels)}."
        )
    told = ", ".join(map(str, request.results))
    if found.failed_count:
        return ReportError(
            f"{told}: all {found.failed_count} conversations failed; there is nothing to report."
        )
    return ReportError(f"{told}: is empty; looked for conversations that moodline score scored.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name or _UNKNOWN for name in sorted(names))


def _page(request: ReportRequest, found: Findings) -> Page:
    names = ", ".join(legible(path.name) for path in request.results)
    page = Page(legible(request.title), _subtitle(request, names))
    _overview(page, found)
    if found.total.scored_count:
        _mood(page, found)
        _levels(page, found.total)
        _journey(page, found)
        _pain_points(page, found, request.max_listed)
        if found.is_signals_known:
            _signals(page, found)
        _groups(page, found)
        _extremes(page, found)
    _run(page, found)
    return page


def _subtitle(request: ReportRequest, names: str) -> str:
    filters = [
        *(f"language {legible(one)}" for one in request.languages),
        *(f"channel {legible(one)}" for one in request.channels),
    ]
    return f"{names} · only {', '.join(filters)}" if filters else names


def _overview(page: Page, found: Findings) -> None:
    total = found.total
    n = total.scored_count
    languages = [name for name, _ in found.by_language.by_size()]
    told = ", ".join(languages[:4]) + (", …" if len(languages) > 4 else "")
    conversations, turns = map(cells.count, (total.conversation_count, found.all_turn_count))
    headlines = [
        Headline("Conversations", _based(conversations, f"{cells.count(n).text} with scores")),
        Headline("Turns", _based(turns, f"{cells.count(total.turn_count).text} scored")),
        Headline("Languages", _based(cells.count(len(languages)), told)),
        Headline("Mean mood, −1 to 1", cells.mean(total.mood.value, total.mood.count)),
        Headline(
            "Escalated at some time",
            cells.share(total.escalation_peaks[EscalationLevel.ESCALATE], n),
        ),
        Headline(
            "Watch, never escalated", cells.share(total.escalation_peaks[EscalationLevel.WATCH], n)
        ),
        Headline("Urgent at some time", cells.share(total.urgent_count, n)),
        Headline(
            "Expected CSAT, 1 to 5",
            cells.mean(total.csat.value, total.csat.count, is_signed=False),
        ),
        Headline("Left unresolved", cells.share(total.outcomes[ConversationOutcome.UNRESOLVED], n)),
    ]
    if found.is_signals_known and found.signals:
        headlines.append(
            Headline("With signals", cells.share(found.signalled_count, total.conversation_count))
        )
    if found.failed_count:
        whole = found.failed_count + total.conversation_count + found.left_out_count
        headlines.append(Headline("Failed", cells.share(found.failed_count, whole)))
    page.section(
        "Overview",
        "Estimates of a model, not what customers said they feel. Mood, urgency and escalation are "
        "those of customers' turns; means and shares are over conversations with scores, each of "
        "the same weight.",
    )
    if found.left_out_count:
        page.paragraph(f"{found.left_out_count} further conversations are left out by the filters.")
    if len(found.models) > 1:
        page.paragraph(
            "These results are of several models or settings: figures of different ones do not "
            "compare. See the end of the page."
        )
    page.headlines(headlines)


def _based(cell: Cell, basis: str) -> Cell:
    return Cell(cell.text, basis, is_numeric=True)


def _mood(page: Page, found: Findings) -> None:
    page.section("Mood over the conversation")
    named = [("All", found.whole_curve)]
    named += [(outcome.capitalize(), found.curves[outcome]) for outcome in ConversationOutcome]
    curves = [_curve(name, spreads) for name, spreads in named if spreads[0].mean.count]
    if curves:
        whole = curves[0]
        page.figure(
            drawings.mood_curves(curves),
            caption="Mean mood by tenth of the conversation, by outcome",
            alternative=(
                f"Of {whole.count} conversations the mean mood goes from "
                f"{cells.number(whole.means[0])} in the first tenth to "
                f"{cells.number(whole.means[-1])} in the last. "
                + " ".join(
                    f"{one.name}: {cells.number(one.means[0])} to {cells.number(one.means[-1])}."
                    for one in curves[1:]
                )
            ),
            data=_curve_table(curves),
            note=(
                "Line: mean; band: the middle half of the conversations; dashes: all. Of "
                f"conversations with at least {MIN_TREND_TURN_COUNT} scored customer turns. The "
                "outcome is the tag resolved or unresolved of the last turn that has one."
            ),
            height_in=2.7,
        )
    else:
        page.paragraph(
            f"No conversation has {MIN_TREND_TURN_COUNT} scored customer turns: there is no course."
        )
    trend_count = found.trends.total()
    page.table(
        Table(
            "How the mood of conversations went",
            ("Trend", "Conversations"),
            [
                (_plain(trend), cells.share(found.trends[trend], trend_count))
                for trend in _in_order(found.trends, _TRENDS)
            ],
            note=f"Of conversations with at least {MIN_TREND_TURN_COUNT} scored customer turns.",
        )
    )


def _curve(name: str, spreads: Sequence[MoodSpread]) -> Curve:
    def values(of: Iterable[float | None]) -> list[float]:
        return [one for one in of if one is not None]

    return Curve(
        name=name,
        count=spreads[0].mean.count,
        means=values(one.mean.value for one in spreads),
        lower=values(one.quantile(0.25) for one in spreads),
        upper=values(one.quantile(0.75) for one in spreads),
    )


def _curve_table(curves: Sequence[Curve]) -> Table:
    return Table(
        "Mean mood (middle half) by tenth",
        ("Tenth", *(f"{one.name}, n = {one.count}" for one in curves)),
        [
            (
                str(tenth + 1),
                *(
                    Cell(
                        cells.number(one.means[tenth]),
                        f"{cells.number(one.lower[tenth])} to {cells.number(one.upper[tenth])}",
                        is_numeric=True,
                        is_small=one.count < cells.SMALL_COUNT,
                    )
                    for one in curves
                ),
            )
            for tenth in range(TENTH_COUNT)
        ],
    )


def _levels(page: Page, total: Group) -> None:
    page.section("Urgency and escalation")
    for name, levels, peaks, ends, colours in (
        ("Urgency", UrgencyLevel, total.urgency_peaks, total.urgency_ends, _URGENCY_COLOURS),
        (
            "Escalation",
            EscalationLevel,
            total.escalation_peaks,
            total.escalation_ends,
            _ESCALATION_COLOURS,
        ),
    ):
        _level_figure(page, name, list(levels), peaks, ends, colours, total.scored_count)


def _level_figure(
    page: Page,
    name: str,
    levels: Sequence[str],
    peaks: Mapping[str, int],
    ends: Mapping[str, int],
    colours: Sequence[tuple[Colour, float]],
    whole: int,
) -> None:
    page.figure(
        drawings.stacked_bars(
            [
                Bar("highest", [peaks[level] for level in levels]),
                Bar("at the end", [ends[level] for level in levels]),
            ],
            [_plain(level) for level in levels],
            colours,
        ),
        caption=f"{name} of {whole} conversations",
        alternative=(
            f"{name}, highest: "
            + ", ".join(f"{_plain(level)} {peaks[level] / whole:.1%}" for level in levels)
            + "; at the end: "
            + ", ".join(f"{_plain(level)} {ends[level] / whole:.1%}" for level in levels)
        ),
        data=Table(
            f"{name} of conversations",
            ("Level", "Highest", "At the end"),
            [
                (_plain(level), cells.share(peaks[level], whole), cells.share(ends[level], whole))
                for level in reversed(levels)
            ],
        ),
        height_in=1.5,
    )


def _journey(page: Page, found: Findings) -> None:
    page.section("Journey")
    whole = found.total.scored_count
    walked = [name for name in _in_order(found.stages, _STAGES) if name != NO_STAGE]
    transitions = found.transitions
    if transitions:
        most = max(transitions.values())

        def tile(row: int, column: int) -> Tile | None:
            count = transitions[walked[row], walked[column]]
            return Tile(str(count), Colour.ACCENT, count / most) if count else None

        (source, target), count = transitions.most_common(1)[0]
        page.figure(
            drawings.matrix(walked, walked, tile, row_title="from", column_title="to"),
            caption="Steps from stage to stage",
            alternative=(
                f"{transitions.total()} steps between stages; the most frequent is from {source} "
                f"to {target}, {count} times."
            ),
            data=Table(
                "Steps from stage to stage",
                ("From", "To", "Steps"),
                [
                    (source, target, cells.share(count, transitions.total()))
                    for (source, target), count in sorted(
                        transitions.items(), key=lambda item: (-item[1], item[0])
                    )
                ],
            ),
            height_in=0.36 * len(walked) + 1.3,
        )
    page.table(
        Table(
            "Stages",
            ("Stage", "Passed", "Begin in it", "End in it", "Customer turns", "Their mood"),
            [
                (
                    name,
                    *(
                        cells.share(count, whole)
                        for count in (stage.conversation_count, stage.begin_count, stage.end_count)
                    ),
                    cells.share(stage.turns.mood.count, found.total.turn_count),
                    cells.mean(stage.turns.mood.value, stage.turns.mood.count),
                )
                for name in walked
                for stage in (found.stages[name],)
            ],
            note=(
                f"In {found.pathless_count} of {whole} conversations nothing tells a stage; turns "
                "that tell none are in no row."
            ),
        )
    )


def _pain_points(page: Page, found: Findings, max_listed: int) -> None:
    ranked = sorted(found.tags.items(), key=lambda item: (-item[1].turns.negative_count, item[0]))
    painful = [(name, tag) for name, tag in ranked if tag.turns.negative_count]
    listed = painful[:max_listed]
    page.section("Pain points", "Tags by the number of negative customer turns that carry them.")
    page.table(
        Table(
            f"Top {len(listed)} of {len(painful)} tags with negative turns",
            ("Tag", "Negative turns", "Their mood", "Conversations", "Escalated of these"),
            [
                (
                    _plain(name),
                    cells.share(tag.turns.negative_count, tag.turns.mood.count),
                    cells.mean(tag.turns.mood.value, tag.turns.mood.count),
                    cells.share(tag.conversation_count, found.total.scored_count),
                    cells.share(tag.escalated_count, tag.conversation_count),
                )
                for name, tag in listed
            ],
            note=(
                "Negative turns: of all turns with the tag; mood: of all turns with the tag. "
                "A turn may carry several tags."
            ),
            empty="No tag has a negative turn.",
        )
    )
    tags = [name for name, _ in painful[:_MAX_MATRIX_TAGS]]
    stages = [
        stage
        for stage in _in_order(found.stages, _STAGES)
        if any((stage, tag) in found.pains for tag in tags)
    ]
    if tags and stages:
        _pain_matrix(page, found.pains, stages, tags)


def _pain_matrix(
    page: Page,
    pains: Mapping[tuple[str, str], TurnFigures],
    stages: Sequence[str],
    tags: Sequence[str],
) -> None:
    def tile(row: int, column: int) -> Tile | None:
        pain = pains.get((stages[row], tags[column]))
        if pain is None:
            return None
        mood = pain.mood.value or 0.0
        colour = Colour.NEGATIVE if mood < 0 else Colour.POSITIVE
        is_small = pain.mood.count < cells.SMALL_COUNT
        return Tile(str(pain.negative_count), colour, None if is_small else abs(mood))

    shown = {
        (stage, tag): pains[stage, tag] for stage in stages for tag in tags if (stage, tag) in pains
    }
    stage, tag = max(shown, key=lambda key: shown[key].negative_count)
    page.figure(
        drawings.matrix(stages, [_plain(name) for name in tags], tile),
        caption="Negative turns by stage and tag",
        alternative=(
            f"Most negative turns: {shown[stage, tag].negative_count} in stage {stage} with the "
            f"tag {_plain(tag)}."
        ),
        data=Table(
            "Turns by stage and tag",
            ("Stage", "Tag", "Negative turns", "Mood of all"),
            [
                (
                    stage,
                    _plain(tag),
                    cells.share(pain.negative_count, pain.mood.count),
                    cells.mean(pain.mood.value, pain.mood.count),
                )
                for (stage, tag), pain in sorted(
                    shown.items(), key=lambda item: (-item[1].negative_count, item[0])
                )
            ],
        ),
        note=(
            "Number: negative turns. Colour: mean mood of all turns there, red below 0, green "
            "above; the stronger, the further from 0; none where there are fewer than "
            f"{cells.SMALL_COUNT} turns."
        ),
        height_in=0.36 * len(stages) + 1.5,
    )


def _signals(page: Page, found: Findings) -> None:
    page.section("Signals")
    if not found.signals:
        page.paragraph("The results hold no signals.")
        return
    severities = _in_order({severity for _, severity in found.signals}, _SEVERITIES)
    by_reason: Counter[str] = Counter()
    for (reason, _), count in found.signals.items():
        by_reason[reason] += count
    page.table(
        Table(
            f"{found.signals.total()} signals of {found.signalled_count} conversations",
            ("Reason", *severities, "All"),
            [
                (
                    _plain(reason),
                    *(found.signals[reason, severity] for severity in severities),
                    cells.share(count, found.signals.total()),
                )
                for reason, count in sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
            ],
        )
    )


def _groups(page: Page, found: Findings) -> None:
    page.section("Channels and languages")
    page.table(_group_table("By channel", "Channel", found.by_channel, found.total, lambda _: ""))
    page.table(
        _group_table("By language", "Language", found.by_language, found.total, _is_measured)
    )


def _is_measured(group: Group) -> str:
    return "not measured" if group.is_measured is False else ""


def _group_table(
    caption: str, heading: str, groups: Groups, total: Group, basis: Callable[[Group], str]
) -> Table:
    named = groups.by_size()
    shown = named[:_MAX_TOLD_GROUPS]
    left_out = sum(group.conversation_count for _, group in named[_MAX_TOLD_GROUPS:])
    left_out += groups.others.conversation_count
    more = f"{MAX_GROUPS} or more" if groups.others.conversation_count else str(len(named))
    return Table(
        caption,
        (
            heading,
            "Conversations",
            "Mood",
            "Begin → end",
            "Escalated",
            "Watch at most",
            "Urgent",
            "Unresolved",
            "CSAT",
        ),
        [_group_row(name, group, total, basis(group)) for name, group in shown],
        is_stacked=True,
        note=(
            f"The {_MAX_TOLD_GROUPS} largest of {more}; {left_out} conversations are in others."
            if left_out
            else ""
        ),
    )


def _course(group: Group) -> Cell:
    begin, end = (cells.mean(one.value, one.count) for one in (group.begin, group.end))
    return Cell(f"{begin.text} → {end.text}", end.basis, is_numeric=True, is_small=end.is_small)


def _group_row(name: str, group: Group, total: Group, basis: str) -> tuple[Cell, ...]:
    n = group.scored_count
    return (
        Cell(name or _UNKNOWN, basis),
        cells.share(group.conversation_count, total.conversation_count),
        cells.mean(group.mood.value, group.mood.count),
        _course(group),
        cells.share(group.escalation_peaks[EscalationLevel.ESCALATE], n),
        cells.share(group.escalation_peaks[EscalationLevel.WATCH], n),
        cells.share(group.urgent_count, n),
        cells.share(group.outcomes[ConversationOutcome.UNRESOLVED], n),
        cells.mean(group.csat.value, group.csat.count, is_signed=False),
    )


def _extremes(page: Page, found: Findings) -> None:
    page.section(
        "Worst and best conversations",
        f"By mean mood, of {found.ranked_count} conversations with at least two scored customer "
        "turns. The first turn of a conversation is turn 0, as in results.",
    )
    for caption, ranked in (("Worst", found.worst), ("Best", found.best)):
        page.table(
            Table(
                caption,
                (
                    "Conversation",
                    "Mood",
                    "Begin → end",
                    "Lowest turn",
                    "Urgency",
                    "Escalation",
                    "Channel",
                    "Language",
                ),
                [_ranked_row(one) for one in ranked],
                empty="No conversation has two scored customer turns.",
            )
        )


def _ranked_row(ranked: RankedConversation) -> tuple[Cell | str, ...]:
    conversation, rollup, lowest = ranked.conversation, ranked.rollup, ranked.lowest
    source = Path(conversation.source).name
    place = source if conversation.number is None else f"{source} {conversation.number}"
    begin, end = cells.value(rollup.begin_score).text, cells.value(rollup.end_score).text
    return (
        Cell(conversation.conversation_id or "(no id)", place),
        # Each has its own n, which says how much a conversation is; it is no sample to mark.
        Cell(cells.number(rollup.score), f"n = {len(conversation.turns)}", is_numeric=True),
        Cell(f"{begin} → {end}", is_numeric=True),
        Cell(
            cells.number(lowest.score),
            "" if lowest.turn_index is None else f"turn {lowest.turn_index}",
            is_numeric=True,
        ),
        _plain(rollup.urgency_peak_level),
        _plain(rollup.escalation_peak_level),
        conversation.channel or _UNKNOWN,
        conversation.language,
    )


def _run(page: Page, found: Findings) -> None:
    total = found.total.conversation_count
    page.section("Errors and warnings")
    page.table(
        Table(
            f"Failed: {found.failed_count}",
            ("Code", "Items", "Means"),
            [
                (code, count, _MEANINGS.get(code, ""))
                for code, count in sorted(
                    found.failures.items(), key=lambda item: (-item[1], item[0])
                )
            ],
            empty="None failed.",
            note="Filters leave these in: what failed has no language."
            if found.left_out_count
            else "",
        )
    )
    if found.told_failures:
        page.table(
            Table(
                f"The first {len(found.told_failures)} of {found.failed_count}",
                ("Where", "Conversation", "Problem"),
                [
                    (
                        Cell(Path(one.source).name, one.place),
                        one.conversation_id or "(no id)",
                        shorten(
                            "; ".join(one.problems) or one.code, _MAX_PROBLEM_CHARS, placeholder="…"
                        ),
                    )
                    for one in found.told_failures
                ],
            )
        )
    page.table(
        Table(
            "Warnings",
            ("Code", "Conversations", "Means"),
            [
                (code, cells.share(count, total), _MEANINGS.get(code, ""))
                for code, count in sorted(
                    found.warnings.items(), key=lambda item: (-item[1], item[0])
                )
            ],
            empty="None." if found.is_warnings_known else "Results of this form hold no warnings.",
        )
    )
    page.table(
        Table(
            "Without scores",
            ("Reason", "Conversations", "Means"),
            [
                (code, cells.share(count, total), _MEANINGS.get(code, ""))
                for code, count in sorted(
                    found.absences.items(), key=lambda item: (-item[1], item[0])
                )
            ],
            empty="All conversations have scores.",
        )
    )
    page.table(
        Table(
            "Models",
            ("Version", "Configuration", "Conversations"),
            [
                (version, digest[:12], cells.share(count, total))
                for (version, digest), count in found.models.most_common()
            ],
        )
    )


def _in_order(names: Iterable[str], order: Sequence[str]) -> list[str]:
    places = {name: place for place, name in enumerate(order)}
    return sorted(names, key=lambda name: (places.get(name, len(order)), name))


def _plain(name: str) -> str:
    """Return the name of a label as a word."""
    return name.replace("_", " ").lower()
