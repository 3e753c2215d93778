"""How many conversations become batch calls, and what becomes of each; the part without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import grpc

from moodline.client.errors import MoodlineRpcError, error_of_status
from moodline.client.retry import RetryCourse
from moodline.v1.analysis_pb2 import AnalysisOptions, ConversationAnalysis
from moodline.v1.analysis_service_pb2 import (
    BatchAnalyzeConversationsRequest,
    BatchAnalyzeConversationsResponse,
    Limits,
)
from moodline.v1.conversation_pb2 import Conversation

BatchOutcome: TypeAlias = ConversationAnalysis | MoodlineRpcError
"""What became of one conversation of a batch."""

_ITEM_OVERHEAD_BYTES = 16
"""Tag and length of an item in the request, and its share of the request's options, at most."""


def split_batch(
    conversations: Iterable[Conversation], limits: Limits
) -> Iterator[tuple[Conversation, ...]]:
    """Cut conversations, lazily and in order, into as few batches as the server's limits allow.

    A conversation that alone exceeds the message limit gets a batch of its own, for the server to
    refuse.
    """
    batch: list[Conversation] = []
    byte_count = 0
    for conversation in conversations:
        item_bytes = conversation.ByteSize() + _ITEM_OVERHEAD_BYTES
        is_over = byte_count + item_bytes > limits.max_message_bytes
        if batch and (len(batch) >= limits.max_batch_conversations or is_over):
            yield tuple(batch)
            batch, byte_count = [], 0
        batch.append(conversation)
        byte_count += item_bytes
    if batch:
        yield tuple(batch)


class BatchWork:
    """One batch on its way: the outcomes so far and what is still to be sent."""

    def __init__(
        self,
        conversations: Sequence[Conversation],
        *,
        options: AnalysisOptions | None,
        course: RetryCourse,
    ) -> None:
        self._conversations = conversations
        self._options = options
        self._course = course
        self._pending = list(range(len(conversations)))
        self._outcomes: dict[int, BatchOutcome] = {}

    def request(self) -> BatchAnalyzeConversationsRequest:
        """The call that is due: those conversations that have no lasting outcome yet."""
        return BatchAnalyzeConversationsRequest(
            conversations=[self._conversations[index] for index in self._pending],
            options=self._options,
        )

    def take(self, response: BatchAnalyzeConversationsResponse) -> float | None:
        """Take the answer to the call.

        Returns:
            Seconds to wait before the next call; None if every conversation has its outcome.
        """
        retryable: dict[int, MoodlineRpcError] = {}
        for index, result in zip(self._pending, response.results, strict=True):
            if result.HasField("analysis"):
                self._outcomes[index] = result.analysis
                continue
            error = error_of_status(result.status)
            self._outcomes[index] = error
            if error.is_retryable:
                retryable[index] = error
        if not retryable:
            return None
        self._pending = list(retryable)
        return self._course.next_delay_s(list(retryable.values()))

    def take_failure(self, error: MoodlineRpcError) -> None:
        """Take a call that failed for good.

        Raises:
            MoodlineRpcError: If it says nothing of the conversation sent, but of the server or the
                caller, so that the conversations after it would fare no better.
        """
        is_about_the_message = error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        if len(self._pending) > 1 or not is_about_the_message:
            raise error
        self._outcomes[self._pending[0]] = error

    def outcomes(self) -> Iterator[BatchOutcome]:
        """The outcomes in the order of the conversations."""
        return (self._outcomes[index] for index in range(len(self._conversations)))
