"""Draws analyses for people: from messages to what rich can print; nothing is printed here.

Texts come from anybody: control and bidirectional characters are shown as escapes, and text that
runs from right to left is isolated, so that it cannot scramble what stands beside it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, median
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from moodline.v1.analysis_pb2 import (
    ConversationAnalysis,
    Evidence,
    RollupEscalation,
    RollupSentiment,
    RollupStage,
    RollupUrgency,
    Sentiment,
    TurnResult,
)
from moodline.v1.conversation_pb2 import Conversation, Turn

_LEFT_TO_RIGHT: Final = "\u2066"
_RIGHT_TO_LEFT: Final = "\u2067"
_END_OF_ISOLATE: Final = "\u2069"
_VISIBLE_FORMATS: Final = frozenset("\u200c\u200d") | frozenset(map(chr, range(0x600, 0x606)))
"""Format characters that text needs to look right: joiners (in emoji, too) and Arabic signs."""

_BAR_CELLS: Final = 5
"""Cells of the mood bar on each side of neutral."""
_CHART_ROWS: Final = 2
"""Rows of the mood line on each side of neutral; each shows halves."""
_BODY_INDENT: Final = 15

_SENTIMENT_STYLES: Final = {
    "VERY_NEGATIVE": "bold red",
    "NEGATIVE": "red",
    "NEUTRAL": "default",
    "POSITIVE": "green",
    "VERY_POSITIVE": "bold green",
}
_URGENCY_STYLES: Final = {"LOW": "dim", "HIGH": "yellow", "CRITICAL": "bold red"}
_ESCALATION_STYLES: Final = {"WATCH": "bold yellow", "ESCALATE": "bold white on red"}
_ROLE_STYLES: Final = {"customer": "bold", "agent": "dim", "bot": "dim"}
_TREND_ARROWS: Final = {
    "IMPROVING": "↑",
    "SLIGHTLY_IMPROVING": "↗",
    "STABLE": "→",
    "SLIGHTLY_DECLINING": "↘",
    "DECLINING": "↓",
}
_RISING: Final = ("NONE", "WATCH", "ESCALATE")


@dataclass(frozen=True, slots=True)
class Look:
    """How much the output can show.

    Attributes:
        is_coloured: Whether evidence shows by colour; else it stands between « and ».
    """

    is_coloured: bool


def look_of(console: Console) -> Look:
    """Return what a console can show."""
    return Look(is_coloured=console.color_system is not None and not console.no_color)


@dataclass(frozen=True, slots=True)
class ReadTurn:
    """A turn with its result.

    Attributes:
        turn: As it was sent.
        result: What came back.
        is_flagged: Whether escalation rose with it.
        duration_ms: From sending it to having its result, in milliseconds; None if not measured.
    """

    turn: Turn
    result: TurnResult
    is_flagged: bool = False
    duration_ms: float | None = None


class FlagTracker:
    """Tells the turns with which escalation rises from those on which it merely stands."""

    def __init__(self) -> None:
        self._level = _RISING[0]

    def rises(self, result: TurnResult) -> bool:
        """Take the next turn; tell whether the level rose."""
        if not result.HasField("escalation"):
            return False
        before, self._level = self._level, result.escalation.level
        return _rank(self._level) > _rank(before)


def read_turns(conversation: Conversation, analysis: ConversationAnalysis) -> list[ReadTurn]:
    """Join the turns of a conversation with their results."""
    flags = FlagTracker()
    return [
        ReadTurn(turn, result, is_flagged=flags.rises(result))
        for turn, result in zip(conversation.turns, analysis.turns, strict=True)
    ]


def escaped(text: str) -> str:
    """Return the text with control and bidirectional characters written as escapes."""
    return "".join(map(_escaped_char, text))


def marked_text(text: str, evidence: Iterable[Evidence], look: Look) -> Text:
    """Return a turn's text, escaped, with the words that its result rests on marked."""
    is_evidence = [False] * len(text)
    for span in evidence:
        is_evidence[span.start : span.end] = [True] * (span.end - span.start)
    marked = Text()
    for is_marked, group in groupby(zip(text, is_evidence, strict=True), key=lambda pair: pair[1]):
        words = escaped("".join(char for char, _ in group))
        if is_marked and not look.is_coloured:
            words = f"«{words}»"
        marked.append(words, "bold underline" if is_marked else "")
    return marked


