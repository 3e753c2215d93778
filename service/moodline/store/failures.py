"""What goes wrong with databases, in words that hold no password and no customer text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from moodline.errors import StoreUnavailableError

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


@contextmanager
def failures_told() -> Iterator[None]:
    """Raise `StoreUnavailableError` in place of what a database raises in the block."""
    try:
        yield
    except FAILURES as error:
        raise unavailable(error) from None


def unavailable(error: BaseException) -> StoreUnavailableError:
    """Return what is raised in place of an error of a database."""
    return StoreUnavailableError(
        f"the database failed ({name_of(error)}); look whether it runs, can be reached "
        "and has space left"
    )
