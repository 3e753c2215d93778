"""Which actions an event of a signal asks for.

Pure, so that the store plans inside the transaction that records the event: neither is ever kept
without the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from moodline.actions.message import action_message
from moodline.signals.domain import Signal, SignalEventKind


class PlannedSignal(Protocol):
    """What planning reads of a signal that is kept; its quotes are masked."""

    @property
    def tenant(self) -> str:
        """Whose it is."""

    @property
    def signal(self) -> Signal:
        """The signal, with masked quotes."""

    @property
    def channel(self) -> str:
        """As `Conversation.channel`."""

    @property
    def language(self) -> str:
        """BCP-47 tag of the conversation."""

    @property
    def customer_id(self) -> str:
        """Who the customer is; empty if unknown."""


class PlannedEvent(Protocol):
    """What planning reads of an event that is being recorded."""

    @property
    def event_id(self) -> str:
        """As `SignalEvent.event_id`."""

    @property
    def kind(self) -> SignalEventKind:
        """What happened."""

    @property
    def at(self) -> datetime:
        """When, in UTC."""

    @property
    def signal(self) -> PlannedSignal:
        """The signal as it stood afterwards."""


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """Something to be done.

    Attributes:
        idempotency_key: The same whenever the same thing is planned again; unique among tenants.
        kind: As `rules.model.Action.kind`.
        target: As `rules.model.Action.target`.
        payload: What the receiver is told, as JSON; see `message.ActionMessage`.
    """

    idempotency_key: str
    kind: str
    target: str
    payload: Mapping[str, Any]


def plan_actions(event: PlannedEvent) -> tuple[PlannedAction, ...]:
    """Return what an event asks for, in the order of the rule.

    A signal that is raised asks for the actions of its rule; one that a more severe rule has taken
    over asks for those of that rule. An update asks for them every time: of two actions with one
    key only the first is kept, so that a signal does each of its actions once.
    """
    if event.kind not in (SignalEventKind.RAISED, SignalEventKind.UPDATED):
        return ()
    stored = event.signal
    planned = {}
    for action in stored.signal.actions:
        key = idempotency_key(
            stored.tenant, stored.signal.signal_id, kind=action.kind, target=action.target
        )
        planned[key] = PlannedAction(
            idempotency_key=key,
            kind=action.kind,
            target=action.target,
            payload=action_message(
                action,
                idempotency_key=key,
                event_kind=event.kind,
                at=event.at,
                tenant=stored.tenant,
                signal=stored.signal,
                channel=stored.channel,
                language=stored.language,
                customer_id=stored.customer_id,
            ),
        )
    return tuple(planned.values())


def idempotency_key(tenant: str, signal_id: str, *, kind: str, target: str) -> str:
    """Return the key of one action of one signal, 32 hexadecimal digits.

    The tenant is part of it because tenants may name their conversations alike, and so their
    signals, and may share a receiver.
    """
    identity = json.dumps([tenant, signal_id, kind, target])
    return hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
