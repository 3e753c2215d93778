"""What is left of a call: one log line, metrics, a span, and never what a customer said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import grpc
import pytest

from moodline.analyzer import ConversationAnalyzer
from moodline.artifact import Artifact
from moodline.v1.analysis_service_pb2 import (
    BatchAnalyzeConversationsRequest,
    GetCapabilitiesRequest,
    StreamConversationRequest,
)
from moodline.v1.conversation_pb2 import Conversation
from tests.integration.harness import (
    SERVICE,
    HeldEngine,
    Served,
    analyzing,
    configuration,
    health_stub,
    read_refusal,
    refusal,
    request,
    serving,
    streamed,
    turn,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

LogLines = Callable[[], list[dict[str, object]]]
SECRET = "SECRET4111"


def calls(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    return [line for line in lines if line["event"] == "call"]


async def test_a_call_leaves_one_line_with_what_it_cost(
    served: Served, log_lines: LogLines
) -> None:
    response = await served.analyze(turn("Where is it?"), turn("Let me see.", role="agent"))
    (line,) = calls(log_lines())
    assert line["event"] == "call"
    assert line["level"] == "info"
    assert line["method"] == f"{SERVICE}/AnalyzeConversation"
    assert line["code"] == "OK"
    assert line["reason"] == ""
    assert line["tenant"] == "default"
    assert line["turn_count"] == 2
    assert line["window_count"] == 2
    assert line["model_version"] == response.analysis.model_version
    assert cast("float", line["duration_s"]) > 0
    assert {"tokenize_s", "head_s", "rollup_s", "max_batch_rows", "token_count"} <= line.keys()


async def test_a_stream_leaves_one_line_for_all_its_turns(
    served: Served, log_lines: LogLines
) -> None:
    await served.talk(configuration(), streamed("t1"), streamed("t2", "Hello?"))
    (line,) = calls(log_lines())
    assert line["method"] == f"{SERVICE}/StreamConversation"
    assert line["turn_count"] == 2


async def test_a_batch_counts_its_turns_and_failed_items(
    served: Served, log_lines: LogLines
) -> None:
    conversations = [
        Conversation(conversation_id="c1", turns=[turn(), turn("ok")]),
        Conversation(conversation_id="c2"),
    ]
    await served.stub.BatchAnalyzeConversations(
        BatchAnalyzeConversationsRequest(conversations=conversations)
    )
    (line,) = calls(log_lines())
    assert (line["turn_count"], line["failed_item_count"]) == (2, 1)


async def test_a_refused_call_says_why_and_is_no_error(served: Served, log_lines: LogLines) -> None:
    await refusal(served.analyze())
    (line,) = calls(log_lines())
    assert (line["code"], line["reason"]) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert line["level"] == "info"


async def test_the_callers_request_id_comes_back_and_is_logged(
    served: Served, log_lines: LogLines
) -> None:
    call = served.stub.GetCapabilities(
        GetCapabilitiesRequest(), metadata=[("moodline-request-id", "call-7")]
    )
    await call
    assert dict(await call.trailing_metadata())["moodline-request-id"] == "call-7"
    assert calls(log_lines())[0]["request_id"] == "call-7"


@pytest.mark.parametrize("sent", ["", "two words", "x" * 129, 'a"b'])
async def test_an_id_that_could_spoil_a_log_is_replaced(
    served: Served, log_lines: LogLines, sent: str
) -> None:
    call = served.stub.GetCapabilities(
        GetCapabilitiesRequest(), metadata=[("moodline-request-id", sent)]
    )
    await call
    returned = dict(await call.trailing_metadata())["moodline-request-id"]
    assert returned == calls(log_lines())[0]["request_id"] != sent
    assert len(returned) == 32


async def test_a_stream_knows_its_request_id_from_the_beginning(served: Served) -> None:
    call = served.stub.StreamConversation(metadata=[("moodline-request-id", "live-1")])
    await call.write(configuration())
    assert dict(await call.initial_metadata())["moodline-request-id"] == "live-1"
    await call.done_writing()


async def test_a_refusal_carries_the_request_id(served: Served) -> None:
    call = served.stub.AnalyzeConversation(
        request([]), metadata=[("moodline-request-id", "call-8")]
    )
    assert (await refusal(call)).request_id == "call-8"


async def test_calls_are_counted_by_method_and_code(analyzer: ConversationAnalyzer) -> None:
    async with serving(analyzer) as served:
        await served.analyze(turn())
        await refusal(served.analyze())
        await served.talk(configuration(), streamed("t1"))
        for method, code in (
            ("AnalyzeConversation", "OK"),
            ("AnalyzeConversation", "INVALID_ARGUMENT"),
            ("StreamConversation", "OK"),
        ):
            labels = {"method": f"{SERVICE}/{method}", "code": code}
            assert served.sample("moodline_rpc_duration_seconds_count", **labels) == 1
        assert served.sample("moodline_live_streams") == 0


class Broken:
    """An analyzer with a bug that quotes its input."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact

    async def analyze(self, conversation: object, **options: object) -> None:
        raise KeyError(repr(conversation))

    def open_session(self, **options: object) -> None:
        raise KeyError(repr(options))


