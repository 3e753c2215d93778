"""What every call of moodline goes through, around its handler.

One interceptor, in this order: request id, clock, authentication, the gate, the handler, and on the
way out the only place that turns errors into statuses, one log line and the metrics. It wraps the
handler itself: the time of `continuation` is that of finding the handler, about nothing.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from moodline.errors import MalformedRequestError
from moodline.rpc.auth import Authenticator, Metadata, Principal, Scope, bind_principal
from moodline.rpc.gate import CallGate
from moodline.rpc.status import code_of, reason_of, status_of
from moodline.telemetry.logging import RpcRecord, bind_record
from moodline.telemetry.metrics import Metrics

REQUEST_ID_KEY: Final = "moodline-request-id"
"""Metadata that a caller may send, and that every answer carries in its trailing metadata."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")

_log = structlog.get_logger(__name__)

_Context = grpc.aio.ServicerContext[Any, Any]
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Around = Callable[[_Context], AbstractAsyncContextManager[None]]


@dataclass(slots=True)
class _Call:
    """What is known of a call when it ends."""

    method: str
    record: RpcRecord
    started_s: float
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: str = ""
    principal: Principal = field(default_factory=lambda: Principal("", ""))
    bug: Exception | None = None


class _Undecodable:
    """Stands for a request whose bytes could not be decoded, until a handler may complain."""


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of moodline's own services; health and reflection stay as they are."""

    def __init__(
        self,
        *,
        scopes: Mapping[str, Scope],
        authenticator: Authenticator,
        gate: CallGate,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what is needed.

        Args:
            scopes: The scope that each service demands, by its full name; others are not wrapped.
            authenticator: Who may call.
            gate: When calls may come.
            metrics: Where durations and counts go.
            clock: Monotonic time in seconds.
        """
        self._scopes = scopes
        self._authenticator = authenticator
        self._gate = gate
        self._metrics = metrics
        self._clock = clock

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Return the handler with everything around it."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method.removeprefix("/")
        scope = self._scopes.get(method.partition("/")[0])
        # None: there is no such method, which gRPC answers itself.
        if handler is None or scope is None:
            return handler

        def around(context: _Context) -> AbstractAsyncContextManager[None]:
            return self._around(context, method, scope)

        if handler.request_streaming:
            return self._wrap_stream(handler, around)
        if handler.response_streaming:
            return _wrap_watch(handler, around)
        return _wrap_unary(handler, around)

    def _wrap_stream(self, handler: _Handler, around: _Around) -> _Handler:
        behaviour: Any = handler.stream_stream
        live_streams = self._metrics.live_streams

        async def stream(requests: AsyncIterator[Any], context: _Context) -> AsyncIterator[Any]:
            async with around(context):
                with live_streams.track_inprogress():
                    async with aclosing(behaviour(_decoded(requests), context)) as responses:
                        async for response in responses:
                            yield response

        return grpc.stream_stream_rpc_method_handler(
            stream,
            request_deserializer=_forgiving(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    @asynccontextmanager
    async def _around(self, context: _Context, method: str, scope: Scope) -> AsyncIterator[None]:
        metadata: Metadata = context.invocation_metadata() or ()
        call = _Call(method, bind_record(), self._clock())
        # Asked for now: a watch may be closed after its call was freed, which crashes gRPC then.
        peer = context.peer()
        call.record.request_id = request_id = _request_id(metadata)
        trailing = ((REQUEST_ID_KEY, request_id),)
        context.set_trailing_metadata(trailing)
        try:
            call.principal = self._authenticator.authenticate(metadata, scope=scope)
            bind_principal(call.principal)
            async with self._gate.enter():
                yield
        except (asyncio.CancelledError, GeneratorExit):
            # The client has gone, or its deadline has passed; gRPC tells no difference.
            call.code = grpc.StatusCode.CANCELLED
            left_s = remaining_s(context)
            if left_s is not None and left_s <= 0:
                call.code = grpc.StatusCode.DEADLINE_EXCEEDED
            raise
        except Exception as error:  # noqa: BLE001 - the one place that lets nothing escape
            call.code, call.reason = code_of(error), reason_of(error)
            call.bug = error if call.code is grpc.StatusCode.INTERNAL else None
            status = rpc_status.to_status(status_of(error, request_id=request_id))
            await context.abort(status.code, status.details, (*status.trailing_metadata, *trailing))
        finally:
            self._conclude(call, peer)

    def _conclude(self, call: _Call, peer: str) -> None:
        """Write the one line of the call, and count it."""
        duration_s = self._clock() - call.started_s
        self._metrics.rpc_duration_seconds.labels(method=call.method, code=call.code.name).observe(
            duration_s
        )
        level = "info" if call.bug is None else "error"
        getattr(_log, level)(
            "call",
            method=call.method,
            code=call.code.name,
            reason=call.reason,
            tenant=call.principal.tenant,
            token=call.principal.name,
            peer=peer,
            duration_s=round(duration_s, 6),
            **call.record.fields(),
            **({} if call.bug is None else {"exc_info": call.bug}),
        )


def remaining_s(context: _Context) -> float | None:
    """Return the seconds until the caller's deadline, None if it set none, as the stubs forget."""
    return context.time_remaining()


def _wrap_unary(handler: _Handler, around: _Around) -> _Handler:
    behaviour: Any = handler.unary_unary

    async def unary(request: Any, context: _Context) -> Any:
        async with around(context):
            return await behaviour(_checked(request), context)

    return grpc.unary_unary_rpc_method_handler(
        unary,
        request_deserializer=_forgiving(handler.request_deserializer),
        response_serializer=handler.response_serializer,
    )


def _wrap_watch(handler: _Handler, around: _Around) -> _Handler:
    behaviour: Any = handler.unary_stream

    async def watch(request: Any, context: _Context) -> AsyncIterator[Any]:
        async with (
            around(context),
            aclosing(behaviour(_checked(request), context)) as responses,
        ):
            async for response in responses:
                yield response

    return grpc.unary_stream_rpc_method_handler(
        watch,
        request_deserializer=_forgiving(handler.request_deserializer),
        response_serializer=handler.response_serializer,
    )


def _request_id(metadata: Metadata) -> str:
    """Return the caller's id if it can stand in a log as it is, else one of our own."""
    for key, value in metadata:
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex


def _forgiving(deserialize: Any) -> Callable[[bytes], Any]:
    """Let undecodable bytes through: gRPC itself would answer INTERNAL, as if it were our bug."""

    def deserialize_or_mark(content: bytes) -> Any:
        try:
            return deserialize(content)
        except DecodeError:
            return _Undecodable()

    return deserialize_or_mark


def _checked(request: Any) -> Any:
    if isinstance(request, _Undecodable):
        raise MalformedRequestError
    return request


async def _decoded(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(request)
