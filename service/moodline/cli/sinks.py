"""Where results of `moodline analyze` go: JSON lines or drawings; problems to standard error."""

from __future__ import annotations

import sys
from typing import BinaryIO

from rich.console import Console

from moodline.cli import render, render_signals
from moodline.errors import FieldViolation
from moodline.jobs.answers import analysis_line
from moodline.v1.analysis_pb2 import ConversationAnalysis
from moodline.v1.conversation_pb2 import Conversation

_WIDTH_OFF_TERMINAL = 100


def new_console() -> Console:
    """Return the console on standard output."""
    width = None if sys.stdout.isatty() else _WIDTH_OFF_TERMINAL
    return Console(width=width, highlight=False, markup=False, emoji=False)


class _Problems:
    """Tells what is wrong with which line, as compilers do, and never quotes it."""

    def __init__(self, source_name: str) -> None:
        self._source_name = source_name

    def refuse(self, line_number: int, violations: tuple[FieldViolation, ...]) -> None:
        """Tell what is wrong with a line."""
        for violation in violations:
            self._tell(line_number, str(violation))

    def ignore(self, line_number: int, key: str) -> None:
        """Tell that a key means nothing to moodline."""
        self._tell(line_number, f"note: the key {key} is not read, here and further on")

    def _tell(self, line_number: int, problem: str) -> None:
        print(  # noqa: T201
            f"{self._source_name}:{line_number}: {render.escaped(problem)}",
            file=sys.stderr,
            flush=True,
        )


class JsonSink(_Problems):
    """Writes one JSON object a line: the message `ConversationAnalysis` with its field names."""

    def __init__(self, source_name: str, output: BinaryIO) -> None:
        """Take where to write.

        Args:
            source_name: Of the input, for problems.
            output: Flushed after each line.
        """
        super().__init__(source_name)
        self._output = output

    def write(self, conversation: Conversation, analysis: ConversationAnalysis) -> None:
        """Write a result."""
        self._output.write(analysis_line(analysis) + b"\n")
        self._output.flush()


class TableSink(_Problems):
    """Draws each conversation on standard output."""

    def __init__(self, source_name: str) -> None:
        super().__init__(source_name)
        self._console = new_console()

    def write(self, conversation: Conversation, analysis: ConversationAnalysis) -> None:
        """Draw a result."""
        block = render.conversation_block(
            conversation, analysis, render.look_of(self._console), width=self._console.width
        )
        self._console.print(block)
        if analysis.signals:
            self._console.print(
                render_signals.rollup_signals(analysis.signals, language=analysis.language)
            )
