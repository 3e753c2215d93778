"""A database, its schema, and its transactions."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from sqlalchemy import URL, Table, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError

from moodline.errors import StoreError, StoreUnavailableError
from moodline.store.metrics import StoreMetrics, TransactionKind
from moodline.store.notices import Notices
from moodline.store.postgresql_server import PostgresqlTransactions
from moodline.store.schema import bring_up_to_date
from moodline.store.sqlite_file import SqliteTransactions
from moodline.store.transactions import Result, Transactions, Work

_DRIVERS: Final = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+asyncpg"}
_OPTIONS: Final = frozenset({"host", "sslmode"})
_FORMS: Final = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


class Database:
    """An open database whose schema is that of this program; safe for many tasks.

    Attributes:
        notices: Wakes those who wait for events.
    """

    def __init__(self, transactions: Transactions, notices: Notices, metrics: StoreMetrics) -> None:
        """Made by `open` alone."""
        self._transactions = transactions
        self._metrics = metrics
        self._is_open = True
        self.notices = notices

    @classmethod
    async def open(
        cls, url: str, *, migrate: bool = True, metrics: StoreMetrics | None = None
    ) -> Database:
        """Connect and bring the schema up to date.

        Args:
            url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`.
            migrate: Whether an older schema is brought up to date; refused otherwise.
            metrics: Where durations and failures go; None if nobody reads them.

        Raises:
            StoreError: If it cannot be used; names the remedy, never the password.
            StoreUnavailableError: If it cannot be reached.
        """
        parsed = parse_url(url)
        notices = Notices()
        transactions = transactions_on(parsed, notices)
        try:
            await transactions.open(partial(bring_up_to_date, migrate=migrate))
        except StoreUnavailableError as error:
            await transactions.close()
            raise StoreUnavailableError(f"{_place(parsed)}: {error}") from None
        except BaseException:
            await transactions.close()
            raise
        return cls(transactions, notices, metrics or StoreMetrics(CollectorRegistry()))

    async def close(self) -> None:
        """Close all connections; what is still watched ends with `StoreUnavailableError`.

        Transactions that have begun end first.
        """
        self._is_open = False
        self.notices.notify_all()
        await self._transactions.close()

    async def read(self, work: Work[Result]) -> Result:
        """Do work in a transaction that only reads; see `Work`.

        Raises:
            StoreUnavailableError: If the database fails.
        """
        self._require_open()
        with self._metrics.measured(TransactionKind.READ):
            return await self._transactions.read(work)

    async def write(self, work: Work[Result], *, tenant: str | None = None) -> Result:
        """Do work in a transaction, committed durably, or undone after any exception.

        Whoever gives up the call does not learn whether it was done; it is not done by half.

        Args:
            work: What to do; see `Work`.
            tenant: Whoever watches this tenant is woken after it is committed.

        Raises:
            StoreUnavailableError: If the database fails; whether a failing commit happened is
                unknown.
        """
        self._require_open()
        with self._metrics.measured(TransactionKind.WRITE):
            return await self._transactions.write(work, tenant=tenant)

    def insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """An `INSERT` that may say what to do `on_conflict`."""
        return self._transactions.insert(table)

    def _require_open(self) -> None:
        if not self._is_open:
            raise StoreUnavailableError("the store is closed")


def transactions_on(url: URL, notices: Notices) -> Transactions:
    """Return the transactions of a database that nobody has opened yet.

    Args:
        url: As `parse_url` returns it.
        notices: Wakes those who wait for events.
    """
    if url.get_backend_name() == "sqlite":
        return SqliteTransactions(url, notices)
    return PostgresqlTransactions(url, notices)


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


def _place(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return f"store.url: SQLite file {url.database}"
    host = url.host or url.query.get("host") or "localhost"
    return f"store.url: PostgreSQL at {host}, port {url.port or 5432}"
