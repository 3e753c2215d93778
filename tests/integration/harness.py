"""A real server on a free port, and what tests ask of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2_grpc
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from moodline.analyzer import ConversationAnalyzer
from moodline.app import limits_of
from moodline.artifact import TOKENIZER_FILE, Artifact
from moodline.batching.cache import EncodingCache
from moodline.batching.planner import BatchPolicy
from moodline.batching.queue import TokenLedger
from moodline.batching.runner import BatchRunner
from moodline.encoding import TurnEncoder
from moodline.engine import OnnxConversationHead, OnnxEncoder
from moodline.inference import EncoderOutput
from moodline.keeping.keeper import SignalKeeper
from moodline.language import LanguageDetector
from moodline.limits import Limits
from moodline.rpc.server import RpcServer
from moodline.rules.rule_set import RuleSet
from moodline.settings import AuthSettings, ServerSettings, Settings
from moodline.signals.engine import SignalEngine
from moodline.telemetry.metrics import Metrics
from moodline.telemetry.tracing import Tracing
from moodline.v1.analysis_service_pb2 import (
    AnalyzeConversationRequest,
    AnalyzeConversationResponse,
    StreamConfiguration,
    StreamConversationRequest,
    StreamConversationResponse,
)
from moodline.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from moodline.v1.conversation_pb2 import Conversation, Turn

if TYPE_CHECKING:
    # It exists for type checkers alone.
    from moodline.v1.analysis_service_pb2_grpc import AnalysisServiceAsyncStub

SERVICE = "moodline.v1.AnalysisService"
OPEN = AuthSettings(mode="none")
LOCAL = ServerSettings(port=0, grace_s=5)
MAX_MESSAGE = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))

Stream: TypeAlias = (
    "grpc.aio.StreamStreamCall[StreamConversationRequest, StreamConversationResponse]"
)


def turn(
    text: str = "Where is my parcel?",
    *,
    role: str = "customer",
    turn_id: str = "",
    is_final: bool | None = None,
    **fields: Any,
) -> Turn:
    return Turn(text=text, role=role, turn_id=turn_id, is_final=is_final, **fields)


def request(
    turns: Iterable[Turn], *, conversation_id: str = "c1", **fields: Any
) -> AnalyzeConversationRequest:
    return AnalyzeConversationRequest(
        conversation=Conversation(conversation_id=conversation_id, turns=turns, **fields)
    )


def configuration(conversation_id: str = "c1", **fields: Any) -> StreamConversationRequest:
    return StreamConversationRequest(
        configuration=StreamConfiguration(conversation_id=conversation_id, **fields)
    )


def streamed(
    turn_id: str, text: str = "Where is my parcel?", *, is_final: bool = True, **fields: Any
) -> StreamConversationRequest:
    return StreamConversationRequest(turn=turn(text, turn_id=turn_id, is_final=is_final, **fields))


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something has happened of which nobody tells."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


def health_stub(channel: grpc.aio.Channel) -> Any:
    """The stub of the health service, whose types tell nothing of its methods."""
    return health_pb2_grpc.HealthStub(channel)


async def next_answer(call: Stream) -> StreamConversationResponse:
    """The next answer to a turn, or the summary; signals are passed over."""
    while True:
        answer = await call.read()
        assert isinstance(answer, StreamConversationResponse), "the stream has ended"
        if not answer.HasField("signals"):
            return answer


async def converse(call: Any, messages: Iterable[Any]) -> list[Any]:
    """Send everything, then return all answers.

    Waits for the initial metadata first, as `moodline.client` does: gRPC reports a write to a call
    that a server has just refused as INTERNAL (https://github.com/grpc/grpc/issues/36066).
    """
    with suppress(grpc.RpcError, asyncio.InvalidStateError):
        await call.initial_metadata()
        for message in messages:
            await call.write(message)
        await call.done_writing()
    return [answer async for answer in call]


@dataclass(frozen=True)
class Served:
    """A server and a channel to it."""

    rpc: RpcServer
    channel: grpc.aio.Channel
    metrics: Metrics

    @property
    def stub(self) -> AnalysisServiceAsyncStub:
        return AnalysisServiceStub(self.channel)

    async def analyze(self, *turns: Turn, **fields: Any) -> AnalyzeConversationResponse:
        return await self.stub.AnalyzeConversation(request(turns, **fields))

    async def talk(self, *messages: StreamConversationRequest) -> list[StreamConversationResponse]:
        """Send everything, and return all answers but signals."""
        answers = await converse(self.stub.StreamConversation(), messages)
        return [answer for answer in answers if not answer.HasField("signals")]

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


def settings(
    *, server: ServerSettings = LOCAL, auth: AuthSettings = OPEN, **groups: Any
) -> Settings:
    return Settings(server=server, auth=auth, **groups)


@asynccontextmanager
async def serving(
    analyzer: ConversationAnalyzer | None,
    *,
    with_settings: Settings | None = None,
    tracing: Tracing | None = None,
    metrics: Metrics | None = None,
    keeper: SignalKeeper | None = None,
    **kwargs: Any,
) -> AsyncIterator[Served]:
    """Serve an analyzer; without one, stay as before the warm-up."""
    with_settings = with_settings or settings()
    metrics = metrics or Metrics(CollectorRegistry())
    rpc = RpcServer(
        with_settings,
        limits=limits_of(with_settings),
        metrics=metrics,
        server_version="1.2.3",
        signal_engine=SignalEngine(
            default_rules(),
            model_version=analyzer.artifact.model_version if analyzer else "moodline-test 1",
            configuration_digest=analyzer.artifact.digest if analyzer else "0" * 64,
        ),
        keeper=keeper,
        tracing=tracing,
        **kwargs,
    )
    async with rpc:
        if analyzer is not None:
            await rpc.open(analyzer)
        target = f"127.0.0.1:{rpc.port}"
        async with grpc.aio.insecure_channel(target, options=MAX_MESSAGE) as channel:
            yield Served(rpc, channel, metrics)


@cache
def default_rules() -> RuleSet:
    """Compiled once."""
    return RuleSet.default()


class HeldEngine:
    """An encoder that computes only when it may, and fails when it shall.

    Attributes:
        may_compute: Clear it to hold engine calls back.
        has_begun: Set once a call has reached the engine.
        failure: Raised instead of a result.
        row_count: Rows computed so far.
    """

    def __init__(self, engine: OnnxEncoder) -> None:
        self._engine = engine
        self.may_compute = threading.Event()
        self.may_compute.set()
        self.has_begun = threading.Event()
        self.failure: BaseException | None = None
        self.row_count = 0

    def encode(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]
    ) -> EncoderOutput:
        self.has_begun.set()
        assert self.may_compute.wait(timeout=30)
        if self.failure is not None:
            raise self.failure
        self.row_count += len(input_ids)
        return self._engine.encode(input_ids, attention_mask)


@asynccontextmanager
async def analyzing(
    artifact: Artifact,
    engine: HeldEngine,
    *,
    max_pending_tokens: int = 100_000,
    limits: Limits = Limits(),
    metrics: Metrics | None = None,
) -> AsyncIterator[ConversationAnalyzer]:
    """An analyzer on an engine of the test's own; nothing is cached."""
    metrics = metrics or Metrics(CollectorRegistry())
    with ThreadPoolExecutor(1) as engine_executor, ThreadPoolExecutor(1) as executor:
        runner = BatchRunner(
            engine,
            policy=BatchPolicy(),
            ledger=TokenLedger(max_pending_tokens, clock=lambda: 0.0),
            cache=EncodingCache(0),
            metrics=metrics,
            executor=engine_executor,
            on_fatal=lambda error: None,
        )
        await runner.start()
        try:
            yield ConversationAnalyzer(
                artifact=artifact,
                turn_encoder=TurnEncoder(
                    artifact.directory / TOKENIZER_FILE,
                    window_tokens=artifact.manifest.encoder.window_tokens,
                ),
                runner=runner,
                head=OnnxConversationHead(artifact),
                language_detector=LanguageDetector(),
                executor=executor,
                metrics=metrics,
                limits=limits,
            )
        finally:
            engine.may_compute.set()
            await runner.close()


@dataclass(frozen=True)
class Refusal:
    """What a client learns from a call that failed."""

    code: grpc.StatusCode
    message: str
    reason: str
    domain: str
    metadata: dict[str, str]
    violations: dict[str, str]
    retry_after_s: float | None
    request_id: str
    raw: str


async def refusal(call: Awaitable[Any]) -> Refusal:
    """Await a call that must fail, and read its status."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return read_refusal(caught.value)


def read_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    metadata: dict[str, Any] = dict(error.trailing_metadata())
    content = metadata.get("grpc-status-details-bin", b"")
    status = status_pb2.Status.FromString(content)
    if content:
        assert (status.code, status.message) == (error.code().value[0], error.details())
    return read_status(
        status,
        code=error.code(),
        message=error.details() or "",
        request_id=metadata.get("moodline-request-id", ""),
        raw=f"{error.details()} {metadata} {error.debug_error_string()}",
    )


def read_status(
    status: status_pb2.Status,
    *,
    code: grpc.StatusCode | None = None,
    message: str = "",
    request_id: str = "",
    raw: str = "",
) -> Refusal:
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    unpacked = {
        detail.DESCRIPTOR.name
        for packed in status.details
        for detail in (info, bad_request, retry)
        if packed.Unpack(detail)
    }
    codes = {code.value[0]: code for code in grpc.StatusCode}
    return Refusal(
        code=code or codes[status.code],
        message=message or status.message,
        reason=info.reason,
        domain=info.domain,
        metadata=dict(info.metadata),
        violations={v.field: v.description for v in bad_request.field_violations},
        retry_after_s=(
            retry.retry_delay.ToMilliseconds() / 1000 if "RetryInfo" in unpacked else None
        ),
        request_id=request_id,
        raw=raw,
    )


def assert_same(left: Any, right: Any) -> None:
    """Compare JSON values; numbers to 1e-4."""
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, float):
        assert left == pytest.approx(right, abs=1e-4)
    else:
        assert left == right
