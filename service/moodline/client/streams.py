"""What a stream has brought so far; the part that sync and asyncio share."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from moodline.client.errors import MoodlineRpcError
from moodline.v1.analysis_pb2 import AnalysisOptions, ConversationAnalysis
from moodline.v1.analysis_service_pb2 import (
    DuplicateTurn,
    StreamConfiguration,
    StreamConversationRequest,
    StreamConversationResponse,
    StreamTurnResult,
)

StreamAnswer: TypeAlias = StreamTurnResult | DuplicateTurn
"""The answer to one turn of a stream."""


@dataclass(slots=True)
class StreamProgress:
    """What a stream has brought so far.

    Attributes:
        message_count: Messages that came.
        answers: Those that were not taken yet.
        summary: The roll-up, once it came.
        error: Why the stream failed, if it did.
        is_ended: Whether nothing more comes.
    """

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


def configuration_request(
    conversation_id: str,
    *,
    channel: str,
    language: str,
    options: AnalysisOptions | None,
) -> StreamConversationRequest:
    """Return the first message of a stream."""
    return StreamConversationRequest(
        configuration=StreamConfiguration(
            conversation_id=conversation_id, channel=channel, language=language, options=options
        )
    )
