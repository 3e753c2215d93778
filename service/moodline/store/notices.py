"""Wakes those who wait for events of a tenant; may wake too often, and tells nothing but that."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from moodline.store.connections import connected
from moodline.store.failures import FAILURES, name_of

CHANNEL: Final = "moodline_events"
"""Where replicas on one PostgreSQL say of which tenant there are new events."""
MIN_BACK_OFF_S: Final = 0.5
MAX_BACK_OFF_S: Final = 30.0

_log = structlog.get_logger(__name__)


class Notices:
    """Who waits, by tenant."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def subscribe(self, tenant: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the tenant may have new events."""
        event = asyncio.Event()
        self._waiting[tenant].add(event)
        try:
            yield event
        finally:
            self._waiting[tenant].discard(event)
            if not self._waiting[tenant]:
                del self._waiting[tenant]

    def notify(self, tenant: str) -> None:
        """Wake those who wait for a tenant."""
        for event in self._waiting.get(tenant, ()):
            event.set()

    def notify_all(self) -> None:
        """Wake all, after what may have been missed."""
        for tenant in self._waiting:
            self.notify(tenant)


async def listen(engine: AsyncEngine, notices: Notices) -> None:
    """Pass on, for ever, what other replicas on the same PostgreSQL say.

    A connection that breaks is opened anew with a back-off, and whoever waits then looks whether
    something was missed; until then they look by themselves every now and then.
    """
    back_off_s = MIN_BACK_OFF_S
    while True:
        try:
            async with connected(engine) as connection:
                try:
                    ended = await _begin_to_listen(connection, notices)
                    notices.notify_all()
                    back_off_s = MIN_BACK_OFF_S
                    await ended.wait()
                finally:
                    # A connection that still listens must not go back to the pool.
                    await connection.invalidate()
        except FAILURES as error:
            _log.warning("store_listener_failed", error=name_of(error), retry_s=back_off_s)
        else:
            _log.warning("store_listener_lost", retry_s=back_off_s)
        await asyncio.sleep(back_off_s)
        back_off_s = min(2 * back_off_s, MAX_BACK_OFF_S)


async def _begin_to_listen(connection: AsyncConnection, notices: Notices) -> asyncio.Event:
    """Listen on a connection of its own; the event is set when that has ended."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, asyncpg.Connection)
    ended = asyncio.Event()
    driver.add_termination_listener(lambda _: ended.set())
    await driver.add_listener(CHANNEL, lambda *notice: notices.notify(str(notice[-1])))
    return ended
