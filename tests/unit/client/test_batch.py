"""How conversations become batch calls, and what becomes of each."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from moodline.client.batch import BatchWork, split_batch
from moodline.client.errors import MoodlineRpcError
from moodline.client.retry import RetryCourse, RetryPolicy
from moodline.errors import FieldViolation
from moodline.v1.analysis_pb2 import ConversationAnalysis
from moodline.v1.analysis_service_pb2 import (
    BatchAnalyzeConversationsRequest,
    BatchAnalyzeConversationsResponse,
    BatchItemResult,
    Limits,
)
from moodline.v1.conversation_pb2 import Conversation, Turn

LIMITS = Limits(max_batch_conversations=3, max_message_bytes=4096)


def conversation(conversation_id: str, *, char_count: int = 1) -> Conversation:
    return Conversation(
        conversation_id=conversation_id, turns=[Turn(role="customer", text="x" * char_count)]
    )


def analysis(conversation_id: str) -> BatchItemResult:
    return BatchItemResult(
        conversation_id=conversation_id,
        analysis=ConversationAnalysis(conversation_id=conversation_id),
    )


def failure(
    code: grpc.StatusCode, *details: error_details_pb2.BadRequest | error_details_pb2.RetryInfo
) -> BatchItemResult:
    status = status_pb2.Status(code=code.value[0], message="no")
    for detail in details:
        status.details.add().Pack(detail)
    return BatchItemResult(status=status)


def work_on(*conversation_ids: str) -> BatchWork:
    course = RetryCourse(
        RetryPolicy(initial_backoff_s=1.0), timeout_s=60.0, clock=lambda: 0.0, chance=lambda: 0.0
    )
    return BatchWork([conversation(name) for name in conversation_ids], options=None, course=course)


def ids_of(request: BatchAnalyzeConversationsRequest) -> list[str]:
    return [item.conversation_id for item in request.conversations]


@given(char_counts=st.lists(st.integers(1, 5000), max_size=20))
def test_batches_keep_order_and_limits_and_lose_nothing(char_counts: list[int]) -> None:
    conversations = [conversation(str(i), char_count=n) for i, n in enumerate(char_counts)]
    batches = list(split_batch(conversations, LIMITS))
    assert [c for batch in batches for c in batch] == conversations
    for batch in batches:
        assert 1 <= len(batch) <= LIMITS.max_batch_conversations
        size = BatchAnalyzeConversationsRequest(conversations=batch).ByteSize()
        assert size <= LIMITS.max_message_bytes or len(batch) == 1


def test_conversations_are_read_no_further_than_the_batch_that_is_due() -> None:
    read: list[int] = []

    def source() -> object:
        for index in range(1000):
            read.append(index)
            yield conversation(str(index))

    next(split_batch(source(), LIMITS))  # type: ignore[arg-type]
    assert len(read) == LIMITS.max_batch_conversations + 1


def test_only_items_that_may_be_retried_are_sent_again() -> None:
    work = work_on("a", "b", "c")
    overloaded = error_details_pb2.RetryInfo()
    overloaded.retry_delay.FromSeconds(2)
    delay_s = work.take(
        BatchAnalyzeConversationsResponse(
            results=[
                failure(grpc.StatusCode.RESOURCE_EXHAUSTED, overloaded),
                failure(grpc.StatusCode.INVALID_ARGUMENT),
                analysis("c"),
            ]
        )
    )
    assert delay_s == 2.0
    assert ids_of(work.request()) == ["a"]
    assert work.take(BatchAnalyzeConversationsResponse(results=[analysis("a")])) is None
    first, second, third = work.outcomes()
    assert isinstance(first, ConversationAnalysis)
    assert isinstance(second, MoodlineRpcError)
    assert isinstance(third, ConversationAnalysis)
    assert (first.conversation_id, third.conversation_id) == ("a", "c")


def test_an_item_that_never_succeeds_ends_with_its_last_error() -> None:
    work = work_on("a")
    unavailable = BatchAnalyzeConversationsResponse(results=[failure(grpc.StatusCode.UNAVAILABLE)])
    while work.take(unavailable) is not None:
        pass
    (outcome,) = work.outcomes()
    assert isinstance(outcome, MoodlineRpcError)
    assert outcome.code is grpc.StatusCode.UNAVAILABLE


def test_field_paths_of_an_item_are_those_of_the_unary_call() -> None:
    work = work_on("a")
    bad_request = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field="conversations[0].turns[3].text", description="is empty"
            )
        ]
    )
    work.take(
        BatchAnalyzeConversationsResponse(
            results=[failure(grpc.StatusCode.INVALID_ARGUMENT, bad_request)]
        )
    )
    (outcome,) = work.outcomes()
    assert isinstance(outcome, MoodlineRpcError)
    assert outcome.violations == (FieldViolation("conversation.turns[3].text", "is empty"),)


def test_a_conversation_over_the_message_limit_fails_alone() -> None:
    work = work_on("a")
    error = MoodlineRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "message too large")
    work.take_failure(error)
    assert list(work.outcomes()) == [error]


def test_a_failure_of_the_call_is_nobodys_own() -> None:
    error = MoodlineRpcError(grpc.StatusCode.UNAUTHENTICATED, "no token")
    with pytest.raises(MoodlineRpcError):
        work_on("a").take_failure(error)
