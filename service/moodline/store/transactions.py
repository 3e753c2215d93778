"""What every kind of database does with a transaction, and what their engines have in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

ENGINE_OPTIONS: Final[dict[str, Any]] = {
    # Errors would else quote customers.
    "hide_parameters": True,
    "json_serializer": partial(json.dumps, ensure_ascii=False, separators=(",", ":")),
    "max_overflow": 0,
}

Result = TypeVar("Result")
Work = Callable[[Connection], Result]
"""All of a transaction, from its beginning to its commit. It may be called in another thread, and
again after it was undone; it has no effects but on the database."""


class Transactions(Protocol):
    """Runs transactions on one database; safe for many tasks.

    Whoever gives up a call does not learn whether it was done, but it is done whole or not at all.

    Raises:
        StoreUnavailableError: From every method, if the database fails.
    """

    async def open(self, work: Work[None]) -> None:
        """Do the first transaction, which writes, and get ready for others."""
        ...

    async def close(self) -> None:
        """End the transactions that have begun, and close all connections."""
        ...

    async def read(self, work: Work[Result]) -> Result:
        """Do work that only reads."""
        ...

    async def write(self, work: Work[Result], *, tenant: str | None) -> Result:
        """Do work and commit it durably; undo it after any exception.

        Args:
            work: What to do.
            tenant: Whose watchers are woken after the commit.
        """
        ...

    def insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """An `INSERT` that may say what to do `on_conflict`."""
        ...
