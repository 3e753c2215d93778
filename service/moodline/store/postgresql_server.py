"""Transactions on a PostgreSQL server, on connections of this replica."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from sqlalchemy import URL, Connection, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import create_async_engine

from moodline.store.connections import connected
from moodline.store.failures import failures_told
from moodline.store.notices import CHANNEL, Notices, listen
from moodline.store.transactions import ENGINE_OPTIONS, Result, Work

CONNECTION_COUNT: Final = 10
"""Connections of one replica at most, one of which listens."""
CONNECT_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_S: Final = 60
IDLE_TIMEOUT_S: Final = 30
"""After which the server ends a transaction of a replica that has frozen, which else would hold up
all others."""


class PostgresqlTransactions:
    """See `Transactions`."""

    def __init__(self, url: URL, notices: Notices) -> None:
        """Take the server; nothing is connected yet."""
        self._engine = create_async_engine(
            url,
            pool_size=CONNECTION_COUNT,
            pool_pre_ping=True,
            connect_args={
                "timeout": CONNECT_TIMEOUT_S,
                "command_timeout": STATEMENT_TIMEOUT_S,
                "server_settings": {
                    "application_name": "moodline",
                    "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT_S}s",
                },
            },
            **ENGINE_OPTIONS,
        )
        self._notices = notices
        self._listening: asyncio.Task[None] | None = None
        self._transaction_count = 0
        self._is_idle = asyncio.Event()

    async def open(self, work: Work[None]) -> None:
        """See `Transactions`."""
        await self._run(work)
        self._listening = asyncio.create_task(
            listen(self._engine, self._notices), name="store-listener"
        )

    async def close(self) -> None:
        """See `Transactions`."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        if self._transaction_count:
            await self._is_idle.wait()
        await self._engine.dispose()

    async def read(self, work: Work[Result]) -> Result:
        """See `Transactions`."""
        return await self._run(work)

    async def write(self, work: Work[Result], *, tenant: str | None) -> Result:
        """See `Transactions`."""
        if tenant is None:
            return await self._run(work)

        def write(connection: Connection) -> Result:
            result = work(connection)
            # Other replicas are told when it is committed.
            connection.exec_driver_sql("SELECT pg_notify($1, $2)", (CHANNEL, tenant))
            return result

        result = await self._run(write)
        self._notices.notify(tenant)
        return result

    def insert(self, table: Table) -> postgresql.Insert:
        """See `Transactions`."""
        return postgresql.insert(table)

    async def _run(self, work: Work[Result]) -> Result:
        self._transaction_count += 1
        self._is_idle.clear()
        try:
            with failures_told():
                async with connected(self._engine) as connection, connection.begin():
                    return await connection.run_sync(work)
        finally:
            self._transaction_count -= 1
            if not self._transaction_count:
                self._is_idle.set()
