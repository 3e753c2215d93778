"""Traces of a real server, read from memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from moodline.telemetry.tracing import open_tracing

pytest.importorskip("opentelemetry.sdk", reason="needs the extra `otel`")
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

WORDS = b"my card number is 4111"
Context = grpc.aio.ServicerContext[bytes, bytes]
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


async def answer(request: bytes, context: Context) -> bytes:
    return request


async def fail(request: bytes, context: Context) -> bytes:
    raise ValueError(request)


async def refuse(request: bytes, context: Context) -> bytes:
    try:
        return await fail(request, context)
    except ValueError:
        await context.abort(grpc.StatusCode.INTERNAL, "The service failed.")
        raise


async def echo(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


@asynccontextmanager
async def serving(exporter: InMemorySpanExporter) -> AsyncIterator[grpc.aio.Channel]:
    """Serve with traces; on leaving, every span has been exported."""
    tracing = open_tracing(service_version="1.2.3", exporter=exporter)
    server = grpc.aio.server(interceptors=[tracing.server_interceptor])
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Answer": grpc.unary_unary_rpc_method_handler(answer),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
    }
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("test.Service", handlers)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(grace=10)
    tracing.close()


async def span_of(method: str) -> tuple[grpc.StatusCode, ReadableSpan]:
    exporter = InMemorySpanExporter()
    async with serving(exporter) as channel:
        method_call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        method_call = channel.unary_unary(f"/test.Service/{method}")
        call = method_call(WORDS, metadata=[("traceparent", f"00-{TRACE_ID}-b7ad6b7169203331-01")])
        code = await call.code()
    (span,) = exporter.get_finished_spans()
    return code, span


async def test_a_call_is_a_span_of_the_callers_trace() -> None:
    code, span = await span_of("Answer")
    assert code is grpc.StatusCode.OK
    assert span.name == "/test.Service/Answer"
    assert span.kind is trace.SpanKind.SERVER
    assert span.context is not None
    assert trace.format_trace_id(span.context.trace_id) == TRACE_ID
    assert span.resource.attributes["service.name"] == "moodline"
    assert span.resource.attributes["service.version"] == "1.2.3"


async def test_a_stream_is_one_span() -> None:
    exporter = InMemorySpanExporter()
    async with serving(exporter) as channel:
        echoed: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        echoed = channel.stream_stream("/test.Service/Echo")
        assert [response async for response in echoed(iter([WORDS, WORDS]))] == [WORDS, WORDS]
    (span,) = exporter.get_finished_spans()
    assert span.name == "/test.Service/Echo"


@pytest.mark.parametrize("method", ["Answer", "Fail", "Refuse"])
async def test_a_span_never_holds_what_a_customer_said(method: str) -> None:
    _, span = await span_of(method)
    assert WORDS.decode() not in span.to_json()


async def test_a_refused_call_is_a_failed_span() -> None:
    code, span = await span_of("Refuse")
    assert code is grpc.StatusCode.INTERNAL
    assert span.status.status_code is trace.StatusCode.ERROR


async def test_the_process_wide_provider_stays_untouched() -> None:
    before = trace.get_tracer_provider()
    await span_of("Answer")
    assert trace.get_tracer_provider() is before
