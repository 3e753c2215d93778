"""Signals in the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import ColumnElement, Insert, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from moodline.actions.plan import plan_actions
from moodline.errors import SignalNotFoundError
from moodline.rules.history import CustomerPast
from moodline.signals.domain import Outcome, SignalEvent, SignalState
from moodline.signals.lifecycle import acknowledge, expire, rebase, resolve
from moodline.store.database import Database
from moodline.store.records import (
    Contact,
    Page,
    PageKey,
    SignalFilter,
    StoredEvent,
    StoredSignal,
)
from moodline.store.rows import (
    action_row,
    event_row,
    select_events,
    select_signals,
    signal_row,
    stored_event,
    stored_signal,
)
from moodline.store.tables import ActionState, actions, contacts, positions, signal_events, signals

__all__ = [
    "Contact",
    "Page",
    "PageKey",
    "SignalFilter",
    "SignalStore",
    "StoredEvent",
    "StoredSignal",
]

POLL_S: Final = 5.0
MAX_PAST_CONTACTS: Final = 1_000
"""Of a customer, the newest; a name that all anonymous customers share costs no more than that."""
_WATCH_EVENTS: Final = 200
_PURGE_ROWS: Final = 500
_DAY: Final = timedelta(days=1)


class SignalStore:
    """Contacts and signals, their events in order; safe for many tasks and several replicas.

    Every method raises `StoreUnavailableError` if the database fails, and may then be called again.
    """

    def __init__(self, database: Database, *, poll_s: float = POLL_S) -> None:
        """Take an open database.

        Args:
            database: Closed by whoever opened it.
            poll_s: After how long `watch` looks by itself, should nobody have woken it.
        """
        self._database = database
        self._poll_s = poll_s
        # Made once: to make them anew costs more than the database takes to run them.
        self._keep_contacts = _contact_upsert(database)
        self._keep_signals = _signal_upsert(database)

    async def begin(self, contact: Contact) -> CustomerPast | None:
        """Record a contact, once, and return what is known of its customer from before it.

        Returns:
            None if nobody has said who the customer is.
        """
        async with self._database.write() as connection:
            await self._keep_contact(connection, contact)
        async with self._database.read() as connection:
            kept = (
                await connection.execute(select(contacts).where(_is_contact(contact)))
            ).one_or_none()
            if kept is None:
                return None
            return await _past(
                connection,
                replace(contact, customer_id=kept.customer_id, started_at=kept.started_at),
            )

    async def past(self, contact: Contact) -> CustomerPast | None:
        """Return what is known of a contact's customer from before it, recording nothing.

        Returns:
            None if the contact names no customer.
        """
        async with self._database.read() as connection:
            return await _past(connection, contact)

    async def record(
        self, contact: Contact, events: Sequence[SignalEvent], *, at: datetime
    ) -> Sequence[StoredEvent]:
        """Record events of a conversation and plan their actions, all or nothing.

        Events that are known are left out, so sending them again is harmless. What people did to
        a signal meanwhile is kept; events of a signal that has ended are left out.

        Args:
            contact: The conversation; recorded if it is not yet.
            events: In the order in which they happened; quotes masked.
            at: Now.

        Returns:
            What is new, in order; it survives the process.

        Raises:
            StoreUnavailableError: Nothing was recorded, or it is unknown; call again.
        """
        if not events:
            return ()
        async with self._database.write(tenant=contact.tenant) as connection:
            last_position = await self._lock(connection, contact.tenant)
            await self._keep_contact(connection, contact)
            return await self._append(
                connection, contact.tenant, events, last_position=last_position, at=at
            )

    async def end(self, contact: Contact, *, outcome: str, at: datetime) -> None:
        """Record how a contact ended, e.g. `resolved`; empty if unknown."""
        async with self._database.write() as connection:
            await self._keep_contact(connection, contact)
            await connection.execute(
                update(contacts).where(_is_contact(contact)).values(outcome=outcome, ended_at=at)
            )

    async def get(self, tenant: str, signal_id: str) -> StoredSignal | None:
        """Return a signal; None if the tenant has none of this id."""
        async with self._database.read() as connection:
            return (await _load(connection, tenant, [signal_id])).get(signal_id)

    async def list(
        self,
        tenant: str,
        signal_filter: SignalFilter,
        *,
        page_size: int,
        after: PageKey | None = None,
    ) -> Page:
        """Return a page of signals, newest raised first; stable while others are raised.

        Args:
            tenant: Whose.
            signal_filter: Which.
            page_size: How many at most, at least 1.
            after: `Page.next` of the page before; None for the first.
        """
        key = (signals.c.raised_at, signals.c.signal_id)
        query = (
            select_signals()
            .where(signals.c.tenant == tenant, *_conditions(signal_filter))
            .order_by(*(column.desc() for column in key))
            .limit(page_size + 1)
        )
        if after is not None:
            query = query.where(tuple_(*key) < (after.raised_at, after.signal_id))
        async with self._database.read() as connection:
            found = [stored_signal(row) for row in await connection.execute(query)]
        page = tuple(found[:page_size])
        if len(found) == len(page):
            return Page(page, None)
        return Page(page, PageKey(page[-1].raised_at, page[-1].signal.signal_id))

    async def acknowledge(
        self, tenant: str, signal_id: str, *, by: str, at: datetime
    ) -> StoredSignal:
        """Somebody has taken note; the first who did stays.

        Raises:
            SignalNotFoundError: If the tenant has no such signal.
            SignalStateError: If the signal has ended.
        """
        async with self._database.write(tenant=tenant) as connection:
            last_position = await self._lock(connection, tenant)
            stored = await _require(connection, tenant, signal_id)
            if stored.signal.state is SignalState.ACKNOWLEDGED:
                return stored
            event = _next_event(
                acknowledge(stored.signal, by=by), stored, position=last_position + 1, at=at
            )
            await self._write(connection, [event])
            return event.signal

    async def resolve(
        self,
        tenant: str,
        signal_id: str,
        *,
        outcome: Outcome,
        by: str,
        comment: str,
        at: datetime,
    ) -> StoredSignal:
        """Somebody has dealt with it; the first who did stays, with what they wrote.

        Args:
            tenant: Whose.
            signal_id: Which.
            outcome: What they say of it.
            by: Who.
            comment: Personal data in it is masked.
            at: Now.

        Raises:
            SignalNotFoundError: If the tenant has no such signal.
            SignalStateError: If it was resolved before with another outcome.
        """
        async with self._database.write(tenant=tenant) as connection:
            last_position = await self._lock(connection, tenant)
            stored = await _require(connection, tenant, signal_id)
            happened = resolve(stored.signal, outcome=outcome, by=by)
            if stored.signal.state is SignalState.RESOLVED:
                return stored
            event = _next_event(
                happened, replace(stored, comment=comment), position=last_position + 1, at=at
            )
            await self._write(connection, [event])
            return event.signal

    async def expire_due(self, *, at: datetime, limit: int) -> int:
        """Expire open signals that are older than their rules let them be.

        Returns:
            How many this call expired, at most `limit`; each is expired once among replicas.
        """
        is_due = and_(signals.c.ended_at.is_(None), signals.c.expires_at <= at)
        async with self._database.read() as connection:
            due = await connection.execute(
                select(signals.c.tenant, signals.c.signal_id)
                .where(is_due)
                .order_by(signals.c.expires_at)
                .limit(limit)
            )
        count = 0
        by_tenant = attrgetter("tenant")
        for tenant, rows in groupby(sorted(due, key=by_tenant), by_tenant):
            ids = [row.signal_id for row in rows]
            async with self._database.write(tenant=tenant) as connection:
                last_position = await self._lock(connection, tenant)
                # Another replica, or people, may have been faster.
                still_due = [
                    stored_signal(row)
                    for row in await connection.execute(
                        select_signals()
                        .where(signals.c.tenant == tenant, signals.c.signal_id.in_(ids), is_due)
                        .order_by(signals.c.expires_at)
                    )
                ]
                await self._write(
                    connection,
                    [
                        _next_event(expire(stored.signal), stored, position=position, at=at)
                        for position, stored in enumerate(still_due, last_position + 1)
                    ],
                )
                count += len(still_due)
        return count

    async def events_after(
        self, tenant: str, position: int, *, limit: int
    ) -> Sequence[StoredEvent]:
        """Return the events behind a position, in order; none ever appears behind one read."""
        query = (
            select_events()
            .where(signal_events.c.tenant == tenant, signal_events.c.position > position)
            .order_by(signal_events.c.position)
            .limit(limit)
        )
        async with self._database.read() as connection:
            return tuple(stored_event(row) for row in await connection.execute(query))

    async def last_position(self, tenant: str) -> int:
        """Return the position of the latest event; 0 before the first."""
        async with self._database.read() as connection:
            position = await connection.scalar(
                select(positions.c.last_position).where(positions.c.tenant == tenant)
            )
        return position or 0

    async def watch(self, tenant: str, position: int) -> AsyncGenerator[StoredEvent, None]:
        """Give every event behind a position, then those to come, of all replicas, for ever.

        Raises:
            StoreUnavailableError: If the database fails or is closed; watch again from the last
                position seen.
        """
        with self._database.notices.subscribe(tenant) as woken:
            while True:
                # Before looking: what comes meanwhile wakes again.
                woken.clear()
                events = await self.events_after(tenant, position, limit=_WATCH_EVENTS)
                for event in events:
                    position = event.position
                    yield event
                if not events:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._poll_s):
                            await woken.wait()

    async def purge(self, *, before: datetime) -> int:
        """Delete signals that ended before then, and contacts from before then that have none.

        Signals whose actions are still to be done stay until they are.

        Returns:
            How many signals and contacts were deleted.
        """
        async with self._database.read() as connection:
            tenants = (await connection.scalars(select(contacts.c.tenant).distinct())).all()
        count = 0
        for tenant in tenants:
            # In pieces, so that others may write between them.
            while deleted := await self._purge_some(tenant, before):
                count += deleted
        return count

    async def delete_customer(self, tenant: str, customer_id: str) -> int:
        """Delete all contacts of a customer, with their signals, events and actions.

        Returns:
            How many contacts were deleted.

        Raises:
            ValueError: If `customer_id` is empty, which stands for all unknown customers.
        """
        if not customer_id:
            raise ValueError("customer_id is empty; name the customer to delete")
        async with self._database.write() as connection:
            await self._lock(connection, tenant)
            deleted = await connection.execute(
                delete(contacts).where(
                    contacts.c.tenant == tenant, contacts.c.customer_id == customer_id
                )
            )
            count: int = deleted.rowcount
            return count

    async def _lock(self, connection: AsyncConnection, tenant: str) -> int:
        """Let no other transaction write signals of the tenant; return its last position."""
        await connection.execute(
            self._database.insert(positions)
            .values(tenant=tenant, last_position=0)
            .on_conflict_do_nothing()
        )
        position: int | None = await connection.scalar(
            select(positions.c.last_position).where(positions.c.tenant == tenant).with_for_update()
        )
        assert position is not None
        return position

    async def _keep_contact(self, connection: AsyncConnection, contact: Contact) -> None:
        """Insert a contact, or add what was unknown of it."""
        row = {
            "tenant": contact.tenant,
            "conversation_id": contact.conversation_id,
            "customer_id": contact.customer_id,
            "channel": contact.channel,
            "language": contact.language,
            "started_at": contact.started_at,
            "outcome": "",
        }
        await connection.execute(self._keep_contacts, row)

    async def _append(
        self,
        connection: AsyncConnection,
        tenant: str,
        events: Sequence[SignalEvent],
        *,
        last_position: int,
        at: datetime,
    ) -> Sequence[StoredEvent]:
        ids = {event.signal.signal_id for event in events}
        current = await _load(connection, tenant, ids)
        known = set(
            await connection.scalars(
                select(signal_events.c.event_id).where(
                    signal_events.c.tenant == tenant, signal_events.c.signal_id.in_(ids)
                )
            )
        )
        kept = (
            await connection.execute(
                select(contacts).where(
                    contacts.c.tenant == tenant,
                    contacts.c.conversation_id == events[0].signal.conversation_id,
                )
            )
        ).one()
        new: list[StoredEvent] = []
        for event in events:
            if event.event_id in known:
                continue
            stored = current.get(event.signal.signal_id)
            happened = event if stored is None else rebase(stored.signal, event)
            if happened is None or happened.event_id in known:
                continue
            if stored is None:
                stored = StoredSignal(
                    tenant=tenant,
                    signal=happened.signal,
                    channel=kept.channel,
                    language=kept.language,
                    customer_id=kept.customer_id,
                    raised_at=at,
                    updated_at=at,
                    ended_at=None,
                    position=0,
                )
            last_position += 1
            appended = _next_event(happened, stored, position=last_position, at=at)
            current[event.signal.signal_id] = appended.signal
            known.add(appended.event_id)
            new.append(appended)
        await self._write(connection, new)
        return tuple(new)

    async def _write(self, connection: AsyncConnection, events: Sequence[StoredEvent]) -> None:
        """Write new events of one tenant, in order, what they make of signals, and actions."""
        if not events:
            return
        tenant = events[0].signal.tenant
        latest = {event.signal.signal.signal_id: signal_row(event.signal) for event in events}
        await connection.execute(self._keep_signals, [*latest.values()])
        await connection.execute(signal_events.insert(), [event_row(event) for event in events])
        planned = [action_row(event, action) for event in events for action in plan_actions(event)]
        if planned:
            await connection.execute(
                self._database.insert(actions).on_conflict_do_nothing(), planned
            )
        await connection.execute(
            update(positions)
            .where(positions.c.tenant == tenant)
            .values(last_position=events[-1].position)
        )

    async def _purge_some(self, tenant: str, before: datetime) -> int:
        is_busy = (
            select(actions.c.signal_id)
            .where(
                actions.c.tenant == signals.c.tenant,
                actions.c.signal_id == signals.c.signal_id,
                actions.c.state.in_([ActionState.PENDING, ActionState.DELIVERING]),
            )
            .exists()
        )
        has_signals = (
            select(signals.c.signal_id)
            .where(
                signals.c.tenant == contacts.c.tenant,
                signals.c.conversation_id == contacts.c.conversation_id,
            )
            .exists()
        )
        over = (
            select(signals.c.signal_id)
            .where(signals.c.tenant == tenant, signals.c.ended_at < before, ~is_busy)
            .limit(_PURGE_ROWS)
        )
        empty = (
            select(contacts.c.conversation_id)
            .where(contacts.c.tenant == tenant, contacts.c.started_at < before, ~has_signals)
            .limit(_PURGE_ROWS)
        )
        async with self._database.write() as connection:
            await self._lock(connection, tenant)
            deleted = 0
            for table, key, chosen in (
                (signals, signals.c.signal_id, over),
                (contacts, contacts.c.conversation_id, empty),
            ):
                ids = (await connection.scalars(chosen)).all()
                if ids:
                    await connection.execute(
                        delete(table).where(table.c.tenant == tenant, key.in_(ids))
                    )
                deleted += len(ids)
            return deleted


def _is_contact(contact: Contact) -> ColumnElement[bool]:
    return and_(
        contacts.c.tenant == contact.tenant,
        contacts.c.conversation_id == contact.conversation_id,
    )


def _conditions(signal_filter: SignalFilter) -> Sequence[ColumnElement[bool]]:
    chosen: Mapping[Any, Any] = {
        signals.c.state: signal_filter.states,
        signals.c.reason: signal_filter.reasons,
        signals.c.route: signal_filter.routes,
        signals.c.cause: signal_filter.causes,
    }
    conditions = [column.in_(values) for column, values in chosen.items() if values]
    if signal_filter.min_severity.rank:
        conditions.append(signals.c.severity_rank >= signal_filter.min_severity.rank)
    if signal_filter.conversation_id:
        conditions.append(signals.c.conversation_id == signal_filter.conversation_id)
    if signal_filter.customer_id:
        conditions.append(contacts.c.customer_id == signal_filter.customer_id)
    if signal_filter.raised_from is not None:
        conditions.append(signals.c.raised_at >= signal_filter.raised_from)
    if signal_filter.raised_before is not None:
        conditions.append(signals.c.raised_at < signal_filter.raised_before)
    return conditions


def _contact_upsert(database: Database) -> Insert:
    """Inserts a contact, or adds what was unknown of it."""
    insert = database.insert(contacts)
    new = insert.excluded
    names = ("customer_id", "channel", "language")
    return insert.on_conflict_do_update(
        index_elements=[contacts.c.tenant, contacts.c.conversation_id],
        set_={name: func.coalesce(func.nullif(new[name], ""), contacts.c[name]) for name in names},
        where=or_(*(and_(new[name] != "", new[name] != contacts.c[name]) for name in names)),
    )


def _signal_upsert(database: Database) -> Insert:
    """Inserts signals, or replaces what they were."""
    insert = database.insert(signals)
    return insert.on_conflict_do_update(
        index_elements=[signals.c.tenant, signals.c.signal_id],
        set_={
            column.name: insert.excluded[column.name]
            for column in signals.c
            if not column.primary_key
        },
    )


async def _past(connection: AsyncConnection, contact: Contact) -> CustomerPast | None:
    if not contact.customer_id:
        return None
    is_earlier = and_(
        contacts.c.tenant == contact.tenant,
        contacts.c.customer_id == contact.customer_id,
        contacts.c.conversation_id != contact.conversation_id,
        contacts.c.started_at <= contact.started_at,
    )
    earlier = (
        await connection.execute(
            select(contacts.c.started_at, contacts.c.outcome)
            .where(is_earlier)
            .order_by(contacts.c.started_at.desc(), contacts.c.conversation_id.desc())
            .limit(MAX_PAST_CONTACTS)
        )
    ).all()
    causes = await connection.scalars(
        select(signals.c.cause)
        .join_from(signals, contacts)
        .where(is_earlier, signals.c.ended_at.is_(None))
        .distinct()
        .order_by(signals.c.cause)
    )
    return CustomerPast(
        contact_days=tuple((contact.started_at - row.started_at) / _DAY for row in earlier),
        last_outcome=earlier[0].outcome if earlier else "",
        open_causes=tuple(causes),
    )


async def _load(
    connection: AsyncConnection, tenant: str, signal_ids: Collection[str]
) -> dict[str, StoredSignal]:
    rows = await connection.execute(
        select_signals().where(signals.c.tenant == tenant, signals.c.signal_id.in_(signal_ids))
    )
    return {row.signal_id: stored_signal(row) for row in rows}


async def _require(connection: AsyncConnection, tenant: str, signal_id: str) -> StoredSignal:
    stored = (await _load(connection, tenant, [signal_id])).get(signal_id)
    if stored is None:
        raise SignalNotFoundError(
            "there is no signal of this id; it may have been deleted when its retention ended"
        )
    return stored


def _next_event(
    event: SignalEvent, stored: StoredSignal, *, position: int, at: datetime
) -> StoredEvent:
    """Return an event of a signal that stands as `stored`."""
    ended_at = None if event.signal.state.is_open else stored.ended_at or at
    signal = replace(
        stored, signal=event.signal, updated_at=at, ended_at=ended_at, position=position
    )
    return StoredEvent(
        position=position, event_id=event.event_id, kind=event.kind, at=at, signal=signal
    )
