"""Start, health, reflection, drain and death of a server."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from numpy.typing import NDArray

from moodline import app
from moodline.analyzer import ConversationAnalyzer
from moodline.artifact import Artifact
from moodline.engine import OnnxEncoder
from moodline.errors import EngineDiedError, SettingsError
from moodline.inference import EncoderOutput
from moodline.rpc.analysis_servicer import ENVELOPE_BYTES
from moodline.settings import AuthSettings, ServerSettings
from moodline.v1.analysis_service_pb2 import (
    BatchAnalyzeConversationsRequest,
    GetCapabilitiesRequest,
)
from moodline.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from moodline.v1.conversation_pb2 import Conversation
from tests.integration.harness import (
    SERVICE,
    HeldEngine,
    Served,
    analyzing,
    configuration,
    health_stub,
    next_answer,
    read_status,
    refusal,
    request,
    serving,
    settings,
    streamed,
    turn,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health(channel: grpc.aio.Channel) -> dict[str, int]:
    stub = health_stub(channel)
    names = ("", SERVICE, "liveness")
    return {
        name: (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status
        for name in names
    }


async def test_before_the_warm_up_the_server_lives_but_is_not_ready(
    analyzer: ConversationAnalyzer,
) -> None:
    async with serving(None) as served:
        assert await health(served.channel) == {
            "": NOT_SERVING,
            SERVICE: NOT_SERVING,
            "liveness": SERVING,
        }
        answer = await refusal(served.analyze(turn()))
        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert answer.reason == "NOT_READY"
        await served.rpc.open(analyzer)
        assert set((await health(served.channel)).values()) == {SERVING}
        assert (await served.analyze(turn())).analysis.turns


async def test_an_unknown_service_has_no_health(served: Served) -> None:
    stub = health_stub(served.channel)
    answer = await refusal(stub.Check(health_pb2.HealthCheckRequest(service="nobody")))
    assert answer.code is grpc.StatusCode.NOT_FOUND


async def test_who_watches_health_sees_every_change(analyzer: ConversationAnalyzer) -> None:
    async with serving(None) as served:
        stub = health_stub(served.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        seen = [(await watch.read()).status]
        await served.rpc.open(analyzer)
        seen.append((await watch.read()).status)
        draining = asyncio.ensure_future(served.rpc.drain())
        seen.append((await watch.read()).status)
        await draining
    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]


async def test_an_unknown_method_is_unimplemented(served: Served) -> None:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
    call = served.channel.unary_unary(f"/{SERVICE}/Nonsense")
    assert (await refusal(call(b""))).code is grpc.StatusCode.UNIMPLEMENTED


async def test_capabilities_state_limits_labels_and_retries(served: Served) -> None:
    said = (await served.stub.GetCapabilities(GetCapabilitiesRequest())).capabilities
    assert said.server_version == "1.2.3"
    assert said.limits.max_turn_chars == 20_000
    assert said.limits.max_message_bytes == 16 * 1024 * 1024
    heads = {head.name: list(head.labels) for head in said.heads}
    assert heads["urgency"] == ["LOW", "NORMAL", "HIGH", "CRITICAL"]
    assert len(heads["tags"]) == 19
    assert [head.name for head in said.heads if head.is_multi_label] == ["tags"]
    assert list(said.measured_languages) == ["ar", "en", "tr"]
    methods = {method.method for method in said.methods}
    assert "moodline.v1.ScoringJobService/CreateScoringJob" in methods
    assert {method for method in methods if method.startswith(f"{SERVICE}/")} == {
        f"{SERVICE}/{name}"
        for name in (
            "AnalyzeConversation",
            "BatchAnalyzeConversations",
            "StreamConversation",
            "GetCapabilities",
        )
    }
    result = (await served.analyze(turn())).analysis
    assert said.model_version == result.model_version
    assert said.configuration_digest == result.configuration_digest


async def test_capabilities_state_the_message_limit_in_force(
    analyzer: ConversationAnalyzer,
) -> None:
    server = ServerSettings(port=0, max_message_bytes=8192)
    async with serving(analyzer, with_settings=settings(server=server)) as served:
        said = await served.stub.GetCapabilities(GetCapabilitiesRequest())
        assert said.capabilities.limits.max_message_bytes == 8192
        answer = await refusal(served.analyze(*[turn("x" * 1000)] * 9))
        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_result_over_the_message_limit_is_refused_with_a_remedy(
    analyzer: ConversationAnalyzer,
) -> None:
    server = ServerSettings(port=0, max_message_bytes=8192)
    async with serving(analyzer, with_settings=settings(server=server)) as served:
        answer = await refusal(served.analyze(*[turn("This is terrible!")] * 60))
        assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
        assert answer.reason == "INPUT_TOO_LONG"
        assert "StreamConversation" in answer.violations["conversation"]


async def test_what_does_not_fit_into_a_batch_response_is_for_another_batch(
    analyzer: ConversationAnalyzer,
) -> None:
    server = ServerSettings(port=0, max_message_bytes=ENVELOPE_BYTES + 50_000)
    conversations = [
        Conversation(conversation_id=f"c{i}", turns=[turn("This is terrible!")] * count)
        for i, count in enumerate([5, 200, 5])
    ]
    async with serving(analyzer, with_settings=settings(server=server)) as served:
        response = await served.stub.BatchAnalyzeConversations(
            BatchAnalyzeConversationsRequest(conversations=conversations)
        )
    first, too_long, last = response.results
    assert len(first.analysis.turns) == len(last.analysis.turns) == 5
    answer = read_status(too_long.status)
    assert answer.reason == "INPUT_TOO_LONG"
    assert "send less in one call" in answer.violations["conversations[1]"]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_tells_services_and_files(served: Served, version: str) -> None:
    ask = served.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    listed, described = [answer async for answer in ask(iter(questions))]
    assert {service.name for service in listed.list_services_response.service} >= {
        SERVICE,
        "grpc.health.v1.Health",
    }
    files = [
        FileDescriptorProto.FromString(content).name
        for content in described.file_descriptor_response.file_descriptor_proto
    ]
    assert "moodline/v1/analysis_service.proto" in files


async def test_a_drain_refuses_new_calls_and_lets_open_ones_finish(
    artifact: Artifact, engine: HeldEngine
) -> None:
    async with analyzing(artifact, engine) as analyzer, serving(analyzer) as served:
        stream = served.stub.StreamConversation()
        await stream.write(configuration())
        await stream.write(streamed("t1"))
        await next_answer(stream)
        engine.may_compute.clear()
        engine.has_begun.clear()
        open_call = asyncio.ensure_future(served.analyze(turn("am I still served?")))
        assert await asyncio.to_thread(engine.has_begun.wait, 30)
        draining = asyncio.ensure_future(served.rpc.drain())

        async with asyncio.timeout(30):
            while (await health(served.channel))[SERVICE] == SERVING:
                pass
        answer = await refusal(served.analyze(turn()))
        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert answer.reason == "DRAINING"
        assert (await health(served.channel))["liveness"] == SERVING

        engine.may_compute.set()
        assert (await open_call).analysis.turns
        await stream.write(streamed("t2"))
        assert (await next_answer(stream)).turn_result.turn.turn_id == "t2"
        assert not draining.done()
        await stream.done_writing()
        assert (await next_answer(stream)).summary.sentiment.customer_turn_count == 2
        await draining


async def test_calls_still_open_after_the_grace_are_told(
    artifact: Artifact, engine: HeldEngine
) -> None:
    server = ServerSettings(port=0, grace_s=0)
    async with (
        analyzing(artifact, engine) as analyzer,
        serving(analyzer, with_settings=settings(server=server)) as served,
    ):
        idle = served.stub.StreamConversation()
        await idle.write(configuration())
        await idle.write(streamed("t1"))
        await next_answer(idle)
        engine.may_compute.clear()
        engine.has_begun.clear()
        unary = served.stub.AnalyzeConversation(request([turn()]))
        waiting = asyncio.ensure_future(refusal(unary))
        assert await asyncio.to_thread(engine.has_begun.wait, 30)
        draining = asyncio.ensure_future(served.rpc.drain())
        for answer in (await refusal(idle.read()), await waiting):
            assert answer.code is grpc.StatusCode.UNAVAILABLE
            assert answer.reason == "DRAINING"
        engine.may_compute.set()
        await draining


async def test_a_port_that_is_taken_is_refused_by_name(
    served: Served, analyzer: ConversationAnalyzer
) -> None:
    taken = settings(server=ServerSettings(port=served.rpc.port))
    with pytest.raises(SettingsError, match="MOODLINE_SERVER__PORT"):
        async with serving(analyzer, with_settings=taken):
            pass


async def test_a_metrics_port_that_is_taken_is_refused_by_name(served: Served) -> None:
    taken = settings(server=ServerSettings(port=0, metrics_port=served.rpc.port))
    with pytest.raises(SettingsError, match="MOODLINE_SERVER__METRICS_PORT"):
        await app.serve(taken, stop=asyncio.Event())


async def test_serving_needs_a_tokens_file() -> None:
    with pytest.raises(SettingsError, match="TOKENS_FILE"):
        await app.serve(settings(auth=AuthSettings(mode="token")), stop=asyncio.Event())


async def test_a_process_serves_until_it_is_told_to_stop() -> None:
    stop = asyncio.Event()
    ready: asyncio.Future[app.ServerAddress] = asyncio.get_running_loop().create_future()
    server = ServerSettings(port=0, metrics_port=0)
    serve = asyncio.ensure_future(
        app.serve(settings(server=server), stop=stop, on_ready=ready.set_result)
    )
    await asyncio.wait((serve, ready), return_when=asyncio.FIRST_COMPLETED)
    address = ready.result()
    async with grpc.aio.insecure_channel(f"{address.host}:{address.port}") as channel:
        response = await AnalysisServiceStub(channel).AnalyzeConversation(request([turn()]))
        assert response.analysis.turns[0].sentiment.label
        assert set((await health(channel)).values()) == {SERVING}
        url = f"http://{address.host}:{address.metrics_port}/metrics"
        exposed = await asyncio.to_thread(fetch, url)
    assert 'moodline_rpc_duration_seconds_count{code="OK"' in exposed
    assert f'version="{response.analysis.model_version}"' in exposed
    assert "process_cpu_seconds_total" in exposed
    stop.set()
    await serve
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(fetch, url)


def fetch(url: str) -> str:
    with urllib.request.urlopen(url) as response:
        content: bytes = response.read()
    return content.decode()


class Mortal(OnnxEncoder):
    """An encoder that takes the batching loop with it, once it is told to."""

    is_deadly = False

    def encode(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]
    ) -> EncoderOutput:
        if self.is_deadly:
            raise _Death
        return super().encode(input_ids, attention_mask)


class _Death(BaseException):
    pass


async def test_a_process_whose_engine_dies_says_so_and_ends(
    monkeypatch: pytest.MonkeyPatch, log_lines: Callable[[], list[dict[str, object]]]
) -> None:
    monkeypatch.setattr(app, "OnnxEncoder", Mortal)
    ready: asyncio.Future[app.ServerAddress] = asyncio.get_running_loop().create_future()
    serve = asyncio.ensure_future(
        app.serve(settings(), stop=asyncio.Event(), on_ready=ready.set_result)
    )
    await asyncio.wait((serve, ready), return_when=asyncio.FIRST_COMPLETED)
    address = ready.result()
    async with grpc.aio.insecure_channel(f"{address.host}:{address.port}") as channel:
        watch = health_stub(channel).Watch(health_pb2.HealthCheckRequest(service="liveness"))
        assert (await watch.read()).status == SERVING
        monkeypatch.setattr(Mortal, "is_deadly", True)
        call = AnalysisServiceStub(channel).AnalyzeConversation(request([turn("not in a cache")]))
        answer = await refusal(call)
        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert answer.reason == "NOT_READY"
        assert (await watch.read()).status == NOT_SERVING
        with pytest.raises(EngineDiedError):
            await serve
    assert "batch_loop_died" in [line["event"] for line in log_lines()]
