"""Contacts, signals and events for tests of the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from moodline.rules.evaluation import Contribution, Quote
from moodline.rules.model import Action, Reason, Route, Severity
from moodline.signals.domain import (
    Moment,
    Signal,
    SignalEvent,
    SignalEventKind,
    SignalState,
)
from moodline.signals.lifecycle import signal_id
from moodline.store.records import Contact

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
TENANT = "acme"
ACTIONS = (Action(kind="task", target="callbacks"), Action(kind="webhook", target="crm"))


def after(**duration: float) -> datetime:
    return NOW + timedelta(**duration)


def contact(conversation_id: str = "c1", **fields: Any) -> Contact:
    values = {"customer_id": "", "channel": "chat", "language": "tr", "started_at": NOW}
    return Contact(**{"tenant": TENANT, "conversation_id": conversation_id, **values, **fields})


def signal(conversation_id: str = "c1", cause: str = "churn", **fields: Any) -> Signal:
    ordinal = fields.pop("ordinal", 1)
    values: dict[str, Any] = {
        "signal_id": signal_id(conversation_id, cause, ordinal),
        "conversation_id": conversation_id,
        "cause": cause,
        "ordinal": ordinal,
        "state": SignalState.RAISED,
        "severity": Severity.HIGH,
        "rule_id": "wants_to_leave",
        "reason": Reason.CHURN_RISK,
        "explanation": {"en": "Wants to leave", "tr": "Ayrılmak istiyor", "ar": "يريد المغادرة"},
        "next_best_action": {"en": "Offer the retention plan"},
        "route": Route.RETENTION,
        "actions": ACTIONS,
        "probability": 0.75,
        "peak_probability": 0.8125,
        "contributions": (Contribution(2, "t2", 0.25), Contribution(3, "", 0.75)),
        "quotes": (Quote(3, "", 0, 21, "aboneliği iptal \0 edin", "phrase"),),
        "raised": Moment(3, 12_000),
        "updated": Moment(3, 12_000),
        "expire_after_s": 3_600,
        "rule_set_digest": "rules-1",
        "model_version": "moodline-base 1",
        "configuration_digest": "configuration-1",
    }
    return Signal(**{**values, **fields})


def raised(*args: str, **fields: Any) -> SignalEvent:
    made = signal(*args, **fields)
    return SignalEvent(SignalEventKind.RAISED, made, made.raised)


def updated(made: Signal, turn_index: int, **fields: Any) -> SignalEvent:
    moment = Moment(turn_index)
    changed = replace(made, updated=moment, **fields)
    return SignalEvent(SignalEventKind.UPDATED, changed, moment)


def cleared(made: Signal, turn_index: int) -> SignalEvent:
    moment = Moment(turn_index)
    over = replace(made, state=SignalState.CLEARED, updated=moment, ended=moment)
    return SignalEvent(SignalEventKind.CLEARED, over, moment)
