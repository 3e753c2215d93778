"""The tables as they are at the newest schema; `migrations` says how they came to be."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class UtcTime(TypeDecorator[datetime]):
    """A time with time zone, kept and given in UTC; SQLite has no type for it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without zone, which would be another one on another machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the time has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Name the zone that SQLite forgets."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class NulFreeText(TypeDecorator[str]):
    """A text; U+FFFD stands for NUL, which PostgreSQL refuses."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what cannot be kept, also in what is looked for."""
        return None if value is None else value.replace("\0", "\ufffd")


class ActionState(StrEnum):
    """Where an action stands."""

    PENDING = "pending"
    DELIVERING = "delivering"
    DONE = "done"
    DEAD = "dead"


METADATA: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, NulFreeText, nullable=False, **options)


def _time(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, UtcTime, nullable=nullable)


contacts: Final = Table(
    "contacts",
    METADATA,
    _text("tenant", primary_key=True),
    _text("conversation_id", primary_key=True),
    _text("customer_id"),
    _text("channel"),
    _text("language"),
    _time("started_at"),
    _text("outcome"),
    _time("ended_at", nullable=True),
    Index(None, "tenant", "customer_id", "started_at"),
    Index(None, "tenant", "started_at"),
)
"""Conversations; `customer_id`, `channel`, `language` and `outcome` are empty while unknown."""

signals: Final = Table(
    "signals",
    METADATA,
    _text("tenant", primary_key=True),
    _text("signal_id", primary_key=True),
    _text("conversation_id"),
    _text("cause"),
    _text("state"),
    Column("severity_rank", SmallInteger, nullable=False),
    _text("reason"),
    _text("route"),
    _time("raised_at"),
    _time("updated_at"),
    _time("ended_at", nullable=True),
    _time("expires_at"),
    Column("position", BigInteger, nullable=False),
    _text("comment"),
    Column("format", Integer, nullable=False),
    Column("signal", JSON, nullable=False),
    ForeignKeyConstraint(
        ["tenant", "conversation_id"],
        ["contacts.tenant", "contacts.conversation_id"],
        ondelete="CASCADE",
    ),
    Index(None, "tenant", "raised_at", "signal_id"),
    Index(None, "tenant", "conversation_id"),
    Index(None, "tenant", "ended_at"),
    Index(
        "ix_signals_expires_at_open",
        "expires_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)
"""Signals as they stand: what is filtered or sorted on, and the whole as JSON of a `format`.
`route` is empty if the rule names none."""

signal_events: Final = Table(
    "signal_events",
    METADATA,
    _text("tenant", primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    _text("event_id"),
    _text("kind"),
    _time("at"),
    _text("signal_id"),
    _time("ended_at", nullable=True),
    Column("format", Integer, nullable=False),
    Column("signal", JSON, nullable=False),
    ForeignKeyConstraint(
        ["tenant", "signal_id"], ["signals.tenant", "signals.signal_id"], ondelete="CASCADE"
    ),
    UniqueConstraint("tenant", "event_id"),
    Index(None, "tenant", "signal_id"),
)
"""What happened, in order, with the signal as it stood afterwards."""

actions: Final = Table(
    "actions",
    METADATA,
    _text("tenant", primary_key=True),
    _text("idempotency_key", primary_key=True),
    _text("kind"),
    _text("target"),
    _text("signal_id"),
    _text("event_id"),
    Column("payload", JSON, nullable=False),
    _text("state"),
    Column("attempt_count", Integer, nullable=False),
    _time("created_at"),
    _time("queued_at"),
    _time("next_attempt_at"),
    _time("lease_until", nullable=True),
    _text("lease_owner"),
    _text("last_error"),
    _time("finished_at", nullable=True),
    ForeignKeyConstraint(
        ["tenant", "signal_id"], ["signals.tenant", "signals.signal_id"], ondelete="CASCADE"
    ),
    Index(None, "tenant", "signal_id"),
    Index(None, "state", "kind", "next_attempt_at"),
)
"""What is to be done, by `ActionState`. `queued_at` is when it was planned or replayed, and
`lease_owner` is empty while nobody delivers it."""

positions: Final = Table(
    "positions",
    METADATA,
    _text("tenant", primary_key=True),
    Column("last_position", BigInteger, nullable=False),
)
"""The position of the latest event of a tenant. Who writes signals of a tenant holds its row, so
positions become visible in their order."""