@dataclass(frozen=True, slots=True)
class Isolated:
    """Text whose lines keep their direction to themselves."""

    text: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield the lines, each isolated where the text has letters from right to left."""
        opener = _isolate_opener(self.text.plain)
        for line in self.text.wrap(console, options.max_width):
            line.rstrip()
            yield Text.assemble(opener, line, _END_OF_ISOLATE) if opener else line

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the width of the text; what isolates it takes none."""
        return Measurement.get(console, options, self.text)


def conversation_heading(conversation: Conversation) -> RenderableType:
    """Return the line above a conversation."""
    turns = _count(len(conversation.turns), "turn")
    facts = [conversation.channel, conversation.language, turns]
    title = Text.assemble(
        (escaped(conversation.conversation_id), "bold"),
        "  ",
        (" · ".join(escaped(fact) for fact in facts if fact), "dim"),
    )
    return Rule(title, align="left", style="dim")


def conversations_heading(count: int) -> RenderableType:
    """Return the line above the final table."""
    return Rule(Text(f"{count} conversations", "bold"), align="left", style="dim")


def turn_block(read: ReadTurn, look: Look) -> RenderableType:
    """Return a turn: what was said, and what it says."""
    result = read.result
    body: list[RenderableType] = [
        Isolated(marked_text(read.turn.text, result.evidence, look)),
    ]
    if result.HasField("sentiment"):
        body.append(_reading_line(read))
    elif result.absence != "NOT_CUSTOMER":
        body.append(Text(f"no scores: {result.absence}", "dim"))
    if read.is_flagged:
        body.append(flag_line(read))
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=3, justify="right", style="dim")
    grid.add_column(width=8)
    grid.add_column(ratio=1)
    grid.add_row(
        str(result.turn_index),
        Text(result.role, _ROLE_STYLES.get(result.role, "")),
        Group(*body),
    )
    return grid


def flag_line(read: ReadTurn) -> Text:
    """Return what a person should know who is called to a turn: level, reasons, evidence."""
    escalation = read.result.escalation
    words = [
        Text.assemble(
            (f"⚑ {escalation.level}", _ESCALATION_STYLES.get(escalation.level, "")),
            f"  P(escalate) {escalation.probability:.2f}",
        )
    ]
    if read.result.tags:
        words.append(Text("because of " + ", ".join(tag.name for tag in read.result.tags)))
    quote = _quote(read.result.evidence)
    if quote:
        opener = _isolate_opener(quote)
        words.append(Text(f"{opener}“{quote}”{_END_OF_ISOLATE if opener else ''}", "italic"))
    return Text("  ").join(words)


def flag_entry(conversation_id: str, read: ReadTurn) -> RenderableType:
    """Return a flag as it stands in a list of several conversations."""
    place = Text(f"{escaped(conversation_id)}, turn {read.result.turn_index}  ", "dim")
    return Text.assemble(place, flag_line(read))


def mood_bar(score: float) -> str:
    """Draw a score in [-1, 1] as a bar to the left or right of neutral."""
    cells = round(abs(score) * _BAR_CELLS)
    empty = "·" * (_BAR_CELLS - cells)
    full = "█" * cells
    side = "·" * _BAR_CELLS
    return f"{empty}{full}│{side}" if score < 0 else f"{side}│{full}{empty}"


def signed(score: float) -> str:
    """Write a score with its sign, e.g. `−0.42`."""
    return f"{score:+.2f}".replace("-", "−")


