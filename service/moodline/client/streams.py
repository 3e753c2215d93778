"""What a stream has brought so far; the part that sync and asyncio share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from moodline.client.errors import MoodlineRpcError
from moodline.v1.analysis_pb2 import ConversationAnalysis
from moodline.v1.analysis_service_pb2 import (
    DuplicateTurn,
    StreamConversationResponse,
    StreamSignals,
    StreamTurnResult,
)

StreamAnswer: TypeAlias = StreamTurnResult | DuplicateTurn
"""The answer to one turn of a stream."""


@dataclass(slots=True)
class StreamProgress:
    """What a stream has brought so far.

    Attributes:
        on_signals: Called with signals as they come; None if nobody asks for them.
        message_count: Messages that came.
        answers: Those that were not taken yet.
        summary: The roll-up, once it came.
        error: Why the stream failed, if it did.
        is_ended: Whether nothing more comes.
    """

    on_signals: Callable[[StreamSignals], None] | None = None
    message_count: int = 0
    answers: deque[StreamAnswer] = field(default_factory=deque)
    summary: ConversationAnalysis | None = None
    error: MoodlineRpcError | None = None
    is_ended: bool = False

    def take(self, response: StreamConversationResponse) -> None:
        """Take a message; one that a newer server brings and we do not know is let pass."""
        self.message_count += 1
        match response.WhichOneof("payload"):
            case "turn_result":
                self.answers.append(response.turn_result)
            case "duplicate_turn":
                self.answers.append(response.duplicate_turn)
            case "summary":
                self.summary = response.summary
            case "signals":
                if self.on_signals is not None:
                    self.on_signals(response.signals)

    def end(self, error: MoodlineRpcError | None = None) -> None:
        """Note that nothing more comes."""
        self.is_ended = True
        self.error = error

    def next_answer(self) -> StreamAnswer | None:
        """Return the next answer; None if it has still to come.

        Raises:
            MoodlineRpcError: If the stream failed and all that came before was taken.
            EOFError: If the stream is finished and all was taken.
        """
        if self.answers:
            return self.answers.popleft()
        if self.error is not None:
            raise self.error
        if self.is_ended:
            raise EOFError("The stream is finished and every answer was received.")
        return None

    def final_summary(self) -> ConversationAnalysis | None:
        """Return the roll-up; None if it has still to come.

        Raises:
            MoodlineRpcError: If the stream failed.
            EOFError: If the server ended the stream without one.
        """
        if self.error is not None:
            raise self.error
        if self.is_ended and self.summary is None:
            raise EOFError("The server ended the stream without a summary.")
        return self.summary if self.is_ended else None
