"""The same tests run on a SQLite file and on a PostgreSQL of the test run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from moodline.store.database import Database
from moodline.store.signals import SignalStore
from tests.integration.postgres import Postgres

OpenStore = Callable[[], Awaitable[SignalStore]]
OpenDatabase = Callable[[], Awaitable[Database]]


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/moodline.db"
    server: Postgres = request.getfixturevalue("postgres")
    return await server.create_database()


@pytest_asyncio.fixture
async def open_database(database_url: str) -> AsyncIterator[OpenDatabase]:
    """Open the database once more; closed after the test, whatever comes of it."""
    async with AsyncExitStack() as stack:

        async def open_one() -> Database:
            database = await Database.open(database_url)
            stack.push_async_callback(database.close)
            return database

        yield open_one


@pytest_asyncio.fixture
async def open_store(database_url: str, open_database: OpenDatabase) -> OpenStore:
    """Open the database as one more replica."""

    async def open_one() -> SignalStore:
        # Replicas on PostgreSQL must be woken, for looking by oneself would come too late;
        # two databases on one SQLite file know of each other by looking alone.
        poll_s = 0.05 if database_url.startswith("sqlite") else 3_600
        return SignalStore(await open_database(), poll_s=poll_s)

    return open_one


@pytest_asyncio.fixture
async def store(open_store: OpenStore) -> SignalStore:
    return await open_store()
