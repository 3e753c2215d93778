"""SignalService: tells, lists and changes the signals of a tenant, and checks rules."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, Final

import grpc

from moodline.errors import InvalidRequestError, NoStoreError, RuleSetError
from moodline.keeping.keeper import SignalKeeper, utc_now
from moodline.limits import Limits
from moodline.masking.text import mask_text
from moodline.rpc import convert_signals
from moodline.rpc.auth import current_principal
from moodline.rpc.backtesting import backtest_rules
from moodline.rpc.gate import CallGate, draining
from moodline.rpc.interceptor import REQUEST_ID_KEY, remaining_s
from moodline.rpc.tokens import (
    foreign_token,
    page_token,
    read_page_token,
    read_watch_token,
    watch_token,
)
from moodline.rpc.validation import RequestValidator
from moodline.rules.rule_set import RuleSet
from moodline.signals.domain import Outcome, SignalEventKind
from moodline.store.signals import SignalFilter, StoredEvent, StoredSignal
from moodline.telemetry.logging import current_record
from moodline.telemetry.metrics import Metrics
from moodline.v1.signal_service_pb2 import (
    DESCRIPTOR,
    AcknowledgeSignalRequest,
    AcknowledgeSignalResponse,
    BacktestRulesRequest,
    BacktestRulesResponse,
    ListSignalsRequest,
    ListSignalsResponse,
    ResolveSignalRequest,
    ResolveSignalResponse,
    ValidateRulesRequest,
    ValidateRulesResponse,
    WatchSignalsRequest,
    WatchSignalsResponse,
)
from moodline.v1.signal_service_pb2_grpc import SignalServiceServicer

SERVICE: Final = DESCRIPTOR.services_by_name["SignalService"].full_name
HEARTBEAT_S: Final = 15.0
"""How long a watch may be silent; below the idle limits of common balancers, 60 s and more."""
DEFAULT_PAGE_SIZE: Final = 50
MAX_PROBLEMS: Final = 100
"""Problems of a rule set that one answer holds."""

_Context = grpc.aio.ServicerContext[Any, Any]


class SignalServicer(SignalServiceServicer):
    """Serves signals; every error leaves as an exception, for the interceptor to map."""

    def __init__(
        self,
        *,
        gate: CallGate,
        limits: Limits,
        keeper: SignalKeeper | None,
        rule_set: RuleSet,
        metrics: Metrics,
        default_deadline_s: float,
        heartbeat_s: float = HEARTBEAT_S,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what is needed.

        Args:
            gate: Knows when the service shuts down.
            limits: What a request may carry.
            keeper: Holds the store; None to answer what needs no store alone.
            rule_set: The rules in force.
            metrics: Where counts go.
            default_deadline_s: How long a backtest may take if its caller sets no deadline, in
                seconds.
            heartbeat_s: How long a watch may be silent, in seconds.
            now: The time of day, in UTC.
            clock: Monotonic time in seconds, the analyzer's.
        """
        self._gate = gate
        self._limits = limits
        self._keeper = keeper
        self._rule_set = rule_set
        self._metrics = metrics
        self._default_deadline_s = default_deadline_s
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._now = now
        self._validator = RequestValidator(limits)

    async def WatchSignals(  # noqa: N802 - named by the proto
        self, request: WatchSignalsRequest, context: _Context
    ) -> AsyncIterator[WatchSignalsResponse]:
        """Tell what happens, with heart-beats, until the caller leaves or the service drains."""
        self._check(request)
        store, tenant = self._kept().store, current_principal().tenant
        position = last_position = await store.last_position(tenant)
        if request.resume_token:
            position = read_watch_token(request.resume_token, tenant=tenant, field="resume_token")
            if position > last_position:
                # It is of a store that was lost or replaced: nothing would be told for long.
                raise foreign_token("resume_token", "the store that this server uses now")
        wanted = convert_signals.filter_from_proto(request.filter)
        await context.send_initial_metadata(((REQUEST_ID_KEY, current_record().request_id),))
        yield WatchSignalsResponse(resume_token=watch_token(tenant, position))
        events = store.watch(tenant, position)
        stopping = asyncio.ensure_future(self._gate.wait_until_draining())
        coming = asyncio.ensure_future(_next(events))
        loop = asyncio.get_running_loop()
        told_s = loop.time()
        self._metrics.signal_watches.inc()
        try:
            while True:
                silence_s = told_s + self._heartbeat_s - loop.time()
                await asyncio.wait(
                    (coming, stopping),
                    timeout=max(0.0, silence_s),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if coming.done():
                    stored = coming.result()
                    coming = asyncio.ensure_future(_next(events))
                    position = stored.position
                    if not is_wanted(stored, wanted):
                        continue
                    event = convert_signals.stored_event_to_proto(stored)
                elif stopping.done():
                    raise draining()
                elif loop.time() < told_s + self._heartbeat_s:
                    continue
                else:
                    event = None
                yield WatchSignalsResponse(event=event, resume_token=watch_token(tenant, position))
                told_s = loop.time()
        finally:
            self._metrics.signal_watches.dec()
            stopping.cancel()
            coming.cancel()
            await asyncio.wait((coming,))
            await events.aclose()

    async def ListSignals(  # noqa: N802 - named by the proto
        self, request: ListSignalsRequest, context: _Context
    ) -> ListSignalsResponse:
        """List signals, the newest raised first."""
        self._check(request)
        store, tenant = self._kept().store, current_principal().tenant
        after = None
        if request.page_token:
            after = read_page_token(
                request.page_token,
                tenant=tenant,
                signal_filter=request.filter,
                field="page_token",
            )
        # First, so that whoever watches from there misses nothing that the page does not show.
        position = await store.last_position(tenant)
        page = await store.list(
            tenant,
            convert_signals.filter_from_proto(request.filter),
            page_size=min(request.page_size or DEFAULT_PAGE_SIZE, self._limits.max_page_size),
            after=after,
        )
        return ListSignalsResponse(
            signals=map(convert_signals.stored_signal_to_proto, page.signals),
            next_page_token=page_token(tenant, request.filter, page.next) if page.next else "",
            watch_token=watch_token(tenant, position),
        )

    async def AcknowledgeSignal(  # noqa: N802 - named by the proto
        self, request: AcknowledgeSignalRequest, context: _Context
    ) -> AcknowledgeSignalResponse:
        """Say that somebody has taken note."""
        self._check(request)
        principal, at = current_principal(), self._now()
        stored = await self._kept().store.acknowledge(
            principal.tenant,
            request.signal_id,
            by=request.acknowledged_by or principal.name,
            at=at,
        )
        self._count_change(stored, SignalEventKind.ACKNOWLEDGED, at)
        return AcknowledgeSignalResponse(signal=convert_signals.stored_signal_to_proto(stored))

    async def ResolveSignal(  # noqa: N802 - named by the proto
        self, request: ResolveSignalRequest, context: _Context
    ) -> ResolveSignalResponse:
        """Say that a signal is dealt with, and what it was worth."""
        self._check(request)
        keeper, principal, at = self._kept(), current_principal(), self._now()
        stored = await keeper.store.resolve(
            principal.tenant,
            request.signal_id,
            outcome=Outcome(request.outcome),
            by=request.resolved_by or principal.name,
            comment=mask_text(request.comment, keeper.masking).text,
            at=at,
        )
        if self._count_change(stored, SignalEventKind.RESOLVED, at):
            self._metrics.signal_outcomes_total.labels(
                reason=stored.signal.reason, outcome=Outcome(request.outcome)
            ).inc()
        return ResolveSignalResponse(signal=convert_signals.stored_signal_to_proto(stored))

    async def ValidateRules(  # noqa: N802 - named by the proto
        self, request: ValidateRulesRequest, context: _Context
    ) -> ValidateRulesResponse:
        """Check a rule set."""
        self._check(request)
        try:
            # Hundreds of conditions take a second to compile.
            rule_set = await asyncio.to_thread(RuleSet.parse, request.rules_yaml)
        except RuleSetError as error:
            problems = error.problems
            return ValidateRulesResponse(
                problems=map(convert_signals.rule_problem_to_proto, problems[:MAX_PROBLEMS]),
                problem_count=len(problems),
            )
        return ValidateRulesResponse(
            rule_set_digest=rule_set.digest,
            name=rule_set.content.name,
            rule_count=len(rule_set.rules),
        )

    async def BacktestRules(  # noqa: N802 - named by the proto
        self, request: BacktestRulesRequest, context: _Context
    ) -> BacktestRulesResponse:
        """Try a rule set on past conversations."""
        self._check(request)
        left_s = remaining_s(context)
        figures = await backtest_rules(
            request,
            analyzer=self._gate.analyzer,
            validator=self._validator,
            in_force=self._rule_set,
            deadline_s=self._clock() + (self._default_deadline_s if left_s is None else left_s),
        )
        return BacktestRulesResponse(figures=figures)

    def _check(self, request: Any) -> None:
        violations = self._validator.collect_violations(request)
        if violations:
            raise InvalidRequestError(violations)

    def _count_change(self, stored: StoredSignal, kind: SignalEventKind, at: datetime) -> bool:
        """Count what somebody did to a signal, unless it had been done before; tell which."""
        is_new = stored.updated_at == at
        if is_new:
            self._metrics.count_signal_event(kind, stored.signal.reason, stored.signal.severity)
        return is_new

    def _kept(self) -> SignalKeeper:
        if self._keeper is None:
            raise NoStoreError(
                "This server keeps no signals; set MOODLINE_STORE__URL where it is started."
            )
        return self._keeper


def is_wanted(stored: StoredEvent, wanted: SignalFilter) -> bool:
    """Whether a filter lets an event pass; pure."""
    kept = stored.signal
    signal = kept.signal
    return (
        (not wanted.states or signal.state in wanted.states)
        and signal.severity.rank >= wanted.min_severity.rank
        and (not wanted.reasons or signal.reason in wanted.reasons)
        and (not wanted.routes or signal.route in wanted.routes)
        and (not wanted.causes or signal.cause in wanted.causes)
        and wanted.conversation_id in ("", signal.conversation_id)
        and wanted.customer_id in ("", kept.customer_id)
        and (wanted.raised_from is None or kept.raised_at >= wanted.raised_from)
        and (wanted.raised_before is None or kept.raised_at < wanted.raised_before)
    )


async def _next(events: AsyncIterator[StoredEvent]) -> StoredEvent:
    return await anext(events)
