"""Connections that nobody leaves open half-made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Take a connection of the pool, or a new one, and give it back.

    SQLAlchemy closes no connection whose making is cancelled, as happens when a client hangs up.
    So it is made whole even then, which takes no longer than the timeout of connecting.
    """
    connection = engine.connect()
    making = asyncio.create_task(_make(connection), name="store-connection")
    try:
        await asyncio.shield(making)
    except asyncio.CancelledError:
        await asyncio.wait([making])
        if not making.cancelled() and making.exception() is None:
            await connection.close()
        raise
    try:
        yield connection
    finally:
        await asyncio.shield(connection.close())


async def _make(connection: AsyncConnection) -> None:
    await connection.start()
