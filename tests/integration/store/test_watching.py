"""Who watches sees every event of every replica once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url

from moodline.errors import StoreUnavailableError
from moodline.store.database import Database
from moodline.store.records import StoredEvent
from moodline.store.signals import SignalStore
from tests.integration.postgres import Postgres
from tests.integration.store.conftest import OpenStore
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


async def test_who_writes_wakes_who_watches_in_the_same_process(database_url: str) -> None:
    database = await Database.open(database_url)
    store = SignalStore(database, poll_s=3_600)
    watching = asyncio.create_task(take(store.watch(TENANT, 0), 4))
    await write(store, "a")
    await store.acknowledge(TENANT, signal("a").signal_id, by="ada", at=NOW)
    assert await store.expire_due(at=NOW.replace(year=2027), limit=9) == 1
    kinds = [event.kind.value for event in await watching]
    assert kinds == ["RAISED", "UPDATED", "ACKNOWLEDGED", "EXPIRED"]
    await database.close()


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


async def test_a_listener_that_is_cut_off_misses_nothing(postgres: Postgres) -> None:
    url = await postgres.create_database()
    watched, written = await Database.open(url), await Database.open(url)
    events = SignalStore(watched, poll_s=3_600).watch(TENANT, 0)
    store = SignalStore(written)
    await write(store, "a")
    seen = await take(events, 2)
    for name in ("b", "c"):
        waiting = asyncio.create_task(take(events, 2))
        await asyncio.sleep(0)
        await postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'moodline' AND datname = $1",
            make_url(url).database,
        )
        await write(store, name)
        seen += await waiting
    assert [event.position for event in seen] == list(range(1, 7))
    await watched.close()
    await written.close()


async def test_watching_ends_when_the_store_closes(database_url: str) -> None:
    database = await Database.open(database_url)
    watching = asyncio.create_task(take(SignalStore(database, poll_s=3_600).watch(TENANT, 0), 1))
    await asyncio.sleep(0)
    await database.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        await watching
