"""Signals in the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, select, tuple_

from moodline.actions.plan import plan_actions
from moodline.errors import SignalNotFoundError
from moodline.rules.history import CustomerPast
from moodline.signals.domain import Outcome, SignalEvent, SignalEventKind, SignalState
from moodline.signals.lifecycle import acknowledge, expire, rebase, resolve
from moodline.store import statements
from moodline.store.database import Database
from moodline.store.records import (
    BegunContact,
    Contact,
    Page,
    PageKey,
    SignalFilter,
    StoredEvent,
    StoredSignal,
)
from moodline.store.rows import (
    action_row,
    contact_row,
    event_row,
    select_signals,
    signal_row,
    stored_event,
    stored_signal,
)
from moodline.store.tables import ActionState, actions, contacts, signals

__all__ = [
    "BegunContact",
    "Contact",
    "Page",
    "PageKey",
    "SignalFilter",
    "SignalStore",
    "StoredEvent",
    "StoredSignal",
]

POLL_S: Final = 5.0
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
        self._inserts = statements.Inserts(database.insert)

    async def begin(self, contact: Contact) -> BegunContact:
        """Record a contact, once, and return what is known of its customer from before it."""
        return await self._database.write(lambda connection: self._begin(connection, contact))

    async def past(self, contact: Contact) -> CustomerPast | None:
        """Return what is known of a contact's customer from before it, recording nothing.

        Returns:
            None if the contact names no customer.
        """
        return await self._database.read(lambda connection: _past(connection, contact))

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
        return await self._database.write(
            lambda connection: self._record(connection, contact, events, at), tenant=contact.tenant
        )

    async def end(self, contact: Contact, *, outcome: str, at: datetime) -> None:
        """Record how a contact ended, e.g. `resolved`; empty if unknown."""
        row = {**contact_row(contact), "outcome": outcome, "ended_at": at}

        def work(connection: Connection) -> None:
            connection.execute(self._inserts.ended_contact, row)

        await self._database.write(work)

    async def get(self, tenant: str, signal_id: str) -> StoredSignal | None:
        """Return a signal; None if the tenant has none of this id."""
        found = await self._database.read(lambda connection: _load(connection, tenant, [signal_id]))
        return found.get(signal_id)

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
        found = await self._database.read(
            lambda connection: [stored_signal(row) for row in connection.execute(query)]
        )
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

        def work(connection: Connection) -> StoredSignal:
            last_position = self._lock(connection, tenant)
            stored = _require(connection, tenant, signal_id)
            if stored.signal.state is SignalState.ACKNOWLEDGED:
                return stored
            event = _next_event(
                acknowledge(stored.signal, by=by), stored, position=last_position + 1, at=at
            )
            self._write(connection, [event])
            return event.signal

        return await self._database.write(work, tenant=tenant)

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

        def work(connection: Connection) -> StoredSignal:
            last_position = self._lock(connection, tenant)
            stored = _require(connection, tenant, signal_id)
            happened = resolve(stored.signal, outcome=outcome, by=by)
            if stored.signal.state is SignalState.RESOLVED:
                return stored
            event = _next_event(
                happened, replace(stored, comment=comment), position=last_position + 1, at=at
            )
            self._write(connection, [event])
            return event.signal

        return await self._database.write(work, tenant=tenant)

    async def expire_due(self, *, at: datetime, limit: int) -> int:
        """Expire open signals that are older than their rules let them be.

        Returns:
            How many this call expired, at most `limit`; each is expired once among replicas.
        """
        is_due = and_(signals.c.ended_at.is_(None), signals.c.expires_at <= at)
        due_first = (
            select(signals.c.tenant, signals.c.signal_id)
            .where(is_due)
            .order_by(signals.c.expires_at)
            .limit(limit)
        )
        due = await self._database.read(lambda connection: connection.execute(due_first).all())
        count = 0
        by_tenant = attrgetter("tenant")
        for tenant, rows in groupby(sorted(due, key=by_tenant), by_tenant):
            # Another replica, or people, may have been faster.
            still_due = (
                select_signals()
                .where(
                    signals.c.tenant == tenant,
                    signals.c.signal_id.in_([row.signal_id for row in rows]),
                    is_due,
                )
                .order_by(signals.c.expires_at)
            )
            work = partial(self._expire, tenant=tenant, due=still_due, at=at)
            count += await self._database.write(work, tenant=tenant)
        return count

    async def events_after(
        self, tenant: str, position: int, *, limit: int
    ) -> Sequence[StoredEvent]:
        """Return the events behind a position, in order; none ever appears behind one read."""

        def work(connection: Connection) -> Sequence[StoredEvent]:
            return _events(connection, tenant, position, limit=limit)

        return await self._database.read(work)

    async def last_position(self, tenant: str) -> int:
        """Return the position of the latest event; 0 before the first."""
        return await self._database.read(lambda connection: _last_position(connection, tenant))

    async def watch(
        self,
        tenant: str,
        position: int,
        *,
        kinds: Collection[SignalEventKind] = (),
        rest_s: float = 0.0,
    ) -> AsyncGenerator[StoredEvent, None]:
        """Give every event behind a position, then those to come, of all replicas, for ever.

        Args:
            tenant: Whose.
            position: Of the last event seen.
            kinds: Give these alone; empty for all.
            rest_s: How long to wait after being woken, so that what comes together is read once.

        Raises:
            StoreUnavailableError: If the database fails or is closed; watch again from the last
                position seen.
        """
        with self._database.notices.subscribe(tenant) as woken:
            while True:
                # Before looking: what comes meanwhile wakes again.
                woken.clear()
                work = partial(_look, tenant=tenant, position=position, kinds=kinds)
                events, position = await self._database.read(work)
                for event in events:
                    yield event
                if not events:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._poll_s):
                            await woken.wait()
                    await asyncio.sleep(rest_s)

    async def purge(self, *, before: datetime) -> int:
        """Delete signals that ended before then, and contacts from before then that have none.

        Signals whose actions are still to be done stay until they are.

        Returns:
            How many signals and contacts were deleted.
        """
        every = select(contacts.c.tenant).distinct()
        tenants = await self._database.read(lambda connection: connection.scalars(every).all())
        count = 0
        for tenant in tenants:
            # In pieces, so that others may write between them.
            work = partial(self._purge_some, tenant=tenant, before=before)
            while deleted := await self._database.write(work):
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
        of_customer = delete(contacts).where(
            contacts.c.tenant == tenant, contacts.c.customer_id == customer_id
        )

        def work(connection: Connection) -> int:
            self._lock(connection, tenant)
            return connection.execute(of_customer).rowcount

        return await self._database.write(work)

    def _begin(self, connection: Connection, contact: Contact) -> BegunContact:
        kept, is_new = self._keep_contact(connection, contact)
        known = replace(contact, customer_id=kept.customer_id, started_at=kept.started_at)
        return BegunContact(is_new, _past(connection, known))

    def _record(
        self, connection: Connection, contact: Contact, events: Sequence[SignalEvent], at: datetime
    ) -> Sequence[StoredEvent]:
        last_position = self._lock(connection, contact.tenant)
        kept, _ = self._keep_contact(connection, contact)
        return self._append(connection, kept, events, last_position=last_position, at=at)

    def _expire(
        self, connection: Connection, *, tenant: str, due: Select[Any], at: datetime
    ) -> int:
        last_position = self._lock(connection, tenant)
        stored_due = [stored_signal(row) for row in connection.execute(due)]
        self._write(
            connection,
            [
                _next_event(expire(stored.signal), stored, position=position, at=at)
                for position, stored in enumerate(stored_due, last_position + 1)
            ],
        )
        return len(stored_due)

    def _lock(self, connection: Connection, tenant: str) -> int:
        """Let no other transaction write signals of the tenant; return its last position."""
        key = {"of_tenant": tenant}
        position: int | None = connection.scalar(statements.LOCKED_POSITION, key)
        if position is None:
            # Others may insert it at the same time, and then be first.
            connection.execute(self._inserts.position, {"tenant": tenant, "last_position": 0})
            position = connection.scalar(statements.LOCKED_POSITION, key)
        assert position is not None
        return position

    def _keep_contact(self, connection: Connection, contact: Contact) -> tuple[Row[Any], bool]:
        """Insert a contact, or add what was unknown of it.

        Returns:
            The contact as it is kept, and whether it is new.
        """
        key = {"of_tenant": contact.tenant, "of_conversation": contact.conversation_id}
        before = connection.execute(statements.CONTACT, key).one_or_none()
        if before is not None and not _adds(contact, before):
            return before, False
        connection.execute(self._inserts.contact, contact_row(contact))
        return connection.execute(statements.CONTACT, key).one(), before is None

    def _append(
        self,
        connection: Connection,
        contact: Row[Any],
        events: Sequence[SignalEvent],
        *,
        last_position: int,
        at: datetime,
    ) -> Sequence[StoredEvent]:
        tenant: str = contact.tenant
        ids = {event.signal.signal_id for event in events}
        current = _load(connection, tenant, ids)
        # What is not stored has no events.
        key = {"of_tenant": tenant, "ids": [*current]}
        known = set(connection.scalars(statements.EVENT_IDS_OF_SIGNALS, key)) if current else set()
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
                    channel=contact.channel,
                    language=contact.language,
                    customer_id=contact.customer_id,
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
        self._write(connection, new)
        return tuple(new)

    def _write(self, connection: Connection, events: Sequence[StoredEvent]) -> None:
        """Write new events of one tenant, in order, what they make of signals, and actions."""
        if not events:
            return
        latest = {event.signal.signal.signal_id: signal_row(event.signal) for event in events}
        connection.execute(self._inserts.signals, [*latest.values()])
        connection.execute(statements.INSERT_EVENTS, [event_row(event) for event in events])
        planned = [action_row(event, action) for event in events for action in plan_actions(event)]
        if planned:
            connection.execute(self._inserts.actions, planned)
        moved = {"of_tenant": events[0].signal.tenant, "to": events[-1].position}
        connection.execute(statements.MOVE_POSITION, moved)

    def _purge_some(self, connection: Connection, *, tenant: str, before: datetime) -> int:
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
        self._lock(connection, tenant)
        deleted = 0
        for table, key, chosen in (
            (signals, signals.c.signal_id, over),
            (contacts, contacts.c.conversation_id, empty),
        ):
            ids = connection.scalars(chosen).all()
            if ids:
                connection.execute(delete(table).where(table.c.tenant == tenant, key.in_(ids)))
            deleted += len(ids)
        return deleted


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


def _adds(contact: Contact, kept: Row[Any]) -> bool:
    """Tell whether a contact says something that is not kept yet."""
    said = (contact.customer_id, contact.channel, contact.language)
    known = (kept.customer_id, kept.channel, kept.language)
    return any(new and new != old for new, old in zip(said, known, strict=True))


def _past(connection: Connection, contact: Contact) -> CustomerPast | None:
    if not contact.customer_id:
        return None
    key = {
        "of_tenant": contact.tenant,
        "of_customer": contact.customer_id,
        "of_conversation": contact.conversation_id,
        "until": contact.started_at,
    }
    earlier = connection.execute(statements.EARLIER_CONTACTS, key).all()
    if not earlier:
        return CustomerPast()
    return CustomerPast(
        contact_days=tuple((contact.started_at - row.started_at) / _DAY for row in earlier),
        last_outcome=earlier[0].outcome,
        open_causes=tuple(connection.scalars(statements.OPEN_CAUSES, key)),
    )


def _last_position(connection: Connection, tenant: str) -> int:
    return connection.scalar(statements.LAST_POSITION, {"of_tenant": tenant}) or 0


def _events(
    connection: Connection,
    tenant: str,
    position: int,
    *,
    limit: int,
    kinds: Collection[SignalEventKind] = (),
) -> tuple[StoredEvent, ...]:
    key: dict[str, Any] = {"of_tenant": tenant, "after": position, "row_limit": limit}
    query = statements.EVENTS_AFTER
    if kinds:
        query, key["kinds"] = statements.EVENTS_OF_KINDS_AFTER, [kind.value for kind in kinds]
    return tuple(stored_event(row) for row in connection.execute(query, key))


def _look(
    connection: Connection, *, tenant: str, position: int, kinds: Collection[SignalEventKind]
) -> tuple[tuple[StoredEvent, ...], int]:
    """Return the next events, and up to which position no other one is wanted."""
    # First, for events that come in between are behind it.
    last_position = _last_position(connection, tenant)
    if last_position <= position:
        return (), position
    events = _events(connection, tenant, position, limit=_WATCH_EVENTS, kinds=kinds)
    if len(events) == _WATCH_EVENTS:
        return events, events[-1].position
    return events, max([last_position, *(event.position for event in events[-1:])])


def _load(
    connection: Connection, tenant: str, signal_ids: Collection[str]
) -> dict[str, StoredSignal]:
    key = {"of_tenant": tenant, "ids": [*signal_ids]}
    rows = connection.execute(statements.SIGNALS_OF_IDS, key)
    return {row.signal_id: stored_signal(row) for row in rows}


def _require(connection: Connection, tenant: str, signal_id: str) -> StoredSignal:
    stored = _load(connection, tenant, [signal_id]).get(signal_id)
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
