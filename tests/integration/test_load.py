"""Deadlines, callers that leave, and more work than fits, on an engine that the test holds."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
from prometheus_client import CollectorRegistry

from moodline.artifact import Artifact
from moodline.telemetry.metrics import Metrics
from moodline.v1.analysis_service_pb2 import BatchAnalyzeConversationsRequest
from moodline.v1.conversation_pb2 import Conversation
from tests.integration.harness import (
    HeldEngine,
    Served,
    analyzing,
    configuration,
    eventually,
    next_answer,
    read_status,
    refusal,
    request,
    serving,
    streamed,
    turn,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def until_held(engine: HeldEngine) -> None:
    """Wait until the engine has a call that it may not compute."""
    assert await asyncio.to_thread(engine.has_begun.wait, 30)


async def until_waiting(served: Served, count: int) -> None:
    """Wait until so many windows wait for the engine."""
    await eventually(lambda: served.sample("moodline_queue_entries") == count)


async def test_a_deadline_ends_the_call_and_spares_the_engine(
    artifact: Artifact, engine: HeldEngine
) -> None:
    metrics = Metrics(CollectorRegistry())
    engine.may_compute.clear()
    async with (
        analyzing(artifact, engine, metrics=metrics) as analyzer,
        serving(analyzer, metrics=metrics) as served,
    ):
        first = asyncio.ensure_future(served.analyze(turn("the first call")))
        await until_held(engine)
        late = served.stub.AnalyzeConversation(request([turn("too late")]), timeout=0.2)
        assert (await refusal(late)).code is grpc.StatusCode.DEADLINE_EXCEEDED
        await until_waiting(served, 0)
        engine.may_compute.set()
        assert (await first).analysis.turns[0].sentiment.label
    assert engine.row_count == 1


async def test_a_call_without_a_deadline_has_the_default_one(
    artifact: Artifact, engine: HeldEngine
) -> None:
    async with (
        analyzing(artifact, engine) as analyzer,
        # The server's clock is an hour behind the analyzer's: every default deadline has passed.
        serving(analyzer, clock=lambda: time.monotonic() - 3600) as served,
    ):
        answer = await refusal(served.analyze(turn()))
        assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert answer.reason == "DEADLINE_EXPIRED"
        assert answer.metadata == {"stage": "queue"}
        stream = await refusal(served.talk(configuration(), streamed("t1")))
        assert stream.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert engine.row_count == 0


async def test_a_caller_that_leaves_harms_nobody_and_leaves_nothing(
    artifact: Artifact, engine: HeldEngine
) -> None:
    metrics = Metrics(CollectorRegistry())
    engine.may_compute.clear()
    async with (
        analyzing(artifact, engine, metrics=metrics) as analyzer,
        serving(analyzer, metrics=metrics) as served,
    ):
        first = asyncio.ensure_future(served.analyze(turn("the first call")))
        await until_held(engine)
        leaver = served.stub.AnalyzeConversation(request([turn("never mind")]))
        neighbour = asyncio.ensure_future(served.analyze(turn("I am still here")))
        await until_waiting(served, 2)
        leaver.cancel()
        await until_waiting(served, 1)
        engine.may_compute.set()
        assert (await neighbour).analysis.turns[0].sentiment.label
        await first
        assert served.sample("moodline_queue_tokens") == 0
        assert served.sample("moodline_dropped_total", reason="abandoned") == 1
        assert (
            served.sample(
                "moodline_rpc_duration_seconds_count",
                method="moodline.v1.AnalysisService/AnalyzeConversation",
                code="CANCELLED",
            )
            == 1
        )
    assert engine.row_count == 2


async def test_a_stream_that_is_cancelled_leaves_nothing(
    artifact: Artifact, engine: HeldEngine
) -> None:
    metrics = Metrics(CollectorRegistry())
    async with (
        analyzing(artifact, engine, metrics=metrics) as analyzer,
        serving(analyzer, metrics=metrics) as served,
    ):
        call = served.stub.StreamConversation()
        await call.write(configuration())
        await call.write(streamed("t1"))
        await next_answer(call)
        assert served.sample("moodline_live_streams") == 1
        engine.may_compute.clear()
        engine.has_begun.clear()
        await call.write(streamed("t2"))
        await until_held(engine)
        call.cancel()
        await eventually(lambda: served.sample("moodline_live_streams") == 0)
        engine.may_compute.set()
        assert (await served.analyze(turn("who is next?"))).analysis.turns
        assert served.sample("moodline_queue_tokens") == 0


async def test_overload_is_refused_with_a_delay_and_passes(
    artifact: Artifact, engine: HeldEngine
) -> None:
    metrics = Metrics(CollectorRegistry())
    engine.may_compute.clear()
    async with (
        analyzing(artifact, engine, max_pending_tokens=60, metrics=metrics) as analyzer,
        serving(analyzer, metrics=metrics) as served,
    ):
        text = "Where is my parcel? " * 5
        first = asyncio.ensure_future(served.analyze(turn(text)))
        await until_held(engine)

        answer = await refusal(served.analyze(turn(text)))
        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert answer.reason == "OVERLOADED"
        assert answer.retry_after_s is not None
        assert answer.retry_after_s > 0

        stream = await refusal(served.talk(configuration(), streamed("t1", text)))
        assert stream.reason == "OVERLOADED"

        batch = await served.stub.BatchAnalyzeConversations(
            BatchAnalyzeConversationsRequest(
                conversations=[
                    Conversation(conversation_id="c1", turns=[turn(text)]),
                    Conversation(conversation_id="c2", turns=[turn("")]),
                ]
            )
        )
        shed, bad = (read_status(result.status) for result in batch.results)
        assert shed.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert shed.retry_after_s is not None
        assert bad.code is grpc.StatusCode.INVALID_ARGUMENT

        engine.may_compute.set()
        await first
        assert (await served.analyze(turn(text))).analysis.turns[0].sentiment.label


async def test_what_could_never_fit_is_refused_for_good(
    artifact: Artifact, engine: HeldEngine
) -> None:
    async with (
        analyzing(artifact, engine, max_pending_tokens=60) as analyzer,
        serving(analyzer) as served,
    ):
        text = "Where is my parcel? " * 20
        answer = await refusal(served.analyze(turn(text)))
        assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
        assert answer.reason == "INPUT_TOO_LONG"
        assert set(answer.violations) == {"conversation"}
        batch = await served.stub.BatchAnalyzeConversations(
            BatchAnalyzeConversationsRequest(
                conversations=[Conversation(conversation_id="c1", turns=[turn(text)])]
            )
        )
        assert set(read_status(batch.results[0].status).violations) == {"conversations[0]"}


async def test_an_engine_that_fails_on_one_call_serves_the_next(
    artifact: Artifact, engine: HeldEngine
) -> None:
    async with analyzing(artifact, engine) as analyzer, serving(analyzer) as served:
        engine.failure = ValueError("broken")
        answer = await refusal(served.analyze(turn()))
        assert answer.code is grpc.StatusCode.INTERNAL
        assert answer.reason == "INFERENCE_FAILED"
        assert answer.request_id in answer.message
        engine.failure = None
        assert (await served.analyze(turn())).analysis.turns[0].sentiment.label
