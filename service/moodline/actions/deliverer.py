"""Brings actions to their endpoints; the loop around `retry.decide`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

import structlog

from moodline.actions.endpoints import Endpoint, Lane, lanes_of, unwanted_destinations
from moodline.actions.metrics import ActionMetrics
from moodline.actions.queue import ActionQueue, LeasedAction
from moodline.actions.retry import Answer, RetryPolicy, Verdict, decide
from moodline.actions.sending import HttpSender
from moodline.errors import StoreError

LEASE_MARGIN_S: Final = 30.0
"""What a lease lasts beyond an attempt's time limit: clocks of replicas may differ by that, and a
process may stall for that long, before two deliver one action at a time."""
POLL_INTERVAL_S: Final = 2.0
"""How soon what other replicas planned, or what is due again, is seen."""
TIDY_INTERVAL_S: Final = 15.0

_log = structlog.get_logger(__name__)


class ActionDeliverer:
    """Leases actions, posts them and notes what came of it, each endpoint on its own.

    Several, in one process or in many, share a queue; none delivers what another is delivering. An
    action is delivered at least once: whoever dies between the answer and the note leaves a lease
    that runs out, and another one sends the action again with the same `webhook-id`.

    Enter it to open its connections and leave it to close them.
    """

    def __init__(
        self,
        queue: ActionQueue,
        endpoints: Iterable[Endpoint],
        *,
        metrics: ActionMetrics,
        policy: RetryPolicy = RetryPolicy(),
        max_concurrent: int = 8,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take what to deliver and where.

        Args:
            queue: Keeps the actions.
            endpoints: Who takes them.
            metrics: Where counts go.
            policy: When to try again and when to give up.
            max_concurrent: Attempts at a time for each endpoint.
            now: The time of day, in UTC.
            chance: Uniform in [0, 1), for the waits.
        """
        endpoints = tuple(endpoints)
        self._queue = queue
        self._lanes = lanes_of(endpoints)
        self._unwanted = unwanted_destinations(endpoints)
        self._metrics = metrics
        self._policy = policy
        self._max_concurrent = max_concurrent
        self._now = now
        self._chance = chance
        self._senders: dict[Lane, HttpSender] = {}
        self._wakers: dict[Lane, asyncio.Event] = {}
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for lane in self._lanes:
            endpoint = lane.endpoint
            self._senders[lane] = await self._resources.enter_async_context(
                HttpSender(endpoint, max_connections=self._max_concurrent)
            )
            self._wakers[lane] = asyncio.Event()
            self._metrics.add_endpoint(endpoint.kind, endpoint.target)
        if self._unwanted:
            _log.info(
                "actions_without_endpoint",
                kinds=[d.kind for d in self._unwanted if d.target is None],
                default_targets=[d.kind for d in self._unwanted if d.target is not None],
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._resources.aclose()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until told to stop; attempts under way then still end.

        A store that fails for a while delays; it does not end this.

        Args:
            stop: Set it to return, which takes at most the longest time limit of an endpoint.
        """
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(self._run_lane(lane, stop), name="moodline-actions")
            group.create_task(self._run_tidying(stop), name="moodline-actions-tidying")
            await stop.wait()
            self.wake()

    def wake(self) -> None:
        """Look for due actions now instead of within `POLL_INTERVAL_S`."""
        for waker in self._wakers.values():
            waker.set()

    async def deliver_due(self) -> int:
        """Attempt what is due now, up to `max_concurrent` of each endpoint; return how many.

        Raises:
            StoreError: If the queue fails before anything was attempted.
        """
        counts = await asyncio.gather(*(self._deliver_due(lane) for lane in self._lanes))
        return sum(counts)

    async def tidy(self) -> None:
        """Note what nobody is configured to take, and measure what waits.

        Raises:
            StoreError: If the queue fails.
        """
        for destination in self._unwanted:
            count = await self._queue.skip(destination, at=self._now(), error="no_endpoint")
            if count:
                self._metrics.count(
                    destination.kind, destination.target or "", Verdict.SKIPPED, count
                )
        backlog = await self._queue.backlog()
        self._metrics.pending.set(backlog.count)
        age = timedelta() if backlog.oldest_at is None else self._now() - backlog.oldest_at
        self._metrics.oldest_age_seconds.set(max(0.0, age.total_seconds()))

    async def _run_lane(self, lane: Lane, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                count = await self._deliver_due(lane)
            except StoreError as error:
                _log.warning("actions_not_leased", problem=str(error))
                count = 0
            if count == 0:
                await _wait(self._wakers[lane], POLL_INTERVAL_S)
                if not stop.is_set():
                    self._wakers[lane].clear()

    async def _run_tidying(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.tidy()
            except StoreError as error:
                _log.warning("actions_not_tidied", problem=str(error))
            await _wait(stop, TIDY_INTERVAL_S)

    async def _deliver_due(self, lane: Lane) -> int:
        at = self._now()
        leased = await self._queue.lease(
            lane.destination,
            owner=uuid4().hex,
            at=at,
            until=at + timedelta(seconds=lane.endpoint.timeout_s + LEASE_MARGIN_S),
            limit=self._max_concurrent,
        )
        async with asyncio.TaskGroup() as group:
            for action in leased:
                group.create_task(self._deliver(lane, action), name="moodline-action")
        return len(leased)

    async def _deliver(self, lane: Lane, action: LeasedAction) -> None:
        answer = await self._senders[lane].send(action, at=self._now())
        log = _log.bind(
            tenant=action.tenant,
            kind=action.kind,
            target=action.target,
            idempotency_key=action.idempotency_key,
            attempt_count=action.attempt_count,
            answer=answer.summary,
        )
        try:
            verdict = await self._note(action, answer)
        except StoreError as error:
            # The lease runs out, and the action goes out again with the same id.
            log.warning("action_not_noted", problem=str(error))
            return
        if verdict is None:
            log.warning("action_lease_lost")
            return
        self._metrics.count(lane.endpoint.kind, lane.endpoint.target, verdict)
        if verdict is Verdict.DEAD:
            log.error("action_dead")
        elif verdict is Verdict.FAILED:
            log.warning("action_failed")
        else:
            log.info("action_delivered")

    async def _note(self, action: LeasedAction, answer: Answer) -> Verdict | None:
        """Keep what came of an attempt; None if the action had been taken over meanwhile."""
        at = self._now()
        decision = decide(
            answer,
            self._policy,
            attempt_count=action.attempt_count,
            age_s=(at - action.queued_at).total_seconds(),
            chance=self._chance(),
            now=at,
        )
        if decision.verdict is Verdict.DELIVERED:
            is_noted = await self._queue.finish(action, at=at)
        elif decision.verdict is Verdict.DEAD:
            is_noted = await self._queue.bury(action, at=at, error=answer.summary)
        else:
            until = at + timedelta(seconds=decision.wait_s)
            is_noted = await self._queue.postpone(action, until=until, error=answer.summary)
        return decision.verdict if is_noted else None


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