def mood_line(results: Sequence[TurnResult], *, width: int) -> RenderableType | None:
    """Draw sentiment over the customer's turns; None where there is no line, of fewer than two.

    Args:
        results: All turns, in order.
        width: Cells to draw in; turns that do not fit are averaged, in equal groups.
    """
    scored = [result for result in results if result.HasField("sentiment")]
    if len(scored) < 2:
        return None
    room = max(1, width - 5)
    cell, gap = (3, 1) if len(scored) * 4 <= room else (1, 0)
    groups = _groups(scored, room // (cell + gap))
    columns = [fmean(result.sentiment.score for result in group) for group in groups]
    styles = [_score_style(score) for score in columns]
    lines: list[Text] = []
    for row in range(_CHART_ROWS, -_CHART_ROWS - 1, -1):
        label = {_CHART_ROWS: "  +1 ", 0: "   0 ", -_CHART_ROWS: "  −1 "}.get(row, "     ")
        line = Text(label, "dim")
        for score, style in zip(columns, styles, strict=True):
            line.append(_chart_cell(score, row) * cell, "dim" if row == 0 else style)
            line.append("─" * gap if row == 0 else " " * gap, "dim")
        lines.append(line)
    if cell > 1:
        labels = "".join(f"{result.turn_index:<{cell + gap}}" for result in scored)
        lines.append(Text(f"turn {labels}", "dim"))
    return Group(*lines)


def rollup_block(analysis: ConversationAnalysis) -> RenderableType:
    """Return the roll-up of a conversation, and what its reader should know."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=11, style="dim")
    grid.add_column(ratio=1)
    if analysis.absence:
        grid.add_row("no scores", analysis.absence)
    else:
        grid.add_row("mood", _mood_facts(analysis.sentiment))
        grid.add_row("scales", _scale_facts(analysis.sentiment))
        grid.add_row("urgency", _urgency_facts(analysis.urgency))
        grid.add_row("stage", _stage_facts(analysis.stage))
        grid.add_row("escalation", _escalation_facts(analysis.escalation))
        tags = ", ".join(f"{tag.name} {tag.probability:.2f}" for tag in analysis.tags)
        grid.add_row("tags", tags or "none")
        grid.add_row("CSAT", f"{analysis.expected_csat:.1f} of 5 expected")
    measured = "" if analysis.is_language_measured else " (quality not measured)"
    grid.add_row("language", f"{escaped(analysis.language)}{measured}")
    for warning in analysis.warnings:
        turn = f"turn {warning.turn_index}: " if warning.HasField("turn_index") else ""
        grid.add_row("warning", Text(f"{warning.code}: {turn}{warning.message}", "yellow"))
    return grid


def conversation_block(
    conversation: Conversation, analysis: ConversationAnalysis, look: Look, *, width: int
) -> RenderableType:
    """Return everything about one analysed conversation."""
    blocks = [turn_block(read, look) for read in read_turns(conversation, analysis)]
    return Group(
        conversation_heading(conversation),
        *blocks,
        "",
        closing_block(analysis.turns, analysis, width),
    )


def closing_block(
    results: Sequence[TurnResult], analysis: ConversationAnalysis, width: int
) -> RenderableType:
    """Return the mood line and the roll-up of a conversation."""
    chart = mood_line(results, width=width - _BODY_INDENT)
    parts = [chart, "", rollup_block(analysis)] if chart else [rollup_block(analysis)]
    return Padding(Group(*parts), (0, 0, 1, 2))


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One conversation in the final table.

    Attributes:
        analysis: Its roll-up.
        turn_count: Turns, 1 or more.
        durations_ms: Time of each turn, in milliseconds; empty if not measured.
    """

    analysis: ConversationAnalysis
    turn_count: int
    durations_ms: tuple[float, ...] = ()


def summary_table(rows: Sequence[SummaryRow]) -> Table:
    """Return all conversations in one table; urgency and escalation at their peaks."""
    is_timed = any(row.durations_ms for row in rows)
    caption = "urgency and escalation at their peaks"
    table = Table(
        box=None,
        header_style="dim",
        pad_edge=False,
        caption=f"{caption}; ms: median of a turn" if is_timed else caption,
        caption_justify="left",
    )
    table.add_column("conversation", overflow="fold")
    table.add_column("lang")
    table.add_column("turns", justify="right")
    table.add_column("mood", no_wrap=True)
    table.add_column("trend")
    table.add_column("stage")
    table.add_column("urgency")
    table.add_column("escalation")
    table.add_column("CSAT", justify="right")
    if is_timed:
        table.add_column("ms", justify="right")
    for row in rows:
        timing = [f"{median(row.durations_ms):.0f}" if row.durations_ms else ""]
        table.add_row(*_summary_cells(row), *(timing if is_timed else []))
    return table


def _summary_cells(row: SummaryRow) -> list[RenderableType]:
    analysis = row.analysis
    head = [escaped(analysis.conversation_id), escaped(analysis.language), str(row.turn_count)]
    if analysis.absence:
        return [*head, analysis.absence, "", "", "", "", ""]
    sentiment, escalation = analysis.sentiment, analysis.escalation
    return [
        *head,
        Text(signed(sentiment.score), _SENTIMENT_STYLES.get(sentiment.label, "")),
        _TREND_ARROWS.get(sentiment.trend.label, sentiment.trend.label),
        analysis.stage.name,
        Text(analysis.urgency.peak.level, _URGENCY_STYLES.get(analysis.urgency.peak.level, "")),
        Text(escalation.peak_level, _ESCALATION_STYLES.get(escalation.peak_level, "")),
        f"{analysis.expected_csat:.1f}",
    ]


def _reading_line(read: ReadTurn) -> Text:
    result = read.result
    sentiment, urgency = result.sentiment, result.urgency
    style = _SENTIMENT_STYLES.get(sentiment.label, "")
    parts = [
        Text.assemble((mood_bar(sentiment.score), style), " ", _mood(sentiment)),
        Text(result.stage.name, "cyan" if result.stage.name != "none" else "dim"),
        Text(f"urgency {urgency.level}", _URGENCY_STYLES.get(urgency.level, "")),
    ]
    parts += [Text(f"#{tag.name}", "blue") for tag in result.tags]
    if read.duration_ms is not None:
        parts.append(Text(f"{read.duration_ms:.0f} ms", "dim"))
    return Text("  ").join(parts)


def _mood(sentiment: Sentiment | RollupSentiment) -> Text:
    style = _SENTIMENT_STYLES.get(sentiment.label, "")
    return Text(f"{signed(sentiment.score)} {_words(sentiment.label)}", style)


def _mood_facts(sentiment: RollupSentiment) -> Text:
    trend = sentiment.trend
    turns = _count(trend.customer_turn_count, "customer turn")
    facts = Text.assemble(_mood(sentiment), f", {_words(trend.label) or 'no trend'} over {turns}")
    if sentiment.HasField("begin_score") and sentiment.HasField("end_score"):
        facts.append(f", from {signed(sentiment.begin_score)} to {signed(sentiment.end_score)}")
    return facts


def _scale_facts(sentiment: RollupSentiment) -> str:
    scales = sentiment.scales
    return (
        f"−5..5: {scales.minus5_to_5:+.1f}   −100..100: {scales.minus100_to_100:+.0f}   "
        f"0..100: {scales.zero_to_100:.0f}"
    ).replace("-", "−")


def _urgency_facts(urgency: RollupUrgency) -> Text:
    return Text.assemble(
        f"{urgency.level} at the end, peak ",
        (urgency.peak.level, _URGENCY_STYLES.get(urgency.peak.level, "")),
        f" at turn {urgency.peak_turn_index}",
    )


def _stage_facts(stage: RollupStage) -> str:
    path = " → ".join(f"{entry.name} ({entry.turn_index})" for entry in stage.stage_path)
    return f"{stage.name} {stage.probability:.2f}" + (f", way: {path}" if path else "")


def _escalation_facts(escalation: RollupEscalation) -> Text:
    facts = Text(f"{escalation.level} at the end")
    if escalation.HasField("first_turn_index"):
        style = _ESCALATION_STYLES.get(escalation.peak_level, "")
        facts.append(", peak ").append(escalation.peak_level, style)
        facts.append(f" since turn {escalation.first_turn_index}")
        facts.append(f", P(escalate) up to {escalation.peak_probability:.2f}")
    return facts


def _quote(evidence: Iterable[Evidence]) -> str:
    """The words that best tell why a turn was flagged, escaped."""
    aspects = ("escalation", "sentiment", "urgency", "stage")
    best = min(
        (span for span in evidence if span.aspect in aspects),
        key=lambda span: (aspects.index(span.aspect), -span.weight),
        default=None,
    )
    return escaped(best.text) if best else ""


def _words(label: str) -> str:
    """Write a label as words, e.g. `very negative`."""
    return label.replace("_", " ").lower()


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _rank(level: str) -> int:
    # A level that this version does not know counts as the highest: better seen than missed.
    return _RISING.index(level) if level in _RISING else len(_RISING)


def _score_style(score: float) -> str:
    return "red" if score < 0 else "green"


def _groups(results: list[TurnResult], max_count: int) -> list[list[TurnResult]]:
    size = -(-len(results) // max(1, max_count))
    return [results[start : start + size] for start in range(0, len(results), size)]


def _chart_cell(score: float, row: int) -> str:
    """The part of a column that falls into a row; rows count from neutral, up and down."""
    if row == 0:
        return "─"
    if (score > 0) != (row > 0):
        return " "
    halves = round(abs(score) * _CHART_ROWS * 2) - (abs(row) - 1) * 2
    if halves >= 2:
        return "█"
    return ("▄" if row > 0 else "▀") if halves == 1 else " "


def _escaped_char(char: str) -> str:
    category = unicodedata.category(char)
    is_hidden = category in {"Cc", "Cs", "Zl", "Zp"} or (
        category == "Cf" and char not in _VISIBLE_FORMATS
    )
    return char.encode("unicode_escape").decode("ascii") if is_hidden else char


def _isolate_opener(text: str) -> str:
    """What isolates the text in its own direction; empty if it has no letter from right to left."""
    directions = [unicodedata.bidirectional(char) for char in text]
    strong = [direction for direction in directions if direction in {"L", "R", "AL"}]
    if not strong or set(strong) == {"L"}:
        return ""
    return _LEFT_TO_RIGHT if strong[0] == "L" else _RIGHT_TO_LEFT
