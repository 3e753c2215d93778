"""Contacts, signals, their events and actions."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "contacts",
        _text("tenant"),
        _text("conversation_id"),
        _text("customer_id"),
        _text("channel"),
        _text("language"),
        _time("started_at"),
        _text("outcome"),
        _time("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "conversation_id", name="pk_contacts"),
    )
    _index("contacts", "tenant", "customer_id", "started_at")
    _index("contacts", "tenant", "started_at")
    op.create_table(
        "signals",
        _text("tenant"),
        _text("signal_id"),
        _text("conversation_id"),
        _text("cause"),
        _text("state"),
        sa.Column("severity_rank", sa.SmallInteger, nullable=False),
        _text("reason"),
        _text("route"),
        _time("raised_at"),
        _time("updated_at"),
        _time("ended_at", nullable=True),
        _time("expires_at"),
        sa.Column("position", sa.BigInteger, nullable=False),
        _text("comment"),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("signal", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "signal_id", name="pk_signals"),
        sa.ForeignKeyConstraint(
            ["tenant", "conversation_id"],
            ["contacts.tenant", "contacts.conversation_id"],
            name="fk_signals_contacts",
            ondelete="CASCADE",
        ),
    )
    _index("signals", "tenant", "raised_at", "signal_id")
    _index("signals", "tenant", "conversation_id")
    _index("signals", "tenant", "ended_at")
    op.create_index(
        "ix_signals_expires_at_open",
        "signals",
        ["expires_at"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "signal_events",
        _text("tenant"),
        sa.Column("position", sa.BigInteger, nullable=False, autoincrement=False),
        _text("event_id"),
        _text("kind"),
        _time("at"),
        _text("signal_id"),
        _time("ended_at", nullable=True),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("signal", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "position", name="pk_signal_events"),
        _signal_key("signal_events"),
        sa.UniqueConstraint("tenant", "event_id", name="uq_signal_events_tenant_event_id"),
    )
    _index("signal_events", "tenant", "signal_id")
    op.create_table(
        "actions",
        _text("tenant"),
        _text("idempotency_key"),
        _text("kind"),
        _text("target"),
        _text("signal_id"),
        _text("event_id"),
        sa.Column("payload", sa.JSON, nullable=False),
        _text("state"),
        sa.Column("attempt_count", sa.Integer, nullable=False),
        _time("created_at"),
        _time("queued_at"),
        _time("next_attempt_at"),
        _time("lease_until", nullable=True),
        _text("lease_owner"),
        _text("last_error"),
        _time("finished_at", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "idempotency_key", name="pk_actions"),
        _signal_key("actions"),
    )
    _index("actions", "tenant", "signal_id")
    _index("actions", "state", "kind", "next_attempt_at")
    op.create_table(
        "positions",
        _text("tenant"),
        sa.Column("last_position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant", name="pk_positions"),
    )


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _signal_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant", "signal_id"],
        ["signals.tenant", "signals.signal_id"],
        name=f"fk_{table}_signals",
        ondelete="CASCADE",
    )


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
