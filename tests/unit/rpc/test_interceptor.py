"""What the interceptor does when nobody is left to do it for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest
import structlog
from prometheus_client import CollectorRegistry

from moodline.analyzer import ConversationAnalyzer
from moodline.rpc.auth import OpenAuthenticator, Scope
from moodline.rpc.gate import CallGate
from moodline.rpc.interceptor import CallInterceptor
from moodline.telemetry.metrics import Metrics

METHOD = "/moodline.v1.AnalysisService/StreamConversation"


class Context:
    """Of a call whose client has a deadline in so many seconds."""

    def __init__(self, left_s: float | None) -> None:
        self._left_s = left_s

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def set_trailing_metadata(self, metadata: object) -> None:
        pass

    def time_remaining(self) -> float | None:
        return self._left_s

    def peer(self) -> str:
        return "test"


class Details:
    method = METHOD
    invocation_metadata = ()


async def count_up(requests: AsyncIterator[object], context: object) -> AsyncIterator[int]:
    for number in range(3):
        yield number


async def wrapped(gate: CallGate, metrics: Metrics, *, scopes: dict[str, Scope]) -> Any:
    interceptor = CallInterceptor(
        scopes=scopes, authenticator=OpenAuthenticator(), gate=gate, metrics=metrics
    )
    handler: Any = grpc.stream_stream_rpc_method_handler(cast("Any", count_up))

    async def continuation(details: object) -> Any:
        return handler

    return handler, await interceptor.intercept_service(continuation, cast("Any", Details()))


@pytest.mark.parametrize(
    ("left_s", "code"), [(None, "CANCELLED"), (5.0, "CANCELLED"), (-0.1, "DEADLINE_EXCEEDED")]
)
async def test_a_stream_dropped_between_two_answers_is_concluded(
    left_s: float | None, code: str
) -> None:
    gate, metrics = CallGate(), Metrics(CollectorRegistry())
    gate.open(cast("ConversationAnalyzer", object()))
    _, handler = await wrapped(
        gate, metrics, scopes={"moodline.v1.AnalysisService": Scope.ANALYSIS}
    )
    with structlog.testing.capture_logs() as lines:
        answers = handler.stream_stream(requests(), Context(left_s))
        assert await anext(answers) == 0
        assert metrics.registry.get_sample_value("moodline_live_streams") == 1
        # What gRPC does when the client leaves while an answer is being written.
        del answers
        for _ in range(5):
            await asyncio.sleep(0)
    assert metrics.registry.get_sample_value("moodline_live_streams") == 0
    assert [line["code"] for line in lines] == [code]
    assert await gate.drain(0) == 0


async def requests() -> AsyncIterator[object]:
    yield object()


async def test_services_that_are_not_ours_stay_as_they_are() -> None:
    handler, returned = await wrapped(CallGate(), Metrics(CollectorRegistry()), scopes={})
    assert returned is handler
