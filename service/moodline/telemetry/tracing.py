"""OpenTelemetry traces of the server, behind the extra `moodline[otel]`.

The exporter follows OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT` and so on).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moodline.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter


@dataclass(frozen=True, slots=True)
class Tracing:
    """Traces of one process.

    Attributes:
        provider: Makes tracers; the process-wide provider stays untouched.
        server_interceptor: A `grpc.aio.ServerInterceptor` that opens a span per call. It must be
            the outermost, so that the span covers the others.
    """

    provider: TracerProvider
    server_interceptor: Any

    def close(self) -> None:
        """Export what is left and stop; may take seconds, so not for the event loop."""
        self.provider.shutdown()


def open_tracing(*, service_version: str, exporter: SpanExporter | None = None) -> Tracing:
    """Start to trace.

    Args:
        service_version: Version of moodline, for the resource's attributes.
        exporter: Where spans go; by default to an OTLP collector over gRPC.

    Raises:
        SettingsError: If the extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.grpc import aio_server_interceptor, filters
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            "MOODLINE_TELEMETRY__OTEL is true, but OpenTelemetry is not installed; "
            "install `moodline[otel]` or set it to false."
        ) from error
    provider = TracerProvider(
        resource=Resource.create({"service.name": "moodline", "service.version": service_version}),
        # The only events are exceptions, whose messages and tracebacks may quote a customer.
        span_limits=SpanLimits(max_events=0),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    # Probes would drown the traces; and health's Watch, no generator, does not survive wrapping.
    is_traced = filters.negate(filters.health_check())
    interceptor = aio_server_interceptor(provider, is_traced)  # type: ignore[no-untyped-call]
    return Tracing(provider, interceptor)
