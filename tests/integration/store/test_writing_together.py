"""Writes to a SQLite file that wait together are committed together, each with its own result."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from sqlalchemy import Connection, Engine, event

from moodline.errors import SignalNotFoundError, StoreUnavailableError
from moodline.store.database import Database
from moodline.store.signals import SignalStore
from moodline.store.tables import positions
from tests.integration.store.conftest import OpenDatabase
from tests.integration.store.making import NOW, TENANT, contact, raised

LONG_S = 60
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@asynccontextmanager
async def held_up(database: Database) -> AsyncIterator[None]:
    """Let whatever is written in the block wait until its end."""
    has_begun, may_end = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        has_begun.set()
        assert may_end.wait(LONG_S)

    holding = asyncio.create_task(database.write(hold))
    try:
        assert await asyncio.to_thread(has_begun.wait, LONG_S)
        yield
        # Tasks that were made in the block begin to wait.
        await asyncio.sleep(0)
    finally:
        may_end.set()
        await holding


@contextmanager
def counted(name: str) -> Iterator[list[Connection]]:
    """Collect the connections on which something happens in the block."""
    happened: list[Connection] = []

    def note(connection: Connection) -> None:
        happened.append(connection)

    event.listen(Engine, name, note)
    try:
        yield happened
    finally:
        event.remove(Engine, name, note)


async def test_they_take_one_commit(open_database: OpenDatabase) -> None:
    database = await open_database()
    store = SignalStore(database)
    with counted("commit") as commits:
        async with held_up(database):
            recording = [
                asyncio.create_task(store.record(contact(f"c{n}"), [raised(f"c{n}")], at=NOW))
                for n in range(9)
            ]
        recorded = await asyncio.gather(*recording)
    positions_of = [stored.position for (stored,) in recorded]
    assert positions_of == list(range(1, 10))
    assert await store.events_after(TENANT, 0, limit=99) == tuple(e for (e,) in recorded)
    # With that of the one which held them up.
    assert len(commits) == 2


async def test_a_disk_that_is_full_fails_all_at_once(open_database: OpenDatabase) -> None:
    database = await open_database()
    store = SignalStore(database)
    limit = "PRAGMA max_page_count"
    # On the one connection that there is so far.
    usual = await database.write(lambda connection: connection.exec_driver_sql(limit).scalar_one())
    await database.write(lambda connection: connection.exec_driver_sql(f"{limit} = 1").close())
    with counted("begin") as transactions:
        async with held_up(database):
            recording = [
                asyncio.create_task(store.record(contact(f"c{n}"), [raised(f"c{n}")], at=NOW))
                for n in range(9)
            ]
        failures = await asyncio.gather(*recording, return_exceptions=True)
    assert {type(failure) for failure in failures} == {StoreUnavailableError}
    assert len(transactions) == 2
    await database.write(
        lambda connection: connection.exec_driver_sql(f"{limit} = {usual}").close()
    )
    assert await store.events_after(TENANT, 0, limit=99) == ()
    assert len(await store.record(contact(), [raised()], at=NOW)) == 1


async def test_one_that_fails_takes_nothing_from_the_others(open_database: OpenDatabase) -> None:
    database = await open_database()
    store = SignalStore(database)
    row = {"tenant": "other", "last_position": 7}

    def insert(connection: Connection) -> None:
        connection.execute(positions.insert(), row)

    async with held_up(database):
        first = asyncio.create_task(store.record(contact("a"), [raised("a")], at=NOW))
        inserting = [asyncio.create_task(database.write(insert)) for _ in range(2)]
        missing = asyncio.create_task(store.acknowledge(TENANT, "none", by="ada", at=NOW))
        last = asyncio.create_task(store.record(contact("b"), [raised("b")], at=NOW))
    (a,), (b,) = await first, await last
    with pytest.raises(SignalNotFoundError):
        await missing
    outcomes = await asyncio.gather(*inserting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), StoreUnavailableError]
    assert (a.position, b.position) == (1, 2)
    assert await store.events_after(TENANT, 0, limit=99) == (a, b)
    assert await store.last_position("other") == 7


async def test_one_that_was_given_up_while_it_waited_is_left_out(
    open_database: OpenDatabase,
) -> None:
    database = await open_database()
    store = SignalStore(database)
    async with held_up(database):
        tasks = [
            asyncio.create_task(store.record(contact(name), [raised(name)], at=NOW))
            for name in ("a", "b", "c")
        ]
        await asyncio.sleep(0)
        tasks[1].cancel()
    await asyncio.wait(tasks)
    assert tasks[1].cancelled()
    events = await store.events_after(TENANT, 0, limit=99)
    assert [e.signal.signal.conversation_id for e in events] == ["a", "c"]


async def test_closing_waits_for_what_has_begun_to_wait(
    database_url: str, open_database: OpenDatabase
) -> None:
    database = await open_database()
    store = SignalStore(database)
    async with held_up(database):
        recording = asyncio.create_task(store.record(contact(), [raised()], at=NOW))
        await asyncio.sleep(0)
        closing = asyncio.create_task(database.close())
    (stored,) = await recording
    await closing
    assert await SignalStore(await open_database()).events_after(TENANT, 0, limit=9) == (stored,)