async def fail_in_every_way(served: Served) -> str:
    """Send the secret wherever a request can hold it; return all that clients were told."""
    told: list[str] = []

    async def note(call: Any) -> None:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            told.append(read_refusal(error).raw)

    secret_turn = turn(SECRET, turn_id=SECRET, participant_id=SECRET)
    for bad in (
        request([secret_turn], conversation_id=SECRET, channel=SECRET),
        request([secret_turn, secret_turn], conversation_id=SECRET),
        request([turn(SECRET, role=SECRET)], conversation_id=SECRET, language=SECRET),
        request([turn(SECRET * 3000)], conversation_id=SECRET * 20),
    ):
        await note(served.stub.AnalyzeConversation(bad))
        batch = await served.stub.BatchAnalyzeConversations(
            BatchAnalyzeConversationsRequest(conversations=[bad.conversation])
        )
        told.append(str(batch.results[0].status))
    for messages in (
        [configuration(SECRET), streamed(SECRET, SECRET)],
        [streamed(SECRET, SECRET)],
        [configuration(SECRET), streamed(SECRET, SECRET), streamed(SECRET, SECRET + "!")],
        [configuration(SECRET), streamed(SECRET, SECRET, role=SECRET)],
        [configuration(SECRET), StreamConversationRequest(turn=turn(SECRET))],
    ):
        await note(served.talk(*messages))
    broken = request([turn(SECRET)]).SerializeToString().replace(b"4111", b"\xff\xfe\xfd\xfc")
    raw: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
    raw = served.channel.unary_unary(f"/{SERVICE}/AnalyzeConversation")
    await note(raw(broken))
    return "\n".join(told)


async def test_no_log_and_no_error_ever_holds_what_a_customer_said(
    served: Served, log_lines: LogLines
) -> None:
    told = await fail_in_every_way(served)
    assert len(calls(log_lines())) == 14
    assert "SECRET" not in told
    assert "SECRET" not in str(log_lines())


async def test_neither_does_an_engine_that_fails(
    artifact: Artifact, engine: HeldEngine, log_lines: LogLines
) -> None:
    engine.failure = ValueError(f"cannot read {SECRET}")
    async with analyzing(artifact, engine) as analyzer, serving(analyzer) as served:
        told = await fail_in_every_way(served)
    assert "INFERENCE_FAILED" in str(log_lines())
    assert "engine_failed" in [line["event"] for line in log_lines()]
    assert "SECRET" not in told
    assert "SECRET" not in str(log_lines())


async def test_neither_does_a_bug_of_ours(artifact: Artifact, log_lines: LogLines) -> None:
    async with serving(cast("ConversationAnalyzer", Broken(artifact))) as served:
        told = await fail_in_every_way(served)
        answer = await refusal(served.analyze(turn(SECRET)))
    assert answer.code is grpc.StatusCode.INTERNAL
    assert answer.reason == "INTERNAL"
    line = calls(log_lines())[-1]
    assert line["level"] == "error"
    assert line["request_id"] == answer.request_id
    assert "KeyError" in str(line["exception"])
    assert "SECRET" not in told
    assert "SECRET" not in str(log_lines())


async def test_traces_cover_calls_and_leave_health_alone(analyzer: ConversationAnalyzer) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra `otel`")
    from grpc_health.v1 import health_pb2
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from moodline.telemetry.tracing import open_tracing

    exporter = InMemorySpanExporter()
    tracing = open_tracing(service_version="1.2.3", exporter=exporter)
    async with serving(analyzer, tracing=tracing) as served:
        watch = health_stub(served.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        told = await fail_in_every_way(served)
        await served.talk(configuration(), streamed("t1"))
        watch.cancel()
    tracing.close()
    spans = exporter.get_finished_spans()
    assert {span.name for span in spans} == {
        f"/{SERVICE}/AnalyzeConversation",
        f"/{SERVICE}/BatchAnalyzeConversations",
        f"/{SERVICE}/StreamConversation",
    }
    codes = {(span.attributes or {})["rpc.grpc.status_code"] for span in spans}
    assert codes == {0, grpc.StatusCode.INVALID_ARGUMENT.value[0]}
    assert "SECRET" not in told
    assert not [span for span in spans if "SECRET" in span.to_json()]
