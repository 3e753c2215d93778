"""Signals for asyncio; the same calls as the sync ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

import grpc
import grpc.aio

from moodline.client.errors import MoodlineRpcError, error_of_call
from moodline.client.retry import RetryPolicy
from moodline.client.watch import WatchCourse
from moodline.v1.signal_pb2 import Signal, SignalEvent
from moodline.v1.signal_service_pb2 import (
    AcknowledgeSignalRequest,
    ListSignalsRequest,
    ListSignalsResponse,
    ResolveSignalRequest,
    SignalFilter,
    ValidateRulesRequest,
    ValidateRulesResponse,
    WatchSignalsRequest,
    WatchSignalsResponse,
)
from moodline.v1.signal_service_pb2_grpc import SignalServiceStub

if TYPE_CHECKING:
    from grpc.aio import UnaryStreamCall

    _WatchCall = UnaryStreamCall[WatchSignalsRequest, WatchSignalsResponse]

_T = TypeVar("_T")


class AsyncCaller(Protocol):
    """Makes a unary call with the retries of a client."""

    async def __call__(self, send: Callable[[float], Awaitable[_T]], timeout_s: float | None) -> _T:
        """Call `send` with the seconds that are left for it."""
        ...


class AsyncSignalCalls:
    """The calls of `SignalService`; the token needs the scope `signals`."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        metadata: tuple[tuple[str, str], ...],
        call: AsyncCaller,
        retry: RetryPolicy,
    ) -> None:
        """Made by `AsyncMoodlineClient` alone."""
        self._stub = SignalServiceStub(channel)
        self._metadata = metadata
        self._call = call
        self._retry = retry

    def watch(
        self, signal_filter: SignalFilter | None = None, *, resume_token: str = ""
    ) -> AsyncSignalWatch:
        """Hear what happens to signals, until closed; nothing is lost when the stream breaks.

        Args:
            signal_filter: Which signals; None for all.
            resume_token: `AsyncSignalWatch.resume_token` of an earlier watch, or
                `ListSignalsResponse.watch_token`, to hear what happened after it; empty for now.
        """
        return AsyncSignalWatch(
            lambda request: self._stub.WatchSignals(request, metadata=self._metadata),
            WatchCourse(self._retry, signal_filter=signal_filter, resume_token=resume_token),
        )

    async def list(
        self,
        signal_filter: SignalFilter | None = None,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout_s: float | None = None,
    ) -> ListSignalsResponse:
        """Return a page of signals, the newest raised first.

        Args:
            signal_filter: Which signals; None for all.
            page_size: How many at most; 0 for the server's choice.
            page_token: `next_page_token` of the page before, with the same filter.
            timeout_s: Deadline, retries included, in seconds; None for that of the client.

        Raises:
            MoodlineRpcError: If the server refuses it, or retries do not help.
        """
        request = ListSignalsRequest(
            filter=signal_filter, page_size=page_size, page_token=page_token
        )
        return await self._call(
            lambda left_s: self._stub.ListSignals(request, timeout=left_s, metadata=self._metadata),
            timeout_s,
        )

    async def acknowledge(
        self, signal_id: str, *, by: str = "", timeout_s: float | None = None
    ) -> Signal:
        """Say that somebody has taken note; arguments as of `AcknowledgeSignalRequest`.

        Raises:
            MoodlineRpcError: If the server refuses it, or retries do not help.
        """
        request = AcknowledgeSignalRequest(signal_id=signal_id, acknowledged_by=by)
        response = await self._call(
            lambda left_s: self._stub.AcknowledgeSignal(
                request, timeout=left_s, metadata=self._metadata
            ),
            timeout_s,
        )
        return response.signal

    async def resolve(
        self,
        signal_id: str,
        outcome: str,
        *,
        comment: str = "",
        by: str = "",
        timeout_s: float | None = None,
    ) -> Signal:
        """Say what a signal was worth; arguments as of `ResolveSignalRequest`.

        Raises:
            MoodlineRpcError: If the server refuses it, or retries do not help.
        """
        request = ResolveSignalRequest(
            signal_id=signal_id, outcome=outcome, comment=comment, resolved_by=by
        )
        response = await self._call(
            lambda left_s: self._stub.ResolveSignal(
                request, timeout=left_s, metadata=self._metadata
            ),
            timeout_s,
        )
        return response.signal

    async def validate_rules(
        self, rules_yaml: str, *, timeout_s: float | None = None
    ) -> ValidateRulesResponse:
        """Have a rule set checked.

        Raises:
            MoodlineRpcError: If the server refuses it, or retries do not help.
        """
        request = ValidateRulesRequest(rules_yaml=rules_yaml)
        return await self._call(
            lambda left_s: self._stub.ValidateRules(
                request, timeout=left_s, metadata=self._metadata
            ),
            timeout_s,
        )


class AsyncSignalWatch:
    """An iterator over events that comes back by itself; cancel the task that iterates to end."""

    def __init__(
        self, open_call: Callable[[WatchSignalsRequest], _WatchCall], course: WatchCourse
    ) -> None:
        """Made by `AsyncSignalCalls.watch` alone."""
        self._open_call = open_call
        self._course = course

    @property
    def resume_token(self) -> str:
        """Stands for all events up to the last one that was returned."""
        return self._course.resume_token

    async def __aiter__(self) -> AsyncGenerator[SignalEvent, None]:
        """Yield events as they happen.

        Raises:
            MoodlineRpcError: If the server refuses the watch, or cannot be reached at first.
        """
        while True:
            error: MoodlineRpcError | None = None
            stream = self._open_call(self._course.request())
            try:
                async for response in stream:
                    event = self._course.take(response)
                    if event is not None:
                        yield event
            except grpc.RpcError as rpc_error:
                error = error_of_call(rpc_error)
            finally:
                stream.cancel()
            await asyncio.sleep(self._course.delay_s(error))
