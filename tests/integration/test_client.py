"""The clients against a gRPC server whose answers the test writes: retries, errors, streams."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from moodline.client import (
    AsyncMoodlineClient,
    ConversationAnalysis,
    MoodlineClient,
    MoodlineRpcError,
    RetryPolicy,
    StreamTurnResult,
    Turn,
    TurnResult,
)
from moodline.errors import FieldViolation
from moodline.v1 import analysis_service_pb2 as service_pb2
from moodline.v1.analysis_service_pb2_grpc import (
    AnalysisServiceServicer,
    add_AnalysisServiceServicer_to_server,
)
from moodline.v1.conversation_pb2 import Conversation

IMMEDIATELY = RetryPolicy(max_attempts=3, initial_backoff_s=0.0)
CONVERSATION = Conversation(
    conversation_id="c-1", turns=[Turn(role="customer", text="Where is my parcel?")]
)


def status_of(
    code: grpc.StatusCode,
    message: str,
    *details: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.RetryInfo,
) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


UNAVAILABLE = status_of(grpc.StatusCode.UNAVAILABLE, "draining")
OVERLOADED = status_of(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "full",
    error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="moodline"),
    error_details_pb2.RetryInfo(retry_delay=Duration(nanos=1_000_000)),
)
INVALID = status_of(
    grpc.StatusCode.INVALID_ARGUMENT,
    "1 field is wrong",
    error_details_pb2.ErrorInfo(reason="INVALID_REQUEST", domain="moodline"),
    error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field="conversation.turns[0].role", description="is none of customer, agent, bot"
            )
        ]
    ),
)


class ScriptedService(AnalysisServiceServicer):
    """Fails as it is told, one status a call, and answers after that."""

    def __init__(self) -> None:
        self.failures: list[status_pb2.Status] = []
        self.batch_sizes: list[int] = []
        self.call_count = 0
        self.metadata: dict[str, str | bytes] = {}

    def _begin(self, context: grpc.ServicerContext) -> None:
        self.call_count += 1
        self.metadata = {entry[0]: entry[1] for entry in context.invocation_metadata()}
        if self.failures:
            context.abort_with_status(rpc_status.to_status(self.failures.pop(0)))

    def AnalyzeConversation(  # noqa: N802
        self, request: service_pb2.AnalyzeConversationRequest, context: grpc.ServicerContext
    ) -> service_pb2.AnalyzeConversationResponse:
        self._begin(context)
        return service_pb2.AnalyzeConversationResponse(
            analysis=ConversationAnalysis(conversation_id=request.conversation.conversation_id)
        )

    def BatchAnalyzeConversations(  # noqa: N802
        self, request: service_pb2.BatchAnalyzeConversationsRequest, context: grpc.ServicerContext
    ) -> service_pb2.BatchAnalyzeConversationsResponse:
        self._begin(context)
        self.batch_sizes.append(len(request.conversations))
        return service_pb2.BatchAnalyzeConversationsResponse(
            results=[
                service_pb2.BatchItemResult(analysis=ConversationAnalysis(conversation_id=c_id))
                if c_id != "bad"
                else service_pb2.BatchItemResult(status=INVALID)
                for c_id in (c.conversation_id for c in request.conversations)
            ]
        )

    def StreamConversation(  # noqa: N802
        self,
        request_iterator: Iterator[service_pb2.StreamConversationRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[service_pb2.StreamConversationResponse]:
        self._begin(context)
        # As the real server does; the asyncio client waits for it before it writes.
        context.send_initial_metadata(())
        configuration = next(request_iterator).configuration
        for index, request in enumerate(request_iterator):
            if request.turn.text == "bad":
                context.abort_with_status(rpc_status.to_status(INVALID))
            yield service_pb2.StreamConversationResponse(
                turn_result=StreamTurnResult(
                    turn=TurnResult(turn_index=index, turn_id=request.turn.turn_id)
                )
            )
        yield service_pb2.StreamConversationResponse(
            summary=ConversationAnalysis(conversation_id=configuration.conversation_id)
        )

    def GetCapabilities(  # noqa: N802
        self, request: service_pb2.GetCapabilitiesRequest, context: grpc.ServicerContext
    ) -> service_pb2.GetCapabilitiesResponse:
        self._begin(context)
        limits = service_pb2.Limits(max_batch_conversations=2, max_message_bytes=1 << 20)
        return service_pb2.GetCapabilitiesResponse(
            capabilities=service_pb2.Capabilities(limits=limits)
        )


@pytest.fixture
def service() -> ScriptedService:
    return ScriptedService()


@pytest.fixture
def target(service: ScriptedService) -> Iterator[str]:
    with ThreadPoolExecutor(4) as executor:
        server = grpc.server(executor)
        add_AnalysisServiceServicer_to_server(service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


Analyze = Callable[[str, RetryPolicy], ConversationAnalysis]


def analyze_sync(target: str, retry: RetryPolicy) -> ConversationAnalysis:
    with MoodlineClient(target, token="secret", tenant="acme", retry=retry) as client:
        return client.analyze(CONVERSATION)


def analyze_async(target: str, retry: RetryPolicy) -> ConversationAnalysis:
    async def analyze() -> ConversationAnalysis:
        async with AsyncMoodlineClient(
            target, token="secret", tenant="acme", retry=retry
        ) as client:
            return await client.analyze(CONVERSATION)

    return asyncio.run(analyze())


@pytest.fixture(params=[analyze_sync, analyze_async], ids=["sync", "async"])
def analyze(request: pytest.FixtureRequest) -> Analyze:
    chosen: Analyze = request.param
    return chosen


def test_a_call_that_may_be_retried_is(
    service: ScriptedService, target: str, analyze: Analyze
) -> None:
    service.failures = [UNAVAILABLE, OVERLOADED]
    assert analyze(target, IMMEDIATELY).conversation_id == "c-1"
    assert service.call_count == 3


def test_token_and_tenant_reach_the_server(
    service: ScriptedService, target: str, analyze: Analyze
) -> None:
    analyze(target, IMMEDIATELY)
    assert service.metadata["authorization"] == "Bearer secret"
    assert service.metadata["moodline-tenant"] == "acme"


def test_a_bad_request_is_not_retried_and_names_its_fields(
    service: ScriptedService, target: str, analyze: Analyze
) -> None:
    service.failures = [INVALID]
    with pytest.raises(MoodlineRpcError) as caught:
        analyze(target, IMMEDIATELY)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.reason == "INVALID_REQUEST"
    assert caught.value.violations == (
        FieldViolation("conversation.turns[0].role", "is none of customer, agent, bot"),
    )
    assert service.call_count == 1


def test_retries_end(service: ScriptedService, target: str, analyze: Analyze) -> None:
    service.failures = [UNAVAILABLE] * 10
    with pytest.raises(MoodlineRpcError, match="UNAVAILABLE: draining"):
        analyze(target, IMMEDIATELY)
    assert service.call_count == 3


def test_a_server_that_is_not_there_is_unavailable() -> None:
    # Nobody may listen on port 1 but the system itself, which does not.
    with pytest.raises(MoodlineRpcError) as caught:
        analyze_sync("127.0.0.1:1", IMMEDIATELY)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_batch_is_split_at_the_servers_limit_and_keeps_its_order(
    service: ScriptedService, target: str
) -> None:
    names = ["a", "bad", "c", "d", "e"]
    with MoodlineClient(target, retry=IMMEDIATELY) as client:
        outcomes = list(client.analyze_batch(Conversation(conversation_id=n) for n in names))
    assert service.batch_sizes == [2, 2, 1]
    assert isinstance(outcomes[1], MoodlineRpcError)
    assert [o.conversation_id for o in outcomes if isinstance(o, ConversationAnalysis)] == [
        "a",
        "c",
        "d",
        "e",
    ]


async def test_the_async_batch_gives_the_same(service: ScriptedService, target: str) -> None:
    async with AsyncMoodlineClient(target, retry=IMMEDIATELY) as client:
        names = ["a", "bad", "c"]
        outcomes = [
            outcome
            async for outcome in client.analyze_batch(
                Conversation(conversation_id=name) for name in names
            )
        ]
    assert service.batch_sizes == [2, 1]
    assert [isinstance(outcome, MoodlineRpcError) for outcome in outcomes] == [False, True, False]


def turn(index: int, text: str = "Hello") -> Turn:
    return Turn(turn_id=f"t{index}", role="customer", text=text, is_final=True)


def test_a_stream_answers_each_turn_and_ends_with_the_summary(target: str) -> None:
    with MoodlineClient(target) as client, client.stream("live") as stream:
        for index in range(3):
            stream.send(turn(index))
            answer = stream.receive()
            assert isinstance(answer, StreamTurnResult)
            assert answer.turn.turn_id == f"t{index}"
        assert stream.finish().conversation_id == "live"
        assert list(stream) == []


def test_answers_can_be_received_after_finishing(target: str) -> None:
    with MoodlineClient(target) as client, client.stream("live") as stream:
        for index in range(3):
            stream.send(turn(index))
        stream.finish()
        assert [a.turn.turn_id for a in stream if isinstance(a, StreamTurnResult)] == [
            "t0",
            "t1",
            "t2",
        ]


def test_one_thread_may_send_while_another_receives(target: str) -> None:
    with MoodlineClient(target) as client, client.stream("live") as stream:

        def speak() -> None:
            for index in range(50):
                stream.send(turn(index))
            stream.finish()

        speaker = threading.Thread(target=speak)
        speaker.start()
        answers = list(stream)
        speaker.join()
    assert [a.turn.turn_index for a in answers if isinstance(a, StreamTurnResult)] == [*range(50)]


def test_a_failed_stream_gives_what_came_before_and_then_the_error(target: str) -> None:
    with MoodlineClient(target) as client, client.stream("live") as stream:
        stream.send(turn(0))
        stream.send(turn(1, "bad"))
        assert isinstance(stream.receive(), StreamTurnResult)
        with pytest.raises(MoodlineRpcError, match="INVALID_REQUEST"):
            stream.receive()
        with pytest.raises(MoodlineRpcError, match="INVALID_REQUEST"):
            stream.finish()


def test_leaving_a_stream_early_ends_it(target: str) -> None:
    with MoodlineClient(target) as client, client.stream("live") as stream:
        stream.send(turn(0))
        stream.receive()


async def test_an_async_stream_gives_the_same(target: str) -> None:
    async with AsyncMoodlineClient(target) as client, client.stream("live") as stream:

        async def speak() -> ConversationAnalysis:
            for index in range(50):
                await stream.send(turn(index))
            return await stream.finish()

        speaking = asyncio.create_task(speak())
        answers = [answer async for answer in stream]
        assert (await speaking).conversation_id == "live"
    assert [a.turn.turn_index for a in answers if isinstance(a, StreamTurnResult)] == [*range(50)]


async def test_an_async_stream_survives_a_receiver_that_gives_up(target: str) -> None:
    async with AsyncMoodlineClient(target) as client, client.stream("live") as stream:
        waiting = asyncio.create_task(stream.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await stream.send(turn(0))
        assert isinstance(await stream.receive(), StreamTurnResult)


async def test_a_failed_async_stream_gives_the_error(target: str) -> None:
    async with AsyncMoodlineClient(target) as client, client.stream("live") as stream:
        await stream.send(turn(0, "bad"))
        with pytest.raises(MoodlineRpcError, match="INVALID_REQUEST"):
            await stream.receive()
        await stream.send(turn(1))
        with pytest.raises(MoodlineRpcError, match="INVALID_REQUEST"):
            await stream.finish()
