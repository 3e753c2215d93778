"""What is asked of the tables again and again.

Made once: to make a statement anew takes longer than the database takes to run it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Insert,
    Integer,
    Table,
    and_,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from moodline.store.rows import select_events, select_signals
from moodline.store.tables import actions, contacts, positions, signal_events, signals

MAX_PAST_CONTACTS: Final = 1_000
"""Of a customer, the newest; a name that all anonymous customers share costs no more than that."""

# Not `tenant`: an UPDATE would take what is named like a column for its new value.
_TENANT: Final[BindParameter[Any]] = bindparam("of_tenant")
_CONVERSATION: Final[BindParameter[Any]] = bindparam("of_conversation")
_ADDED: Final = ("customer_id", "channel", "language")
"""What may become known of a contact after it has begun."""
_ENDED: Final = ("outcome", "ended_at")

CONTACT: Final = select(contacts).where(
    contacts.c.tenant == _TENANT, contacts.c.conversation_id == _CONVERSATION
)

_IS_EARLIER: Final = and_(
    contacts.c.tenant == _TENANT,
    contacts.c.customer_id == bindparam("of_customer"),
    contacts.c.conversation_id != _CONVERSATION,
    contacts.c.started_at <= bindparam("until"),
)
EARLIER_CONTACTS: Final = (
    select(contacts.c.started_at, contacts.c.outcome)
    .where(_IS_EARLIER)
    .order_by(contacts.c.started_at.desc(), contacts.c.conversation_id.desc())
    .limit(MAX_PAST_CONTACTS)
)
OPEN_CAUSES: Final = (
    select(signals.c.cause)
    .join_from(signals, contacts)
    .where(_IS_EARLIER, signals.c.ended_at.is_(None))
    .distinct()
    .order_by(signals.c.cause)
)

SIGNALS_OF_IDS: Final = select_signals().where(
    signals.c.tenant == _TENANT, signals.c.signal_id.in_(bindparam("ids", expanding=True))
)
EVENT_IDS_OF_SIGNALS: Final = select(signal_events.c.event_id).where(
    signal_events.c.tenant == _TENANT,
    signal_events.c.signal_id.in_(bindparam("ids", expanding=True)),
)
INSERT_EVENTS: Final = signal_events.insert()
EVENTS_AFTER: Final = (
    select_events()
    .where(signal_events.c.tenant == _TENANT, signal_events.c.position > bindparam("after"))
    .order_by(signal_events.c.position)
    .limit(bindparam("row_limit", type_=Integer))
)
EVENTS_OF_KINDS_AFTER: Final = EVENTS_AFTER.where(
    signal_events.c.kind.in_(bindparam("kinds", expanding=True))
)

LAST_POSITION: Final = select(positions.c.last_position).where(positions.c.tenant == _TENANT)
LOCKED_POSITION: Final = LAST_POSITION.with_for_update()
MOVE_POSITION: Final = (
    update(positions).where(positions.c.tenant == _TENANT).values(last_position=bindparam("to"))
)


class Inserts:
    """Inserts that say what to do with rows that exist, each as its kind of database needs it.

    Attributes:
        contact: Inserts a contact, or adds what was unknown of it.
        ended_contact: The same, and says how it ended.
        signals: Inserts signals, or replaces what they were.
        actions: Inserts actions, unless they exist.
        position: Inserts the row of a tenant, unless it exists.
    """

    def __init__(self, insert: Callable[[Table], postgresql.Insert | sqlite.Insert]) -> None:
        """Make them with `Database.insert`."""
        key = (contacts.c.tenant, contacts.c.conversation_id)
        contact = insert(contacts)
        new = contact.excluded
        added: dict[str, ColumnElement[Any]] = {
            name: func.coalesce(func.nullif(new[name], ""), contacts.c[name]) for name in _ADDED
        }
        self.contact: Insert = contact.on_conflict_do_update(index_elements=key, set_=added)
        self.ended_contact: Insert = contact.on_conflict_do_update(
            index_elements=key, set_={**added, **{name: new[name] for name in _ENDED}}
        )
        signal = insert(signals)
        self.signals: Insert = signal.on_conflict_do_update(
            index_elements=[signals.c.tenant, signals.c.signal_id],
            set_={
                column.name: signal.excluded[column.name]
                for column in signals.c
                if not column.primary_key
            },
        )
        self.actions: Insert = insert(actions).on_conflict_do_nothing()
        self.position: Insert = insert(positions).on_conflict_do_nothing()
