"""A database, its schema, and its transactions."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Table, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from moodline.errors import StoreError, StoreUnavailableError
from moodline.store.connections import connected
from moodline.store.failures import FAILURES, name_of
from moodline.store.notices import CHANNEL, Notices, listen
from moodline.store.schema import bring_up_to_date

CONNECTION_COUNT: Final = 10
"""Connections of one replica to PostgreSQL at most, one of which listens; of one process to SQLite.
"""
CONNECT_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_S: Final = 60
IDLE_TIMEOUT_S: Final = 30
"""After which PostgreSQL ends a transaction of a replica that has frozen, which else would hold up
all others."""
BUSY_TIMEOUT_S: Final = 60
"""How long a process waits for another that writes to the same SQLite file."""
WAL_ATTEMPTS: Final = 200
WAL_REST_S: Final = 0.05
"""Between attempts to switch a new SQLite file to its write-ahead log."""

_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_OPTIONS: Final = frozenset({"host", "sslmode"})
_FORMS: Final = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


class Database:
    """An open database whose schema is that of this program; safe for many tasks.

    Attributes:
        notices: Wakes those who wait for events.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Made by `open` alone."""
        self._engine = engine
        self._writing = engine.execution_options(moodline_writes=True)
        self._is_postgresql = engine.dialect.name == "postgresql"
        # SQLite has one writer; those of one process wait here, in order and without polling.
        self._writer = asyncio.Lock()
        self._is_open = True
        self._transaction_count = 0
        self._is_idle = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self.notices = Notices()

    @classmethod
    async def open(cls, url: str, *, migrate: bool = True) -> Database:
        """Connect and bring the schema up to date.

        Args:
            url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`.
            migrate: Whether an older schema is brought up to date; refused otherwise.

        Raises:
            StoreError: If it cannot be used; names the remedy, never the password.
            StoreUnavailableError: If it cannot be reached.
        """
        parsed = parse_url(url)
        database = cls(_engine(parsed))
        try:
            await database._start(migrate=migrate)
        except StoreUnavailableError as error:
            await database.close()
            raise StoreUnavailableError(f"{_place(parsed)}: {error}") from None
        except BaseException:
            await database.close()
            raise
        return database

    async def _start(self, *, migrate: bool) -> None:
        async with self.write() as connection:
            await connection.run_sync(partial(bring_up_to_date, migrate=migrate))
        if self._is_postgresql:
            self._listening = asyncio.create_task(
                listen(self._engine, self.notices), name="store-listener"
            )

    async def close(self) -> None:
        """Close all connections; what is still watched ends with `StoreUnavailableError`.

        Transactions that have begun end first.
        """
        self._is_open = False
        self.notices.notify_all()
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        if self._transaction_count:
            await self._is_idle.wait()
        await self._engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads.

        Raises:
            StoreUnavailableError: If the database fails.
        """
        async with self._transaction(self._engine) as connection:
            yield connection

    @asynccontextmanager
    async def write(self, *, tenant: str | None = None) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed durably at the end, undone after any exception.

        Args:
            tenant: Whoever watches this tenant is woken after it is committed.

        Raises:
            StoreUnavailableError: If the database fails; whether a failing commit happened is
                unknown.
        """
        alone: AbstractAsyncContextManager[Any] = (
            nullcontext() if self._is_postgresql else self._writer
        )
        async with alone, self._transaction(self._writing) as connection:
            yield connection
            if tenant is not None and self._is_postgresql:
                await connection.exec_driver_sql("SELECT pg_notify($1, $2)", (CHANNEL, tenant))
        if tenant is not None:
            self.notices.notify(tenant)

    def insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """An `INSERT` that may say what to do `on_conflict`."""
        return postgresql.insert(table) if self._is_postgresql else sqlite.insert(table)

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        if not self._is_open:
            raise StoreUnavailableError("the store is closed")
        self._transaction_count += 1
        self._is_idle.clear()
        try:
            async with connected(engine) as connection, connection.begin():
                yield connection
        except FAILURES as error:
            raise StoreUnavailableError(
                f"the database failed ({name_of(error)}); look whether it runs, can be reached "
                "and has space left"
            ) from None
        finally:
            self._transaction_count -= 1
            if not self._transaction_count:
                self._is_idle.set()


def parse_url(url: str) -> URL:
    """Return the URL with our driver.

    Raises:
        StoreError: If it is none that we can use; never quotes what may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(f"store.url: it is no URL of a database; write {_FORMS}") from None
    backend = parsed.get_backend_name()
    driver = _DRIVERS.get(backend)
    if driver is None or parsed.drivername not in (backend, driver):
        raise StoreError(
            f"store.url: {parsed.drivername!r} is no database that can be used; write {_FORMS}"
        )
    if "@" in (parsed.host or ""):
        raise StoreError("store.url: write @ in the password as %40")
    if backend == "sqlite":
        _check_file(parsed)
        return parsed.set(drivername=driver)
    unknown = sorted(set(parsed.query) - _OPTIONS)
    if unknown:
        raise StoreError(
            f"store.url: the option {unknown[0]!r} is unknown; there are "
            f"{', '.join(sorted(_OPTIONS))}"
        )
    # As libpq calls it, and so most who give such URLs.
    query = {"ssl" if name == "sslmode" else name: value for name, value in parsed.query.items()}
    return parsed.set(drivername=driver, query=query)


def _check_file(url: URL) -> None:
    if not url.database or url.database == ":memory:" or url.query or url.host:
        raise StoreError(
            "store.url: SQLite needs a file: sqlite:///FILE, or sqlite:////FILE from the root"
        )
    path = Path(url.database)
    if not path.parent.is_dir():
        raise StoreError(f"store.url: the folder {path.parent} does not exist; make it")
    if path.is_dir():
        raise StoreError(f"store.url: {path} is a folder; name a file in it")
    try:
        # What it holds of customers is for nobody else to read.
        path.touch(mode=0o600)
        is_writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    except OSError:
        is_writable = False
    if not is_writable:
        raise StoreError(
            f"store.url: {path} or its folder cannot be written; SQLite needs to write both"
        )


def _engine(url: URL) -> AsyncEngine:
    options: dict[str, Any] = {
        # Errors would else quote customers.
        "hide_parameters": True,
        "json_serializer": partial(json.dumps, ensure_ascii=False, separators=(",", ":")),
        "pool_size": CONNECTION_COUNT,
        "max_overflow": 0,
    }
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(
            url, connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None}, **options
        )
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    return create_async_engine(
        url,
        pool_pre_ping=True,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": STATEMENT_TIMEOUT_S,
            "server_settings": {
                "application_name": "moodline",
                "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT_S}s",
            },
        },
        **options,
    )


def _set_up_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    _use_write_ahead_log(cursor)
    for pragma in (
        # What is committed survives a power failure too, not only kill -9; a sync per commit.
        "synchronous = FULL",
        "foreign_keys = ON",
        # What is deleted is overwritten.
        "secure_delete = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _use_write_ahead_log(cursor: Any) -> None:
    """Let readers and the writer not wait for each other.

    Connections that open a new file together meet a lock at which SQLite does not wait out its
    busy timeout, but fails at once; the first of them has switched the file for good.
    """
    for _ in range(WAL_ATTEMPTS):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            await_only(asyncio.sleep(WAL_REST_S))
        else:
            return
    cursor.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that began to read could not wait for another writer when it wants to write.
    is_writing = connection.get_execution_options().get("moodline_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _place(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return f"store.url: SQLite file {url.database}"
    host = url.host or url.query.get("host") or "localhost"
    return f"store.url: PostgreSQL at {host}, port {url.port or 5432}"
