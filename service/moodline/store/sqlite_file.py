"""Transactions on a SQLite file, each in a thread from its beginning to its end.

A driver for asyncio would go to a thread and back some four times a statement, which takes several
times as long as the statements themselves. Writes that wait together are committed together: a
commit waits for the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import OperationalError

from moodline.store.failures import failures_told, unavailable
from moodline.store.notices import Notices
from moodline.store.transactions import ENGINE_OPTIONS, Result, Work

READER_COUNT: Final = 4
"""Transactions of one process that read at a time; the processor is what they wait for."""
BUSY_TIMEOUT_S: Final = 60
"""How long a process waits for another that writes to the same file."""
MAX_WRITES: Final = 64
"""That are committed together."""
WAL_ATTEMPTS: Final = 200
WAL_REST_S: Final = 0.05
"""Between attempts to switch a new file to its write-ahead log."""


@dataclass(frozen=True, slots=True)
class _Write:
    """Work that waits for the writer, whose watchers are to wake, and who waits for it."""

    work: Work[Any]
    tenant: str | None
    waiter: asyncio.Future[Any]


_Outcome = tuple[Any, Exception | None]
"""What work has returned, or raised."""


class SqliteTransactions:
    """See `Transactions`."""

    def __init__(self, url: URL, notices: Notices) -> None:
        """Take the file; nothing is opened yet."""
        self._engine = create_engine(
            url,
            connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None},
            pool_size=READER_COUNT + 1,
            **ENGINE_OPTIONS,
        )
        event.listen(self._engine, "connect", _set_up)
        event.listen(self._engine, "begin", _begin)
        self._writing = self._engine.execution_options(moodline_writes=True)
        self._notices = notices
        # SQLite has one writer; those of one process wait here, in order and without polling.
        self._waiting: deque[_Write] = deque()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="moodline-store-writer")
        self._readers = ThreadPoolExecutor(READER_COUNT, thread_name_prefix="moodline-store-reader")

    async def open(self, work: Work[None]) -> None:
        """See `Transactions`."""
        await self.write(work, tenant=None)

    async def close(self) -> None:
        """See `Transactions`."""
        await asyncio.to_thread(self._shut_down)

    async def read(self, work: Work[Result]) -> Result:
        """See `Transactions`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, _run, self._engine, work)

    async def write(self, work: Work[Result], *, tenant: str | None) -> Result:
        """See `Transactions`."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Result] = loop.create_future()
        self._waiting.append(_Write(work, tenant, waiter))
        if len(self._waiting) == 1:
            # Otherwise the writer is still to come to the one before, and then comes to this one.
            self._writer.submit(self._write_waiting, loop)
        return await waiter

    def insert(self, table: Table) -> sqlite.Insert:
        """See `Transactions`."""
        return sqlite.insert(table)

    def _write_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        while writes := self._next_writes():
            outcomes = self._done_together(writes) if len(writes) > 1 else None
            if outcomes is None:
                # Alone, each fails for a reason of its own.
                outcomes = [self._done(write) for write in writes]
            loop.call_soon_threadsafe(self._settle, writes, outcomes)

    def _next_writes(self) -> Sequence[_Write]:
        """Take what waits, but for what was given up; nothing only if nothing waits."""
        writes: list[_Write] = []
        while self._waiting and len(writes) < MAX_WRITES:
            write = self._waiting.popleft()
            if not write.waiter.cancelled():
                writes.append(write)
        return writes

    def _done(self, write: _Write) -> _Outcome:
        try:
            return _run(self._writing, write.work), None
        except Exception as error:  # noqa: BLE001 - whoever waits for it raises it
            return None, error

    def _done_together(self, writes: Sequence[_Write]) -> Sequence[_Outcome] | None:
        """Do all in one transaction; if one of them fails, undo all and return None."""
        try:
            with self._writing.begin() as connection:
                results = [write.work(connection) for write in writes]
        except OperationalError as error:
            # The file is held by another process, or the disk is full: none would come further.
            return [(None, unavailable(error)) for _ in writes]
        except Exception:  # noqa: BLE001 - raised when it is tried alone
            return None
        return [(result, None) for result in results]

    def _settle(self, writes: Sequence[_Write], outcomes: Sequence[_Outcome]) -> None:
        """Wake who waits for writes, and who watches what they wrote; in the event loop."""
        for write, (result, error) in zip(writes, outcomes, strict=True):
            if error is None and write.tenant is not None:
                # Also if nobody waits for the result any more.
                self._notices.notify(write.tenant)
            if write.waiter.done():
                continue
            if error is None:
                write.waiter.set_result(result)
            else:
                write.waiter.set_exception(error)

    def _shut_down(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()


def _run(engine: Engine, work: Work[Result]) -> Result:
    with failures_told(), engine.begin() as connection:
        return work(connection)


def _set_up(connection: Any, _: object) -> None:
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
            time.sleep(WAL_REST_S)
        else:
            return
    cursor.execute("PRAGMA journal_mode = WAL")


def _begin(connection: Connection) -> None:
    # A transaction that began to read could not wait for another writer when it wants to write.
    is_writing = connection.get_execution_options().get("moodline_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")
