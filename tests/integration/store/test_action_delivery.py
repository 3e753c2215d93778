"""Every action reaches its receiver once in effect, whatever goes down in between."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from moodline.actions.deliverer import LEASE_MARGIN_S, ActionDeliverer
from moodline.actions.endpoints import Endpoint
from moodline.actions.metrics import ActionMetrics
from moodline.actions.queue import ActionQueue, Destination, LeasedAction
from moodline.errors import StoreUnavailableError
from moodline.rules.evaluation import Quote
from moodline.rules.model import Action, Severity
from moodline.signals.domain import SignalEvent
from moodline.store.actions import ActionFilter, ActionStore, StoredAction
from moodline.store.database import Database
from moodline.store.signals import SignalStore
from moodline.store.tables import ActionState
from tests.integration.action_receiver import SECRET, Received, Receiver, Reply, receiver
from tests.integration.store.making import NOW, contact, raised, updated

TIMEOUT_S = 30.0
HOOK = Action(kind="webhook")
ANY_ACTION = ActionFilter()
CUSTOMER_WORDS = "zzz-what-the-customer-said"


@dataclass
class Clock:
    time: datetime = NOW

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def endpoint(url: str, kind: str = "webhook", target: str = "") -> Endpoint:
    return Endpoint.model_validate(
        {
            "kind": kind,
            "target": target,
            "url": url,
            "secrets": [SECRET],
            "allow_private": True,
            "timeout_s": TIMEOUT_S,
        }
    )


def trouble(conversation_id: str, actions: Sequence[Action] = (HOOK,)) -> SignalEvent:
    quotes = (Quote(3, "", 0, len(CUSTOMER_WORDS), CUSTOMER_WORDS, "phrase"),)
    return raised(conversation_id, actions=tuple(actions), quotes=quotes)


@dataclass
class World:
    """A database and the deliverers of a test."""

    database: Database
    clock: Clock
    stack: AsyncExitStack
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.actions = ActionStore(self.database)
        self.metrics = ActionMetrics(self.registry)

    async def record(self, *events: SignalEvent) -> None:
        for event in events:
            await SignalStore(self.database).record(
                contact(event.signal.conversation_id), [event], at=self.clock()
            )

    async def raise_signals(self, count: int) -> None:
        await self.record(*(trouble(f"c{index}") for index in range(count)))

    async def deliverer(
        self, *endpoints: Endpoint, queue: ActionQueue | None = None
    ) -> ActionDeliverer:
        return await self.stack.enter_async_context(
            ActionDeliverer(
                queue or self.actions,
                endpoints,
                metrics=self.metrics,
                now=self.clock,
                chance=lambda: 0.999,
            )
        )

    async def stored(self, *states: ActionState) -> Sequence[StoredAction]:
        return await self.actions.list(ANY_ACTION, states=states or tuple(ActionState), limit=1000)

    async def one(self) -> StoredAction:
        (action,) = await self.stored()
        return action

    def counted(self, outcome: str, kind: str = "webhook") -> float:
        labels = {"kind": kind, "target": "", "outcome": outcome}
        return self.registry.get_sample_value("moodline_actions_total", labels) or 0.0

    def gauge(self, name: str) -> float | None:
        return self.registry.get_sample_value(name)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = await Database.open(url)
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(await stack.enter_async_context(opened(database_url)), Clock(), stack)


async def test_an_action_is_delivered_and_noted(world: World) -> None:
    with receiver() as there:
        await world.raise_signals(1)
        deliverer = await world.deliverer(endpoint(there.url))
        assert await deliverer.deliver_due() == 1
        assert await deliverer.deliver_due() == 0
    (request,) = there.received
    assert request.is_signed_with(SECRET)
    assert request.message["data"]["conversation"]["conversation_id"] == "c0"
    action = await world.one()
    assert request.webhook_id == action.idempotency_key
    assert (action.state, action.attempt_count, action.finished_at) == (ActionState.DONE, 1, NOW)
    assert world.counted("delivered") == 1


async def test_a_receiver_down_for_an_hour_loses_and_doubles_nothing(world: World) -> None:
    with receiver(is_up=False) as there:
        deliverer = await world.deliverer(endpoint(there.url))
        for minute in range(0, 60, 6):
            await world.record(trouble(f"c{minute}"))
            while await deliverer.deliver_due():
                pass
            world.clock.advance(360)
        await deliverer.tidy()
        assert world.gauge("moodline_actions_pending") == 10
        assert world.gauge("moodline_actions_oldest_age_seconds") == 3600
        there.start()
        for _ in range(4):
            world.clock.advance(200)
            while await deliverer.deliver_due():
                pass
        await deliverer.tidy()
    planned = {action.idempotency_key for action in await world.stored(ActionState.DONE)}
    assert len(planned) == 10
    assert sorted(there.ids) == sorted(planned)
    assert world.counted("failed") > 10
    assert world.gauge("moodline_actions_pending") == 0
    assert world.gauge("moodline_actions_oldest_age_seconds") == 0


async def test_several_replicas_deliver_each_action_once(world: World, database_url: str) -> None:
    with receiver() as there:
        await world.raise_signals(40)
        deliverers = [await world.deliverer(endpoint(there.url))]
        for _ in range(2):
            other = await world.stack.enter_async_context(opened(database_url))
            deliverers.append(await world.deliverer(endpoint(there.url), queue=ActionStore(other)))

        async def deliver_all(deliverer: ActionDeliverer) -> int:
            total = 0
            while count := await deliverer.deliver_due():
                total += count
            return total

        counts = await asyncio.gather(*map(deliver_all, deliverers))
    assert sum(counts) == 40
    assert len(set(there.ids)) == len(there.ids) == 40


@asynccontextmanager
async def held(there: Receiver, reply: Reply) -> AsyncIterator[Callable[[], None]]:
    """Let the first request wait inside the receiver; call what is given to let it go."""
    is_over = threading.Event()
    is_first = threading.Lock()

    def answer(_: Received) -> Reply:
        if is_first.acquire(blocking=False):
            is_over.wait(60)
            return reply
        return Reply()

    there.reply = answer
    try:
        yield is_over.set
    finally:
        is_over.set()


async def test_what_is_being_delivered_is_not_delivered_by_another(world: World) -> None:
    with receiver() as there:
        await world.raise_signals(1)
        first = await world.deliverer(endpoint(there.url))
        second = await world.deliverer(endpoint(there.url))
        async with held(there, Reply()) as let_go:
            delivering = asyncio.create_task(first.deliver_due())
            await there.came(1)
            assert await second.deliver_due() == 0
            world.clock.advance(TIMEOUT_S + LEASE_MARGIN_S - 1)
            assert await second.deliver_due() == 0
            let_go()
            assert await delivering == 1
    assert len(there.received) == 1


async def test_a_lease_that_ran_out_is_taken_over_and_the_late_answer_counts_for_nothing(
    world: World,
) -> None:
    with receiver() as there:
        await world.raise_signals(1)
        stalled = await world.deliverer(endpoint(there.url))
        other = await world.deliverer(endpoint(there.url))
        async with held(there, Reply(503)) as let_go:
            delivering = asyncio.create_task(stalled.deliver_due())
            await there.came(1)
            world.clock.advance(TIMEOUT_S + LEASE_MARGIN_S)
            assert await other.deliver_due() == 1
            let_go()
            await delivering
    assert len(set(there.ids)) == 1
    assert len(there.ids) == 2
    action = await world.one()
    assert (action.state, action.last_error) == (ActionState.DONE, "")
    assert world.counted("failed") == 0


_KILLED = """
import asyncio, sys
from prometheus_client import CollectorRegistry
from moodline.actions.deliverer import ActionDeliverer
from moodline.actions.metrics import ActionMetrics
from moodline.store.actions import ActionStore
from moodline.store.database import Database
from tests.integration.store.test_action_delivery import endpoint

