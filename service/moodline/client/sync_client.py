"""The client for code without asyncio."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import grpc

from moodline.client.batch import BatchOutcome, BatchWork, split_batch
from moodline.client.endpoint import Endpoint, TlsOptions
from moodline.client.errors import MoodlineRpcError, error_of_call
from moodline.client.jobs import JobCalls
from moodline.client.retry import RetryCourse, RetryPolicy
from moodline.client.signals import SignalCalls
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
    from grpc import _CallIterator

_T = TypeVar("_T")


class MoodlineClient:
    """Calls an analysis server; safe to share between threads.

    Unary calls are sent again as `RetryPolicy` says, within their deadline. Streams are not: a
    conversation lives as long as its stream. After a broken one, open another and send everything
    again, which gives the same results.
    """

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
        """Prepare a connection; the first call makes it.

        Args:
            target: `HOST:PORT`, or another name that gRPC resolves.
            token: Bearer token; travels in the clear unless `tls` is set.
            tenant: Tenant that the token is meant to be of; the server refuses a token of another.
            tls: How to encrypt; None to send in the clear.
            timeout_s: Deadline of a unary call that names none, retries included, in seconds.
            retry: When calls are sent again.

        Raises:
            OSError: If a file of `tls` cannot be read.
        """
        endpoint = Endpoint(target, token=token, tenant=tenant, tls=tls)
        self._metadata = endpoint.metadata()
        self._timeout_s = timeout_s
        self._retry = retry
        self._channel = endpoint.open_channel()
        self._stub = AnalysisServiceStub(self._channel)
        self.signals = SignalCalls(
            self._channel, metadata=self._metadata, call=self._send, retry=retry
        )
        self.jobs = JobCalls(self._channel, metadata=self._metadata, call=self._send)
        self._capabilities: Capabilities | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls and streams that are open are cancelled."""
        self._channel.close()

    def analyze(
        self,
        conversation: Conversation,
        *,
        options: AnalysisOptions | None = None,
        timeout_s: float | None = None,
    ) -> ConversationAnalysis:
        """Analyse one whole conversation.

        Args:
            conversation: At least one turn.
            options: What the result should hold; None for the defaults.
            timeout_s: Deadline, retries included, in seconds; None for that of the client.

        Raises:
            MoodlineRpcError: If the server refuses it, or retries do not help.
        """
        request = AnalyzeConversationRequest(conversation=conversation, options=options)
        course = self._course(timeout_s)
        return _call(
            lambda: (
                self._stub.AnalyzeConversation(
                    request, timeout=course.remaining_s(), metadata=self._metadata
                ).analysis
            ),
            course,
        )

    def analyze_batch(
        self,
        conversations: Iterable[Conversation],
        *,
        options: AnalysisOptions | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[BatchOutcome]:
        """Analyse many whole conversations, behind the server's live work.

        They are read as results are taken, and sent in as few calls as the server's limits allow;
        so any number of them needs the memory of one call.

        Args:
            conversations: Any number.
            options: What every result should hold; None for the defaults.
            timeout_s: Deadline of each call, retries included, in seconds; None for the client's.

        Yields:
            For each conversation, in order, its result, or the error that it alone was answered by.

        Raises:
            MoodlineRpcError: If a whole call fails, which ends the iteration.
        """
        for batch in split_batch(conversations, self._known_capabilities().limits):
            course = self._course(timeout_s)
            work = BatchWork(batch, options=options, course=course)
            delay_s: float | None = 0.0
            while delay_s is not None:
                time.sleep(delay_s)
                delay_s = self._send_batch(work, course)
            yield from work.outcomes()

    def capabilities(self, *, timeout_s: float | None = None) -> Capabilities:
        """Ask what the server can do: limits, model, labels, languages.

        Raises:
            MoodlineRpcError: If the server refuses, or retries do not help.
        """
        course = self._course(timeout_s)
        return _call(
            lambda: (
                self._stub.GetCapabilities(
                    GetCapabilitiesRequest(), timeout=course.remaining_s(), metadata=self._metadata
                ).capabilities
            ),
            course,
        )

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
    ) -> ConversationStream:
        """Begin a live conversation; use what is returned as a context manager.

        Args:
            conversation_id: The caller's id.
            channel: E.g. `chat`, `call`; empty if unknown.
            language: BCP-47 tag; empty to have it detected.
            customer_id: The caller's id of the customer; empty if unknown.
            attributes: What else rules may look at.
            discard_signals: Whether signals are told on this stream alone, and not kept.
            on_signals: Called with what a turn did to signals, by whoever receives or finishes;
                after the turn's answer, perhaps after those of later turns.
            options: What every result should hold; None for the defaults.
            timeout_s: Deadline of the whole stream, in seconds; None for none.
        """
        return ConversationStream(
            lambda requests: self._stub.StreamConversation(
                requests, timeout=timeout_s, metadata=self._metadata
            ),
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

    def _known_capabilities(self) -> Capabilities:
        if self._capabilities is None:
            self._capabilities = self.capabilities()
        return self._capabilities

    def _send(self, send: Callable[[float], _T], timeout_s: float | None) -> _T:
        course = self._course(timeout_s)
        return _call(lambda: send(course.remaining_s()), course)

    def _course(self, timeout_s: float | None) -> RetryCourse:
        return RetryCourse(
            self._retry,
            timeout_s=self._timeout_s if timeout_s is None else timeout_s,
            clock=time.monotonic,
            chance=random.random,
        )

    def _send_batch(self, work: BatchWork, course: RetryCourse) -> float | None:
        try:
            response = _call(
                lambda: self._stub.BatchAnalyzeConversations(
                    work.request(), timeout=course.remaining_s(), metadata=self._metadata
                ),
                course,
            )
        except MoodlineRpcError as error:
            work.take_failure(error)
            return None
        return work.take(response)


class ConversationStream:
    """A live conversation.

    Every turn that is sent has one answer, in the order of the turns. One thread may send while
    another receives.
    """

    def __init__(
        self,
        open_call: Callable[
            [Iterator[StreamConversationRequest]], _CallIterator[StreamConversationResponse]
        ],
        configuration: StreamConfiguration,
        on_signals: Callable[[StreamSignals], None] | None,
    ) -> None:
        """Made by `MoodlineClient.stream` alone."""
        self._requests: SimpleQueue[StreamConversationRequest | None] = SimpleQueue()
        self._requests.put(StreamConversationRequest(configuration=configuration))
        self._call = open_call(iter(self._requests.get, None))
        self._progress = StreamProgress(on_signals)
        self._reading = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self._requests.put(None)  # Ends gRPC's thread that waits for requests.
        self._call.cancel()

    def send(self, turn: Turn) -> None:
        """Send a turn, which needs `turn_id` and `is_final`, without waiting for its answer.

        Whatever is wrong with it is raised where its answer is received.
        """
        self._requests.put(StreamConversationRequest(turn=turn))

    def receive(self) -> StreamAnswer:
        """Wait for the next answer.

        Raises:
            MoodlineRpcError: If the stream failed.
            EOFError: If the stream is finished and every answer was received.
        """
        while (answer := self._progress.next_answer()) is None:
            self._advance()
        return answer

    def __iter__(self) -> Iterator[StreamAnswer]:
        """Yield answers until the stream is finished, by another thread or before iterating."""
        while True:
            try:
                yield self.receive()
            except EOFError:
                return

    def finish(self) -> ConversationAnalysis:
        """Say that no turn follows, and wait for the roll-up.

        Answers that were not received yet still can be.

        Raises:
            MoodlineRpcError: If the stream failed.
        """
        self._requests.put(None)
        while (summary := self._progress.final_summary()) is None:
            self._advance()
        return summary

    def _advance(self) -> None:
        """Read one message, unless another thread just did."""
        seen_count = self._progress.message_count
        with self._reading:
            if self._progress.is_ended or self._progress.message_count > seen_count:
                return
            try:
                self._progress.take(next(self._call))
            except StopIteration:
                self._progress.end()
            except grpc.RpcError as rpc_error:
                self._progress.end(error_of_call(rpc_error))


def _call(send: Callable[[], _T], course: RetryCourse) -> _T:
    while True:
        try:
            return send()
        except grpc.RpcError as rpc_error:
            error = error_of_call(rpc_error)
            delay_s = course.next_delay_s([error])
            if delay_s is None:
                raise error from rpc_error
        time.sleep(delay_s)
