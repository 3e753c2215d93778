"""AnalysisService: reads requests, asks the analyzer, writes results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import grpc
import structlog

from moodline.batching.planner import Priority
from moodline.domain import AnalysisWarning, Conversation, StreamedTurn, WarningCode
from moodline.errors import (
    FieldViolation,
    InputTooLongError,
    InvalidRequestError,
    StoreUnavailableError,
)
from moodline.keeping.keeper import SignalKeeper
from moodline.keeping.live import LiveSignals, ToldSignals, unkept
from moodline.limits import Limits
from moodline.rpc import convert, convert_signals
from moodline.rpc.auth import Principal, bind_principal, current_principal
from moodline.rpc.gate import CallGate
from moodline.rpc.interceptor import REQUEST_ID_KEY, remaining_s
from moodline.rpc.live_stream import requests_and_signals
from moodline.rpc.status import code_of, status_of
from moodline.rpc.validation import RequestValidator
from moodline.rules.history import CustomerPast
from moodline.signals.engine import SignalEngine, SignalSession
from moodline.store.signals import Contact
from moodline.telemetry.logging import current_record
from moodline.telemetry.metrics import Metrics
from moodline.v1 import analysis_pb2, conversation_pb2
from moodline.v1.analysis_service_pb2 import (
    DESCRIPTOR,
    AnalyzeConversationRequest,
    AnalyzeConversationResponse,
    BatchAnalyzeConversationsRequest,
    BatchAnalyzeConversationsResponse,
    BatchItemResult,
    GetCapabilitiesRequest,
    GetCapabilitiesResponse,
    StreamConfiguration,
    StreamConversationRequest,
    StreamConversationResponse,
)
from moodline.v1.analysis_service_pb2_grpc import AnalysisServiceServicer

SERVICE: Final = DESCRIPTOR.services_by_name["AnalysisService"].full_name
MAX_LIVE_TURNS: Final = 16
"""A whole conversation of more turns runs as BULK: in one queue with live turns it would make each
of them wait for all of it."""
BATCH_CONCURRENCY: Final = 24
"""Items of one batch call that are analysed at a time: enough to fill engine calls, few enough
that one call does not fill the ledger of pending work."""
ENVELOPE_BYTES: Final = 65_536
"""Part of a batch response kept for what is not a result: ids, lengths, and the statuses of items
whose results do not fit."""

_PAST_UNKNOWN: Final = AnalysisWarning(
    WarningCode.CUSTOMER_PAST_UNKNOWN,
    "The store of signals did not answer; rules took the customer's past as unknown.",
)

_JOB_PRINCIPAL: Final = "scoring-job"

_log = structlog.get_logger(__name__)

_Context = grpc.aio.ServicerContext[Any, Any]


class AnalysisServicer(AnalysisServiceServicer):
    """Serves the four methods; every error leaves as an exception, for the interceptor to map."""

    def __init__(
        self,
        *,
        gate: CallGate,
        limits: Limits,
        server_version: str,
        default_deadline_s: float,
        signal_engine: SignalEngine,
        metrics: Metrics,
        keeper: SignalKeeper | None = None,
        retryable_codes: Mapping[str, tuple[str, ...]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what is needed.

        Args:
            gate: Holds the analyzer.
            limits: What a request may carry.
            server_version: Of moodline.
            default_deadline_s: How long a unary call, or one turn of a stream, may take if its
                caller sets no deadline, in seconds.
            signal_engine: The rules in force.
            metrics: Where counts and durations go.
            keeper: Keeps the signals of streams; None to tell them alone.
            retryable_codes: Of all methods of the server, by full name.
            clock: Monotonic time in seconds, the analyzer's.
        """
        self._gate = gate
        self._limits = limits
        self._server_version = server_version
        self._default_deadline_s = default_deadline_s
        self._signal_engine = signal_engine
        self._metrics = metrics
        self._keeper = keeper
        self._retryable_codes = retryable_codes
        self._clock = clock
        self._validator = RequestValidator(limits)

    async def AnalyzeConversation(  # noqa: N802 - named by the proto
        self, request: AnalyzeConversationRequest, context: _Context
    ) -> AnalyzeConversationResponse:
        """Analyse one whole conversation."""
        if not request.HasField("conversation"):
            raise InvalidRequestError(self._validator.collect_violations(request))
        analysis = await self._analyze(
            request.conversation,
            path="conversation",
            omit_evidence=request.options.omit_evidence,
            priority=_priority_of(request.conversation),
            deadline_s=self._deadline_s(context),
            mode="unary",
        )
        response = AnalyzeConversationResponse(analysis=analysis)
        byte_count = response.ByteSize()
        if byte_count > self._limits.max_message_bytes:
            raise _result_too_long("conversation", byte_count, self._limits.max_message_bytes)
        return response

    async def BatchAnalyzeConversations(  # noqa: N802 - named by the proto
        self, request: BatchAnalyzeConversationsRequest, context: _Context
    ) -> BatchAnalyzeConversationsResponse:
        """Analyse several conversations, each by itself."""
        violations = self._validator.collect_violations(request)
        if violations:
            raise InvalidRequestError(violations)
        deadline_s = self._deadline_s(context)
        results = [BatchItemResult() for _ in request.conversations]
        waiting = iter(range(len(results)))

        async def work() -> None:
            for index in waiting:
                results[index] = await self._item(
                    index,
                    request.conversations[index],
                    omit_evidence=request.options.omit_evidence,
                    deadline_s=deadline_s,
                )

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(BATCH_CONCURRENCY, len(results))):
                workers.create_task(work(), name="moodline-batch-item")
        self._drop_what_does_not_fit(results)
        current_record().failed_item_count = sum(r.HasField("status") for r in results)
        return BatchAnalyzeConversationsResponse(results=results)

    async def StreamConversation(  # noqa: N802 - named by the proto
        self, request_iterator: AsyncIterator[StreamConversationRequest], context: _Context
    ) -> AsyncIterator[StreamConversationResponse]:
        """Analyse one conversation while it runs.

        One message is read at a time; gRPC's flow control bounds what a faster client may send.
        """
        await context.send_initial_metadata(((REQUEST_ID_KEY, current_record().request_id),))
        requests = aiter(request_iterator)
        configuration = self._configuration_of(await anext(requests, None))
        session = self._gate.analyzer.open_session(
            conversation_id=configuration.conversation_id, language=configuration.language
        )
        omit_evidence = configuration.options.omit_evidence
        async with (
            self._open_signals(configuration) as live,
            aclosing(requests_and_signals(requests, live)) as messages,
        ):
            async for message in messages:
                if isinstance(message, ToldSignals):
                    yield convert_signals.told_signals_to_proto(message)
                    continue
                self._check_turn(message)
                answer = await session.add_turn(
                    convert.turn_from_proto(message.turn),
                    is_final=message.turn.is_final,
                    deadline_s=self._deadline_s(context),
                )
                if isinstance(answer, StreamedTurn) and answer.is_final:
                    live.add(answer.result)
                yield convert.stream_answer_to_proto(answer, omit_evidence=omit_evidence)
            yield StreamConversationResponse(
                summary=convert.analysis_to_proto(session.finish(), signals=live.signals)
            )

    async def GetCapabilities(  # noqa: N802 - named by the proto
        self, request: GetCapabilitiesRequest, context: _Context
    ) -> GetCapabilitiesResponse:
        """Tell what this server can do."""
        artifact = self._gate.analyzer.artifact
        return GetCapabilitiesResponse(
            capabilities=convert.capabilities_to_proto(
                manifest=artifact.manifest,
                model_version=artifact.model_version,
                configuration_digest=artifact.digest,
                server_version=self._server_version,
                limits=self._limits,
                retryable_codes=self._retryable_codes,
                rule_set=self._signal_engine.rule_set,
                are_signals_kept=self._keeper is not None,
            )
        )

    async def analyze_in_job(
        self, message: conversation_pb2.Conversation, *, tenant: str, omit_evidence: bool
    ) -> analysis_pb2.ConversationAnalysis:
        """Analyse a conversation of a scoring job, behind live work, in a task of its own.

        Args:
            message: Validated here; fields are named from it on.
            tenant: Whose job it is.
            omit_evidence: As of `AnalysisOptions`.

        Raises:
            MoodlineError: As the unary call would end, but for deadlines.
        """
        bind_principal(Principal(_JOB_PRINCIPAL, tenant))
        return await self._analyze(
            message,
            path="",
            omit_evidence=omit_evidence,
            priority=Priority.BULK,
            deadline_s=None,
            mode="batch",
        )

    def _deadline_s(self, context: _Context) -> float:
        """When nobody waits any longer, as an instant of the clock."""
        left_s = remaining_s(context)
        return self._clock() + (self._default_deadline_s if left_s is None else left_s)

    def _configuration_of(self, request: StreamConversationRequest | None) -> StreamConfiguration:
        """Return what the first message of a stream must be."""
        if request is None:
            raise _refused("configuration", "never came; send it first and exactly once")
        self._check(request)
        if not request.HasField("configuration"):
            raise _refused(
                "turn", "came before the configuration; send that first and exactly once"
            )
        return request.configuration

    def _check_turn(self, request: StreamConversationRequest) -> None:
        self._check(request)
        if request.HasField("configuration"):
            raise _refused("configuration", "has come already; open a new stream for it")

    def _check(self, request: StreamConversationRequest) -> None:
        violations = self._validator.collect_violations(request)
        if violations:
            raise InvalidRequestError(violations)

    def _open_signals(
        self, configuration: StreamConfiguration
    ) -> AbstractAsyncContextManager[LiveSignals]:
        def open_session(customer: CustomerPast | None) -> SignalSession:
            return self._signal_engine.open(
                configuration.conversation_id,
                channel=configuration.channel,
                attributes=configuration.attributes,
                customer=customer,
            )

        if self._keeper is None or configuration.discard_signals:
            return unkept(open_session(None), self._metrics)
        return self._keeper.keeping(
            open_session,
            tenant=current_principal().tenant,
            conversation_id=configuration.conversation_id,
            customer_id=configuration.customer_id,
            channel=configuration.channel,
            language=configuration.language,
        )

    async def _analyze(
        self,
        message: conversation_pb2.Conversation,
        *,
        path: str,
        omit_evidence: bool,
        priority: Priority,
        deadline_s: float | None,
        mode: str,
    ) -> analysis_pb2.ConversationAnalysis:
        violations = await self._validator.check_conversation(message, path=path)
        if violations:
            raise InvalidRequestError(violations)
        analyzer = self._gate.analyzer
        conversation = convert.conversation_from_proto(message)
        analysis = await analyzer.analyze(
            conversation, priority=priority, deadline_s=deadline_s, mode=mode
        )
        warnings = analysis.warnings
        try:
            customer = await self._past_of(conversation)
        except StoreUnavailableError:
            customer, warnings = None, (*warnings, _PAST_UNKNOWN)
        session = self._signal_engine.open(
            conversation.conversation_id,
            channel=conversation.channel,
            attributes=conversation.attributes,
            customer=customer,
        )
        await analyzer.pacer.map(
            lambda turn: self._metrics.evaluate(session.add, turn), analysis.turns
        )
        session.finish()
        turns = await analyzer.pacer.map(
            lambda turn: convert.turn_result_to_proto(turn, omit_evidence=omit_evidence),
            analysis.turns,
        )
        return convert.analysis_to_proto(
            replace(analysis, warnings=warnings), turns=turns, signals=session.signals
        )

    async def _past_of(self, conversation: Conversation) -> CustomerPast | None:
        if self._keeper is None or not conversation.customer_id:
            return None
        return await self._keeper.past(
            Contact(
                tenant=current_principal().tenant,
                conversation_id=conversation.conversation_id,
                customer_id=conversation.customer_id,
                channel=conversation.channel,
                language=conversation.language,
                started_at=datetime.now(UTC),
            )
        )

    async def _item(
        self,
        index: int,
        message: conversation_pb2.Conversation,
        *,
        omit_evidence: bool,
        deadline_s: float,
    ) -> BatchItemResult:
        """Analyse one item; what goes wrong with it is its own result."""
        path = f"conversations[{index}]"
        result = BatchItemResult(conversation_id=message.conversation_id)
        try:
            analysis = await self._analyze(
                message,
                path=path,
                omit_evidence=omit_evidence,
                priority=Priority.BULK,
                deadline_s=deadline_s,
                mode="batch",
            )
            result.analysis.CopyFrom(analysis)
        except Exception as error:  # noqa: BLE001 - one item must not fail the others
            _fail(result, _with_path(error, path))
        return result

    def _drop_what_does_not_fit(self, results: Sequence[BatchItemResult]) -> None:
        """Replace results that one message cannot carry besides those before them."""
        room = self._limits.max_message_bytes - ENVELOPE_BYTES
        for index, result in enumerate(results):
            byte_count = result.ByteSize()
            if byte_count <= room or result.HasField("status"):
                room -= byte_count
                continue
            path = f"conversations[{index}]"
            _fail(result, _result_too_long(path, byte_count, max(room, 0)))


def _priority_of(message: conversation_pb2.Conversation) -> Priority:
    return Priority.LIVE if len(message.turns) <= MAX_LIVE_TURNS else Priority.BULK


def _fail(result: BatchItemResult, error: Exception) -> None:
    if code_of(error) is grpc.StatusCode.INTERNAL:
        _log.error("batch_item_failed", exc_info=error)
    result.status.CopyFrom(status_of(error, request_id=current_record().request_id))


def _with_path(error: Exception, path: str) -> Exception:
    """Let what the ledger says of `conversation` name the item of the batch."""
    if not isinstance(error, InputTooLongError):
        return error
    return InputTooLongError(
        [
            FieldViolation(path if v.field == "conversation" else v.field, v.description)
            for v in error.violations
        ]
    )


def _refused(field: str, description: str) -> InvalidRequestError:
    return InvalidRequestError([FieldViolation(field, description)])


def _result_too_long(field: str, byte_count: int, room: int) -> InputTooLongError:
    return InputTooLongError(
        [
            FieldViolation(
                field,
                f"has a result of {byte_count} bytes, and {room} are left in the response; set "
                "options.omit_evidence, send less in one call, or use StreamConversation",
            )
        ]
    )
