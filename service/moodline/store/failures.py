"""What goes wrong with databases, in words that hold no password and no customer text."""

from __future__ import annotations

from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

FAILURES: Final = (
    DBAPIError,
    PoolTimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
"""What SQLAlchemy and its drivers raise; asyncpg's own and the network's come from connecting."""


def name_of(error: BaseException) -> str:
    """Return what kind of error it is: its text could quote rows, and so customers."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return name_of(error.orig.__cause__ or error.orig)
    return type(error).__name__
