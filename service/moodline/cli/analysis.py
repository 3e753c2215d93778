"""Analyses JSON lines with the engine of this process or with a server, in bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from moodline.cli.conversation_lines import LineParser
from moodline.client import MoodlineRpcError
from moodline.errors import FieldViolation, InvalidRequestError, MoodlineError
from moodline.jobs.model import Analyze, ConversationError
from moodline.json_lines import line_too_long, read_lines
from moodline.v1.analysis_pb2 import ConversationAnalysis
from moodline.v1.conversation_pb2 import Conversation

MAX_IN_FLIGHT: Final = 8
"""Conversations that are analysed at a time: enough to fill engine calls, few enough that even the
longest ones need little memory."""


class Sink(Protocol):
    """Where results and problems go, in the order of the lines."""

    def write(self, conversation: Conversation, analysis: ConversationAnalysis) -> None:
        """Take the result of a line."""

    def refuse(self, line_number: int, violations: tuple[FieldViolation, ...]) -> None:
        """Take what is wrong with a line."""

    def ignore(self, line_number: int, key: str) -> None:
        """Take a key that was not read; told once."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a line: a conversation and its analysis, or an error."""

    line_number: int
    conversation: Conversation | None = None
    analysis: ConversationAnalysis | None = None
    ignored_keys: frozenset[str] = frozenset()
    error: Exception | None = None


Source: TypeAlias = io.FileIO | io.BytesIO

_Line: TypeAlias = tuple[int, bytes | OSError | None]
"""Number and content of a line; None if it is too long, an error if it could not be read."""
_Outcomes: TypeAlias = asyncio.Queue[asyncio.Task[_Outcome] | None]


async def analyze_lines(source: Source, *, parser: LineParser, analyze: Analyze, sink: Sink) -> int:
    """Analyse every line; each result goes to the sink as soon as those before it did.

    Args:
        source: JSON lines, unbuffered.
        parser: Turns them into conversations.
        analyze: Called for `MAX_IN_FLIGHT` conversations at a time.
        sink: Where results and problems go.

    Returns:
        How many lines were refused.

    Raises:
        OSError: If the source cannot be read.
        MoodlineError: If the engine is gone.
        MoodlineRpcError: If the server is gone or refuses the caller.
    """
    outcomes: _Outcomes = asyncio.Queue(MAX_IN_FLIGHT)
    submitting = asyncio.create_task(
        _submit(source, parser, analyze, outcomes), name="moodline-submit"
    )
    refused_count = 0
    told_keys: set[str] = set()
    try:
        while (task := await outcomes.get()) is not None:
            outcome = await task
            for key in sorted(outcome.ignored_keys - told_keys):
                sink.ignore(outcome.line_number, key)
            told_keys |= outcome.ignored_keys
            if outcome.conversation is not None and outcome.analysis is not None:
                sink.write(outcome.conversation, outcome.analysis)
            elif isinstance(outcome.error, ConversationError | InvalidRequestError):
                refused_count += 1
                sink.refuse(outcome.line_number, outcome.error.violations)
            elif outcome.error is not None:
                raise outcome.error
    finally:
        submitting.cancel()
        while not outcomes.empty():
            if (task := outcomes.get_nowait()) is not None:
                task.cancel()
    return refused_count


async def _submit(
    source: Source, parser: LineParser, analyze: Analyze, outcomes: _Outcomes
) -> None:
    """Start the work on each line, no further ahead than the queue has room."""
    async with contextlib.aclosing(_lines_of(source)) as lines:
        async for line_number, line in lines:
            work = _outcome_of(line_number, line, parser, analyze)
            await outcomes.put(asyncio.create_task(work, name=f"moodline-line-{line_number}"))
    await outcomes.put(None)


async def _outcome_of(
    line_number: int, line: bytes | OSError | None, parser: LineParser, analyze: Analyze
) -> _Outcome:
    if isinstance(line, OSError):
        return _Outcome(line_number, error=line)
    try:
        if line is None:
            raise line_too_long()
        parsed = parser.parse(line)
        conversation = parsed.conversation
        analysis = await analyze(conversation)
    except (MoodlineError, MoodlineRpcError, ConversationError) as error:
        return _Outcome(line_number, error=error)
    return _Outcome(line_number, conversation, analysis, parsed.ignored_keys)


async def _lines_of(source: Source) -> AsyncGenerator[_Line, None]:
    """Read lines in a thread: a pipe may keep silent for long, while results must go on.

    The thread is a daemon, since nothing can wake it from a read when the run is interrupted.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[_Line | None] = asyncio.Queue()
    # Bounds the queue from the thread's side: a line is read when the one before it was taken.
    is_wanted = threading.Semaphore()
    is_closed = threading.Event()

    def items(numbered: Iterator[tuple[int, bytes | None]]) -> Iterator[_Line | None]:
        line_number = 0
        try:
            for line_number, line in numbered:
                yield line_number, line
        except OSError as error:
            yield line_number + 1, error
        yield None

    def pump() -> None:
        # The loop may be closed while a read lasts; then nobody wants any more lines. The reader's
        # lock is this thread's alone: whoever closes the source need not wait for a read.
        with io.BufferedReader(source) as reader, contextlib.suppress(RuntimeError):
            for item in items(read_lines(reader)):
                is_wanted.acquire()
                if is_closed.is_set():
                    return
                loop.call_soon_threadsafe(lines.put_nowait, item)

    threading.Thread(target=pump, name="moodline-read", daemon=True).start()
    try:
        while (item := await lines.get()) is not None:
            is_wanted.release()
            yield item
    finally:
        is_closed.set()
        is_wanted.release()