async def main():
    database = await Database.open(sys.argv[1])
    metrics = ActionMetrics(CollectorRegistry())
    async with ActionDeliverer(
        ActionStore(database), [endpoint(sys.argv[2])], metrics=metrics
    ) as deliverer:
        await deliverer.deliver_due()

asyncio.run(main())
"""


async def test_killed_between_answer_and_note_it_is_delivered_again_under_the_same_id(
    world: World, database_url: str
) -> None:
    world.clock.time = datetime.now(UTC)
    with receiver() as there:
        await world.raise_signals(1)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _KILLED, database_url, there.url
        )
        async with held(there, Reply()):
            try:
                await there.came(1)
            finally:
                process.kill()
                await process.wait()
        assert (await world.one()).state is ActionState.DELIVERING
        deliverer = await world.deliverer(endpoint(there.url))
        # The process had the real clock.
        world.clock.time = datetime.now(UTC) + timedelta(seconds=TIMEOUT_S + LEASE_MARGIN_S)
        assert await deliverer.deliver_due() == 1
    first, second = there.received
    assert first.webhook_id == second.webhook_id
    assert first.message == second.message
    assert (await world.one()).state is ActionState.DONE


class Failing:
    """A queue whose store fails when the test says so."""

    def __init__(self, queue: ActionQueue, *methods: str) -> None:
        self._queue = queue
        self._failing = list(methods)

    def __getattr__(self, name: str) -> Any:
        if name in self._failing:
            self._failing.remove(name)

            async def fail(*_: object, **__: object) -> None:
                raise StoreUnavailableError("the store is away")

            return fail
        return getattr(self._queue, name)


async def test_what_could_not_be_noted_is_delivered_again_under_the_same_id(world: World) -> None:
    with receiver() as there:
        await world.raise_signals(2)
        queue: Any = Failing(world.actions, "finish")
        deliverer = await world.deliverer(endpoint(there.url), queue=queue)
        assert await deliverer.deliver_due() == 2
        world.clock.advance(TIMEOUT_S + LEASE_MARGIN_S)
        assert await deliverer.deliver_due() == 1
    assert len(there.ids) == 3
    assert len(set(there.ids)) == 2
    assert {action.state for action in await world.stored()} == {ActionState.DONE}


async def test_retry_after_is_waited_for(world: World) -> None:
    with receiver() as there:
        there.reply = lambda _: Reply(503, {"Retry-After": "120"})
        await world.raise_signals(1)
        deliverer = await world.deliverer(endpoint(there.url))
        assert await deliverer.deliver_due() == 1
        assert (await world.one()).last_error == "http_503"
        world.clock.advance(119)
        assert await deliverer.deliver_due() == 0
        world.clock.advance(1)
        assert await deliverer.deliver_due() == 1


async def test_a_dead_action_is_listed_and_can_be_replayed(world: World) -> None:
    with receiver() as there:
        there.reply = lambda _: Reply(400)
        await world.raise_signals(2)
        deliverer = await world.deliverer(endpoint(there.url))
        assert await deliverer.deliver_due() == 2
        world.clock.advance(86_400)
        assert await deliverer.deliver_due() == 0
        dead = await world.stored(ActionState.DEAD)
        assert {action.last_error for action in dead} == {"http_400"}
        assert world.counted("dead") == 2

        key = dead[0].idempotency_key
        for other in (
            ActionFilter(tenant="nobody"),
            ActionFilter(kind="task"),
            ActionFilter(target="crm"),
            ActionFilter(keys=["none"]),
        ):
            assert await world.actions.replay(other, at=world.clock()) == 0
        chosen = ActionFilter(tenant="acme", kind="webhook", target="", keys=[key])
        assert await world.actions.replay(chosen, at=world.clock()) == 1
        there.reply = lambda _: Reply()
        assert await deliverer.deliver_due() == 1
    assert there.ids.count(key) == 2
    (done,) = await world.stored(ActionState.DONE)
    assert (done.idempotency_key, done.attempt_count, done.last_error) == (key, 1, "")
    assert len(await world.stored(ActionState.DEAD)) == 1


async def test_a_replayed_action_gets_its_whole_time_again(world: World) -> None:
    with receiver() as there:
        there.reply = lambda _: Reply(400)
        await world.raise_signals(1)
        deliverer = await world.deliverer(endpoint(there.url))
        await deliverer.deliver_due()
        world.clock.advance(30 * 86_400)
        await world.actions.replay(ANY_ACTION, at=world.clock())
        there.reply = lambda _: Reply(500)
        assert await deliverer.deliver_due() == 1
    assert (await world.one()).state is ActionState.PENDING


async def test_planning_again_over_an_updated_signal_adds_nothing(world: World) -> None:
    first = trouble("c0")
    update = updated(first.signal, 5, probability=0.9)
    route = Action(kind="route", target="supervisor")
    escalation = updated(
        update.signal, 7, severity=Severity.CRITICAL, rule_id="bad", actions=(HOOK, route)
    )
    await world.record(first, first, update)
    with receiver() as there:
        hooks = endpoint(there.url)
        routes = endpoint(f"{there.url}/routes", kind="route", target="*")
        deliverer = await world.deliverer(hooks, routes)
        assert await deliverer.deliver_due() == 1
        await world.record(escalation, update, escalation)
        assert await deliverer.deliver_due() == 1
        assert await deliverer.deliver_due() == 0
    assert [request.path for request in there.received] == ["/hooks", "/hooks/routes"]
    assert len(set(there.ids)) == 2
    assert there.received[1].message["data"]["event"] == "UPDATED"


async def test_a_target_goes_to_its_own_endpoint_and_others_to_that_for_any(world: World) -> None:
    actions = [Action(kind="route", target=target) for target in ("fraud", "sales", "")]
    await world.record(trouble("c0", actions))
    with receiver() as there:
        deliverer = await world.deliverer(
            endpoint(f"{there.url}/any", kind="route", target="*"),
            endpoint(f"{there.url}/fraud", kind="route", target="fraud"),
        )
        assert await deliverer.deliver_due() == 3
    told = {request.message["data"]["action"]["target"]: request.path for request in there.received}
    assert told == {"fraud": "/hooks/fraud", "sales": "/hooks/any", "": "/hooks/any"}


async def test_what_nobody_is_configured_to_take_is_done_and_counted(world: World) -> None:
    await world.record(trouble("c0", [HOOK, Action(kind="task", target="crm")]))
    deliverer = await world.deliverer()
    assert await deliverer.deliver_due() == 0
    await deliverer.tidy()
    found = await world.stored()
    assert {(action.state, action.last_error) for action in found} == {
        (ActionState.DONE, "no_endpoint")
    }
    assert world.counted("skipped") == 1
    assert world.counted("skipped", kind="task") == 1


async def test_a_target_without_endpoint_waits_until_one_is_configured(world: World) -> None:
    """Replicas that start one after another do not agree on the configuration for a while."""
    await world.record(trouble("c0", [Action(kind="task", target="crm")]))
    with receiver() as there:
        older = await world.deliverer(endpoint(there.url, kind="task", target="desk"))
        await older.tidy()
        assert await older.deliver_due() == 0
        newer = await world.deliverer(endpoint(there.url, kind="task", target="crm"))
        assert await newer.deliver_due() == 1


async def test_the_loop_delivers_when_woken_outlives_the_store_and_ends_when_told(
    world: World,
) -> None:
    with receiver() as there, receiver() as slow:
        queue: Any = Failing(world.actions, "lease", "backlog")
        deliverer = await world.deliverer(
            endpoint(there.url), endpoint(slow.url, kind="task"), queue=queue
        )
        stop = asyncio.Event()
        running = asyncio.create_task(deliverer.run(stop))
        async with held(slow, Reply()) as let_go:
            await world.record(trouble("c0", [Action(kind="task")]))
            deliverer.wake()
            await slow.came(1)
            # One receiver that hangs holds up no other.
            await world.record(trouble("c1"))
            deliverer.wake()
            await there.came(1)
            stop.set()
            let_go()
            await asyncio.wait_for(running, 60)
    assert {action.state for action in await world.stored()} == {ActionState.DONE}


async def test_logs_hold_neither_customer_text_nor_urls_nor_secrets(
    world: World, log_lines: Callable[[], list[dict[str, object]]]
) -> None:
    with receiver() as there:
        there.reply = lambda _: Reply(400, body=CUSTOMER_WORDS.encode())
        await world.raise_signals(1)
        deliverer = await world.deliverer(endpoint(f"{there.url}/token-in-path"))
        await deliverer.deliver_due()
    lines = log_lines()
    (dead,) = [line for line in lines if line["event"] == "action_dead"]
    assert dead["answer"] == "http_400"
    assert dead["idempotency_key"] == there.ids[0]
    text = str(lines)
    assert CUSTOMER_WORDS not in text
    assert "token-in-path" not in text
    assert SECRET not in text


async def test_a_lease_gives_no_more_than_asked_and_the_oldest_first(world: World) -> None:
    for index in range(3):
        await world.record(trouble(f"c{index}"))
        world.clock.advance(1)
    taken: list[LeasedAction] = []
    for _ in range(2):
        taken += await world.actions.lease(
            Destination("webhook", None),
            owner=f"o{len(taken)}",
            at=world.clock(),
            until=world.clock() + timedelta(seconds=9),
            limit=2,
        )
    assert [action.queued_at for action in taken] == [
        NOW + timedelta(seconds=seconds) for seconds in range(3)
    ]


async def test_only_who_holds_the_lease_can_end_it(world: World) -> None:
    await world.raise_signals(1)

    async def lease(owner: str) -> LeasedAction:
        (action,) = await world.actions.lease(
            Destination("webhook", ""),
            owner=owner,
            at=world.clock(),
            until=world.clock() + timedelta(seconds=9),
            limit=2,
        )
        return action

    late = await lease("first")
    world.clock.advance(9)
    holder = await lease("second")
    assert holder.attempt_count == 2
    assert not await world.actions.finish(late, at=world.clock())
    assert not await world.actions.bury(late, at=world.clock(), error="timeout")
    assert not await world.actions.postpone(late, until=world.clock(), error="timeout")
    assert (await world.one()).state is ActionState.DELIVERING
    assert await world.actions.finish(holder, at=world.clock())
    assert not await world.actions.finish(holder, at=world.clock())
