"""What time does to what is kept: open signals expire, old ones are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from moodline.errors import StoreError
from moodline.keeping.keeper import utc_now
from moodline.store.signals import SignalStore
from moodline.telemetry.metrics import Metrics

UPKEEP_INTERVAL_S: Final = 60.0
_EXPIRE_LIMIT: Final = 200
"""Signals that one transaction expires; others write between two."""

_log = structlog.get_logger(__name__)


async def keep_up(
    store: SignalStore,
    *,
    retention: timedelta,
    metrics: Metrics,
    interval_s: float = UPKEEP_INTERVAL_S,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Expire and delete what is due, again and again, until cancelled.

    Every replica may do so: what one has done is done for all. A store that fails for a while
    delays it.

    Args:
        store: The store.
        retention: How long ended signals, and contacts without signals, are kept.
        metrics: Where counts go.
        interval_s: Between two rounds, in seconds.
        now: The time of day, in UTC.
    """
    while True:
        try:
            await keep_up_once(store, retention=retention, metrics=metrics, at=now())
        except StoreError as error:
            _log.warning("upkeep_delayed", problem=str(error))
        await asyncio.sleep(interval_s)


async def keep_up_once(
    store: SignalStore, *, retention: timedelta, metrics: Metrics, at: datetime
) -> None:
    """Do one round; arguments as of `keep_up`.

    Raises:
        StoreError: If the store fails.
    """
    expired_count = 0
    while count := await store.expire_due(at=at, limit=_EXPIRE_LIMIT):
        expired_count += count
        metrics.signals_overdue_total.inc(count)
    deleted_count = await store.purge(before=at - retention)
    if expired_count or deleted_count:
        _log.info("upkeep", expired_count=expired_count, deleted_count=deleted_count)
