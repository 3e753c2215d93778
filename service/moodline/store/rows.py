"""Signals and their events as rows of tables, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, Select, select

from moodline.actions.plan import PlannedAction
from moodline.errors import StoreError
from moodline.signals.domain import Signal, SignalEventKind
from moodline.signals.json_form import FORMAT, signal_from_json, signal_to_json
from moodline.store.records import Contact, StoredEvent, StoredSignal
from moodline.store.tables import ActionState, contacts, signal_events, signals

_CONTACT: Final = (contacts.c.channel, contacts.c.language, contacts.c.customer_id)


def select_signals() -> Select[Any]:
    """Select what `stored_signal` reads."""
    return select(signals, *_CONTACT).join_from(signals, contacts)


def select_events() -> Select[Any]:
    """Select what `stored_event` reads."""
    return (
        select(signal_events, signals.c.raised_at, signals.c.comment, *_CONTACT)
        .join_from(signal_events, signals)
        .join(contacts)
    )


def stored_signal(row: Row[Any]) -> StoredSignal:
    """Return the signal of a row of `select_signals`.

    Raises:
        StoreError: If a newer program has written it.
    """
    return _standing(row, updated_at=row.updated_at)


def stored_event(row: Row[Any]) -> StoredEvent:
    """Return the event of a row of `select_events`.

    Raises:
        StoreError: If a newer program has written it.
    """
    return StoredEvent(
        position=row.position,
        event_id=row.event_id,
        kind=SignalEventKind(row.kind),
        at=row.at,
        signal=_standing(row, updated_at=row.at),
    )


def contact_row(contact: Contact) -> Mapping[str, Any]:
    """Return the row of a contact that has not ended."""
    return {
        "tenant": contact.tenant,
        "conversation_id": contact.conversation_id,
        "customer_id": contact.customer_id,
        "channel": contact.channel,
        "language": contact.language,
        "started_at": contact.started_at,
        "outcome": "",
        "ended_at": None,
    }


def signal_row(stored: StoredSignal) -> Mapping[str, Any]:
    """Return the row of a signal."""
    signal = stored.signal
    return {
        "tenant": stored.tenant,
        "signal_id": signal.signal_id,
        "conversation_id": signal.conversation_id,
        "cause": signal.cause,
        "state": signal.state.value,
        "severity_rank": signal.severity.rank,
        "reason": signal.reason.value,
        "route": "" if signal.route is None else signal.route.value,
        "raised_at": stored.raised_at,
        "updated_at": stored.updated_at,
        "ended_at": stored.ended_at,
        "expires_at": stored.raised_at + timedelta(seconds=signal.expire_after_s),
        "position": stored.position,
        "comment": stored.comment,
        "format": FORMAT,
        "signal": signal_to_json(signal),
    }


def event_row(event: StoredEvent) -> Mapping[str, Any]:
    """Return the row of an event."""
    return {
        "tenant": event.signal.tenant,
        "position": event.position,
        "event_id": event.event_id,
        "kind": event.kind.value,
        "at": event.at,
        "signal_id": event.signal.signal.signal_id,
        "ended_at": event.signal.ended_at,
        "format": FORMAT,
        "signal": signal_to_json(event.signal.signal),
    }


def action_row(event: StoredEvent, action: PlannedAction) -> Mapping[str, Any]:
    """Return the row of an action that an event asks for, due at once."""
    return {
        "tenant": event.signal.tenant,
        "idempotency_key": action.idempotency_key,
        "kind": action.kind,
        "target": action.target,
        "signal_id": event.signal.signal.signal_id,
        "event_id": event.event_id,
        "payload": action.payload,
        "state": ActionState.PENDING.value,
        "attempt_count": 0,
        "created_at": event.at,
        "queued_at": event.at,
        "next_attempt_at": event.at,
        "lease_owner": "",
        "last_error": "",
    }


def _standing(row: Row[Any], *, updated_at: datetime) -> StoredSignal:
    return StoredSignal(
        tenant=row.tenant,
        signal=_signal(row),
        channel=row.channel,
        language=row.language,
        customer_id=row.customer_id,
        raised_at=row.raised_at,
        updated_at=updated_at,
        ended_at=row.ended_at,
        position=row.position,
        comment=row.comment,
    )


def _signal(row: Row[Any]) -> Signal:
    if row.format > FORMAT:
        raise StoreError(
            f"a signal is kept in format {row.format}, which this program does not know; it knows "
            f"up to {FORMAT}: start the newer program that wrote it"
        )
    return signal_from_json(row.signal)
