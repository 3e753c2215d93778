"""Who watches sees every event of every replica once, in order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, make_url

from moodline.errors import StoreUnavailableError
from moodline.signals.domain import SignalEventKind
from moodline.store.records import StoredEvent
from moodline.store.signals import SignalStore
from moodline.store.tables import positions
from tests.integration.postgres import Postgres
from tests.integration.store.conftest import OpenDatabase, OpenStore
from tests.integration.store.making import NOW, TENANT, contact, raised, signal, updated

LONG_S = 60


async def take(events: AsyncIterator[StoredEvent], count: int) -> list[StoredEvent]:
    async with asyncio.timeout(LONG_S):
        return [await anext(events) for _ in range(count)]


async def write(store: SignalStore, name: str, *, tenant: str = TENANT) -> None:
    """Two events in two transactions."""
    event = raised(name)
    await store.record(contact(name, tenant=tenant), [event], at=NOW)
    told = updated(event.signal, 5, probability=0.9)
    await store.record(contact(name, tenant=tenant), [told], at=NOW)


async def test_two_replicas_see_each_others_events_in_order_with_none_missing(
    store: SignalStore, open_store: OpenStore
) -> None:
    replicas = (store, await open_store())
    watching = [asyncio.create_task(take(one.watch(TENANT, 0), 24)) for one in replicas]
    await asyncio.gather(
        *(write(replicas[number % 2], f"c{number}") for number in range(12)),
        *(write(replicas[number % 2], f"c{number}", tenant="other") for number in range(3)),
    )
    seen, also_seen = await asyncio.gather(*watching)
    # No transaction was undone, so a position that is passed over is an event that is missed.
    assert [event.position for event in seen] == list(range(1, 25))
    assert also_seen == seen
    assert {event.signal.tenant for event in seen} == {TENANT}
    assert len({event.event_id for event in seen}) == 24


async def test_watching_goes_on_from_a_position(store: SignalStore) -> None:
    await write(store, "a")
    (first,) = await take(store.watch(TENANT, 0), 1)
    events = store.watch(TENANT, first.position)
    await write(store, "b")
    rest = await take(events, 3)
    assert [event.position for event in rest] == [2, 3, 4]
    assert await store.events_after(TENANT, 3, limit=9) == (rest[-1],)


async def test_who_watches_some_kinds_is_given_these_alone(store: SignalStore) -> None:
    kinds = {SignalEventKind.ACKNOWLEDGED, SignalEventKind.EXPIRED}
    events = store.watch(TENANT, 0, kinds=kinds)
    for name in ("a", "b"):
        await write(store, name)
        await store.acknowledge(TENANT, signal(name).signal_id, by="ada", at=NOW)
        (event,) = await take(events, 1)
        assert (event.kind, event.signal.signal.conversation_id) == ("ACKNOWLEDGED", name)
    await write(store, "c")
    await store.expire_due(at=NOW.replace(year=2027), limit=9)
    expired = await take(events, 3)
    assert [event.position for event in expired] == [9, 10, 11]


async def test_who_watches_some_kinds_passes_over_more_others_than_it_reads_at_a_time(
    store: SignalStore,
) -> None:
    events = [raised("c1", f"cause-{number}", actions=()) for number in range(250)]
    await store.record(contact(), events, at=NOW)
    ids = [event.signal.signal_id for event in events]
    for number in range(0, 250, 50):
        await store.acknowledge(TENANT, ids[number], by="ada", at=NOW)
    kinds = {SignalEventKind.ACKNOWLEDGED}
    seen = await take(store.watch(TENANT, 0, kinds=kinds), 5)
    assert [event.position for event in seen] == list(range(251, 256))


async def test_who_writes_wakes_who_watches_in_the_same_process(
    open_database: OpenDatabase,
) -> None:
    store = SignalStore(await open_database(), poll_s=3_600)
    watching = asyncio.create_task(take(store.watch(TENANT, 0), 4))
    await write(store, "a")
    await store.acknowledge(TENANT, signal("a").signal_id, by="ada", at=NOW)
    assert await store.expire_due(at=NOW.replace(year=2027), limit=9) == 1
    kinds = [event.kind.value for event in await watching]
    assert kinds == ["RAISED", "UPDATED", "ACKNOWLEDGED", "EXPIRED"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_nobody_waits_for_any_more_is_committed_and_wakes_who_watches(
    open_database: OpenDatabase,
) -> None:
    database = await open_database()
    has_begun, may_end = threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        connection.execute(positions.insert(), {"tenant": TENANT, "last_position": 7})
        has_begun.set()
        assert may_end.wait(LONG_S)

    writing = asyncio.create_task(database.write(work, tenant=TENANT))
    assert await asyncio.to_thread(has_begun.wait, LONG_S)
    with database.notices.subscribe(TENANT) as woken:
        writing.cancel()
        await asyncio.wait([writing])
        may_end.set()
        async with asyncio.timeout(LONG_S):
            await woken.wait()
    assert await SignalStore(database).last_position(TENANT) == 7


async def test_two_replicas_that_record_the_same_stream_record_it_once(
    store: SignalStore, open_store: OpenStore
) -> None:
    replicas = (store, await open_store())
    events = [raised("c1", cause) for cause in ("churn", "fraud", "legal")]
    recorded = await asyncio.gather(
        *(replicas[number % 2].record(contact(), events, at=NOW) for number in range(8))
    )
    assert sum(map(len, recorded)) == 3
    assert len(await store.events_after(TENANT, 0, limit=99)) == 3


async def test_many_tasks_of_two_replicas_do_all_kinds_of_things_at_once(
    store: SignalStore, open_store: OpenStore
) -> None:
    replicas = (store, await open_store())

    async def work(number: int) -> None:
        own, name = replicas[number % 2], f"c{number}"
        await own.begin(contact(name, customer_id="u1"))
        await write(own, name)
        await own.acknowledge(TENANT, signal(name).signal_id, by="ada", at=NOW)
        await own.end(contact(name), outcome="resolved", at=NOW)
        await own.purge(before=NOW)
        await own.expire_due(at=NOW, limit=9)

    await asyncio.gather(*map(work, range(8)))
    assert await store.last_position(TENANT) == 24


async def test_a_call_that_is_given_up_is_done_whole_or_not_at_all(store: SignalStore) -> None:
    for number in range(30):
        name = f"c{number}"
        events = [raised(name), raised(name, "fraud")]
        task = asyncio.create_task(store.record(contact(name), events, at=NOW))
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await write(store, "last")
    events_of: dict[str, int] = {}
    for event in await store.events_after(TENANT, 0, limit=999):
        name = event.signal.signal.conversation_id
        events_of[name] = events_of.get(name, 0) + 1
    assert set(events_of.values()) == {2}


async def cut_off_listeners(postgres: Postgres, url: str, count: int) -> None:
    """End the connections that listen, once all do; what reads and writes goes on."""
    cut_off: set[int] = set()
    async with asyncio.timeout(LONG_S):
        while len(cut_off) < count:
            rows = await postgres.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND query LIKE 'LISTEN%' "
                "AND pg_terminate_backend(pid)",
                make_url(url).database,
            )
            cut_off |= {row["pid"] for row in rows}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_listener_that_is_cut_off_misses_nothing(
    postgres: Postgres, database_url: str, open_store: OpenStore
) -> None:
    watched, store = await open_store(), await open_store()
    events = watched.watch(TENANT, 0)
    await write(store, "a")
    seen = await take(events, 2)
    for name in ("b", "c"):
        waiting = asyncio.create_task(take(events, 2))
        await cut_off_listeners(postgres, database_url, 2)
        await write(store, name)
        seen += await waiting
    assert [event.position for event in seen] == list(range(1, 7))


async def test_watching_ends_when_the_store_closes(open_database: OpenDatabase) -> None:
    database = await open_database()
    watching = asyncio.create_task(take(SignalStore(database, poll_s=3_600).watch(TENANT, 0), 1))
    await asyncio.sleep(0)
    await database.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        await watching
