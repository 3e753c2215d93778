"""The client for asyncio; the same calls as the sync one."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import grpc
import grpc.aio

from moodline.client.aio_jobs import AsyncJobCalls
from moodline.client.aio_signals import AsyncSignalCalls
from moodline.client.batch import BatchOutcome, BatchWork, split_batch
from moodline.client.endpoint import Endpoint, TlsOptions
from moodline.client.errors import MoodlineRpcError, error_of_call
from moodline.client.retry import RetryCourse, RetryPolicy
from moodline.client.streams import StreamAnswer, StreamProgress
from moodline.v1.analysis_pb2 import AnalysisOptions, ConversationAnalysis
from moodline.v1.analysis_service_pb2 import (
    AnalyzeConversationRequest,
    Capabilities,
    GetCapabilitiesRequest,
    StreamConfiguration,
    StreamConversationRequest,
    StreamConversationResponse,
    StreamSignals,
)
from moodline.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from moodline.v1.conversation_pb2 import Conversation, Turn

if TYPE_CHECKING:
    from grpc.aio import StreamStreamCall

    _StreamCall = StreamStreamCall[StreamConversationRequest, StreamConversationResponse]

_T = TypeVar("_T")


class AsyncMoodlineClient:
    """Calls an analysis server from one event loop; see `MoodlineClient`."""

    def __init__(
        self,
        target: str,
        *,
        token: str | None = None,
        tenant: str | None = None,
        tls: TlsOptions | None = None,
        timeout_s: float = 60.0,
        retry: RetryPolicy = RetryPolicy(),
    ) -> None:
        """Prepare a connection, inside the event loop; arguments as of `MoodlineClient`.

        Raises:
            OSError: If a file of `tls` cannot be read.
        """
        endpoint = Endpoint(target, token=token, tenant=tenant, tls=tls)
        self._metadata = endpoint.metadata()
        self._timeout_s = timeout_s
        self._retry = retry
        self._channel = endpoint.open_aio_channel()
        self._stub = AnalysisServiceStub(self._channel)
        self.signals = AsyncSignalCalls(
            self._channel, metadata=self._metadata, call=self._send, retry=retry
        )
        self.jobs = AsyncJobCalls(self._channel, metadata=self._metadata, call=self._send)
        self._capabilities: Capabilities | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls and streams that are open are cancelled."""
        await self._channel.close()

    async def analyze(
        self,
        conversation: Conversation,
        *,
        options: AnalysisOptions | None = None,
        timeout_s: float | None = None,
    ) -> ConversationAnalysis:
        """Analyse one whole conversation; see `MoodlineClient.analyze`."""
        request = AnalyzeConversationRequest(conversation=conversation, options=options)
        course = self._course(timeout_s)
        response = await _call(
            lambda: self._stub.AnalyzeConversation(
                request, timeout=course.remaining_s(), metadata=self._metadata
            ),
            course,
        )
        return response.analysis

    async def analyze_batch(
        self,
        conversations: Iterable[Conversation],
        *,
        options: AnalysisOptions | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[BatchOutcome]:
        """Analyse many whole conversations; see `MoodlineClient.analyze_batch`."""
        for batch in split_batch(conversations, (await self._known_capabilities()).limits):
            course = self._course(timeout_s)
            work = BatchWork(batch, options=options, course=course)
            delay_s: float | None = 0.0
            while delay_s is not None:
                await asyncio.sleep(delay_s)
                delay_s = await self._send_batch(work, course)
            for outcome in work.outcomes():
                yield outcome

    async def capabilities(self, *, timeout_s: float | None = None) -> Capabilities:
        """Ask what the server can do; see `MoodlineClient.capabilities`."""
        course = self._course(timeout_s)
        response = await _call(
            lambda: self._stub.GetCapabilities(
                GetCapabilitiesRequest(), timeout=course.remaining_s(), metadata=self._metadata
            ),
            course,
        )
        return response.capabilities

    def stream(
        self,
        conversation_id: str,
        *,
        channel: str = "",
        language: str = "",
        customer_id: str = "",
        attributes: Mapping[str, str] | None = None,
        discard_signals: bool = False,
        on_signals: Callable[[StreamSignals], None] | None = None,
        options: AnalysisOptions | None = None,
        timeout_s: float | None = None,
    ) -> AsyncConversationStream:
        """Begin a live conversation; see `MoodlineClient.stream`."""
        # pylint: disable=duplicate-code  # Both clients pass the same fields on.
        return AsyncConversationStream(
            lambda: self._stub.StreamConversation(timeout=timeout_s, metadata=self._metadata),
            StreamConfiguration(
                conversation_id=conversation_id,
                channel=channel,
                language=language,
                options=options,
                customer_id=customer_id,
                attributes=attributes,
                discard_signals=discard_signals,
            ),
            on_signals,
        )

    async def _known_capabilities(self) -> Capabilities:
        if self._capabilities is None:
            self._capabilities = await self.capabilities()
        return self._capabilities

    async def _send(self, send: Callable[[float], Awaitable[_T]], timeout_s: float | None) -> _T:
        course = self._course(timeout_s)
        return await _call(lambda: send(course.remaining_s()), course)

    def _course(self, timeout_s: float | None) -> RetryCourse:
        return RetryCourse(
            self._retry,
            timeout_s=self._timeout_s if timeout_s is None else timeout_s,
            clock=time.monotonic,
            chance=random.random,
        )

    async def _send_batch(self, work: BatchWork, course: RetryCourse) -> float | None:
        try:
            response = await _call(
                lambda: self._stub.BatchAnalyzeConversations(
                    work.request(), timeout=course.remaining_s(), metadata=self._metadata
                ),
                course,
            )
        except MoodlineRpcError as error:
            work.take_failure(error)
            return None
        return work.take(response)


class AsyncConversationStream:
    """A live conversation, see `ConversationStream`; one task may send while another receives.

    Cancelling a task that receives leaves the stream as it is; one that sends breaks it.
    """

    def __init__(
        self,
        open_call: Callable[[], _StreamCall],
        configuration: StreamConfiguration,
        on_signals: Callable[[StreamSignals], None] | None,
    ) -> None:
        """Made by `AsyncMoodlineClient.stream` alone."""
        self._open_call = open_call
        self._configuration = configuration
        self._progress = StreamProgress(on_signals)
        self._pending_read: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._call = self._open_call()
        # A refusal (token, drain) that arrives while something is written would be reported as
        # INTERNAL; see https://github.com/grpc/grpc/issues/36066. The server answers at once.
        with contextlib.suppress(grpc.RpcError):
            await self._call.initial_metadata()
        await self._write(StreamConversationRequest(configuration=self._configuration))
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self._call.cancel()
        if self._pending_read is not None:
            await asyncio.wait([self._pending_read])

    async def send(self, turn: Turn) -> None:
        """Send a turn, which needs `turn_id` and `is_final`, without waiting for its answer.

        Whatever is wrong with it is raised where its answer is received.
        """
        await self._write(StreamConversationRequest(turn=turn))

    async def receive(self) -> StreamAnswer:
        """Wait for the next answer.

        Raises:
            MoodlineRpcError: If the stream failed.
            EOFError: If the stream is finished and every answer was received.
        """
        while (answer := self._progress.next_answer()) is None:
            await self._advance()
        return answer

    async def __aiter__(self) -> AsyncIterator[StreamAnswer]:
        """Yield answers until the stream is finished, by another task or before iterating."""
        while True:
            try:
                yield await self.receive()
            except EOFError:
                return

    async def finish(self) -> ConversationAnalysis:
        """Say that no turn follows, and wait for the roll-up.

        Answers that were not received yet still can be.

        Raises:
            MoodlineRpcError: If the stream failed.
        """
        await self._call.done_writing()
        while (summary := self._progress.final_summary()) is None:
            await self._advance()
        return summary

    async def _write(self, request: StreamConversationRequest) -> None:
        # Why a call has ended is told by what is read from it, after the answers before the end.
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            await self._call.write(request)

    async def _advance(self) -> None:
        """Wait until one more message was read, by whichever task."""
        if self._pending_read is None or self._pending_read.done():
            self._pending_read = asyncio.create_task(self._read(), name="moodline-stream-read")
        # gRPC cancels the call when a read is cancelled; who waits for it may still go away.
        await asyncio.shield(self._pending_read)

    async def _read(self) -> None:
        try:
            message = await self._call.read()
        except grpc.RpcError as rpc_error:
            self._progress.end(error_of_call(rpc_error))
            return
        if isinstance(message, StreamConversationResponse):
            self._progress.take(message)
        else:
            self._progress.end()


async def _call(send: Callable[[], Awaitable[_T]], course: RetryCourse) -> _T:
    while True:
        try:
            return await send()
        except grpc.RpcError as rpc_error:
            error = error_of_call(rpc_error)
            delay_s = course.next_delay_s([error])
            if delay_s is None:
                raise error from rpc_error
        await asyncio.sleep(delay_s)
