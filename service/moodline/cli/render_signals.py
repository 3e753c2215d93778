"""Draws signals for people; nothing is printed here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from moodline.cli.render import Isolated, escaped
from moodline.v1.signal_pb2 import Signal, SignalEvent

_SEVERITY_STYLES: Final = {
    "info": "dim",
    "low": "cyan",
    "medium": "yellow",
    "high": "bold red",
    "critical": "bold white on red",
}
_KIND_MARKS: Final = {
    "RAISED": "▲",
    "UPDATED": "↻",
    "ACKNOWLEDGED": "✓",
    "CLEARED": "▽",
    "RESOLVED": "■",
    "EXPIRED": "◌",
}


def event_line(event: SignalEvent, *, language: str = "en") -> RenderableType:
    """Return what happened to a signal: kind, severity, explanation, and a quote of it.

    Args:
        event: The event.
        language: Of the explanation, where the rule has it; else English.
    """
    signal = event.signal
    turn = f"turn {event.moment.turn_index}" if event.HasField("moment") else ""
    line = Text("  ").join(
        part
        for part in (
            Text(f"{_KIND_MARKS.get(event.kind, '?')} {event.kind.lower()}", "bold"),
            _severity(signal),
            Text(turn, "dim"),
            Text(explanation(signal, language)),
            Text(f"→ {signal.route}" if signal.route else "", "blue"),
        )
        if part.plain
    )
    if event.kind not in ("RAISED", "UPDATED"):
        return line
    return _with_quote(line, signal)


def turn_events(events: Iterable[SignalEvent], *, language: str) -> RenderableType:
    """Return what a turn did to signals, as it stands below the turn."""
    grid = Table.grid()
    for event in events:
        grid.add_row(event_line(event, language=language))
    return Padding(grid, (0, 0, 0, 13))


def signals_table(signals: Iterable[Signal], *, language: str = "en") -> Table:
    """Return signals as they stand, one a row."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("signal", no_wrap=True)
    table.add_column("raised", no_wrap=True)
    table.add_column("state")
    table.add_column("severity")
    table.add_column("conversation", overflow="fold")
    table.add_column("what", ratio=1)
    for signal in signals:
        by = signal.resolved_by or signal.acknowledged_by
        table.add_row(
            signal.signal_id,
            clock_time(signal.raise_time),
            Text.assemble(
                signal.state.lower(),
                f" {signal.outcome.lower()}" if signal.outcome else "",
                (f" by {escaped(by)}" if by else "", "dim"),
            ),
            _severity(signal),
            escaped(signal.conversation_id),
            explanation(signal, language),
        )
    return table


def rollup_signals(signals: Iterable[Signal], *, language: str) -> RenderableType:
    """Return the signals of an analysed conversation, below its roll-up."""
    grid = Table.grid()
    for signal in signals:
        line = Text("  ").join(
            (
                Text(f"{_KIND_MARKS['RAISED']} {signal.state.lower()}", "bold"),
                _severity(signal),
                Text(f"turn {signal.raised.turn_index}", "dim"),
                Text(explanation(signal, language)),
            )
        )
        grid.add_row(_with_quote(line, signal))
    return Padding(grid, (0, 0, 1, 2))


def explanation(signal: Signal, language: str) -> str:
    """Return the line that an agent reads, in a language if there is one in it."""
    texts = signal.explanation
    code = language.partition("-")[0]
    return escaped(texts[code] if code in texts else texts.get("en", signal.reason))


def clock_time(time: Timestamp) -> str:
    """Return a time in UTC, to the second."""
    return time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S") if time.seconds else ""


def _severity(signal: Signal) -> Text:
    return Text(signal.severity, _SEVERITY_STYLES.get(signal.severity, ""))


def _with_quote(line: Text, signal: Signal) -> RenderableType:
    """Put the latest words that a signal rests on below its line."""
    if not signal.quotes:
        return line
    grid = Table.grid()
    grid.add_row(line)
    quote = Isolated(Text(f"“{escaped(signal.quotes[-1].text)}”", "italic"))
    grid.add_row(Padding(quote, (0, 0, 0, 2)))
    return grid
