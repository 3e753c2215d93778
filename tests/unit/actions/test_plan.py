"""A signal asks for each of its actions once, however often its events are planned."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from moodline.actions.message import ActionMessage
from moodline.actions.plan import plan_actions
from moodline.rules.evaluation import Contribution, Quote
from moodline.rules.model import Action, Reason, Route, Severity
from moodline.signals.domain import Moment, Signal, SignalEventKind, SignalState
from scripts import actions_doc

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROUTE = Action(kind="route", target="fraud")
HOOK = Action(kind="webhook")
SIGNAL = Signal(
    signal_id="s1",
    conversation_id="c1",
    cause="fraud",
    ordinal=1,
    state=SignalState.RAISED,
    severity=Severity.HIGH,
    rule_id="fraud",
    reason=Reason.FRAUD,
    explanation={"en": "Somebody else used the account."},
    next_best_action={},
    route=Route.FRAUD,
    actions=(ROUTE, HOOK),
    probability=0.9,
    peak_probability=0.9,
    contributions=(Contribution(2, "t2", 1.0),),
    quotes=(Quote(2, "t2", 0, 12, "kartım [CARD]", "phrase"),),
    raised=Moment(2, 4_000),
    updated=Moment(2, 4_000),
    expire_after_s=3600,
    rule_set_digest="r",
    model_version="m",
    configuration_digest="c",
)


@dataclass(frozen=True)
class Kept:
    signal: Signal = SIGNAL
    tenant: str = "acme"
    channel: str = "chat"
    language: str = "tr"
    customer_id: str = "k7"


@dataclass(frozen=True)
class Event:
    signal: Kept = Kept()
    kind: SignalEventKind = SignalEventKind.RAISED
    at: datetime = AT
    event_id: str = "s1-raised-2"


def keys(event: Event) -> list[str]:
    return [action.idempotency_key for action in plan_actions(event)]


def test_a_raised_signal_asks_for_all_actions_of_its_rule() -> None:
    planned = plan_actions(Event())
    assert [(action.kind, action.target) for action in planned] == [
        ("route", "fraud"),
        ("webhook", ""),
    ]
    assert len(set(keys(Event()))) == 2


def test_an_updated_signal_asks_for_the_same_again_under_the_same_keys() -> None:
    later = replace(SIGNAL, updated=Moment(5), probability=0.99)
    assert keys(Event(Kept(later), SignalEventKind.UPDATED)) == keys(Event())


def test_a_more_severe_rule_adds_only_what_the_signal_has_not_done() -> None:
    worse = replace(
        SIGNAL,
        severity=Severity.CRITICAL,
        actions=(ROUTE, Action(kind="route", target="supervisor")),
    )
    updated = keys(Event(Kept(worse), SignalEventKind.UPDATED))
    assert updated[0] == keys(Event())[0]
    assert updated[1] not in keys(Event())


@pytest.mark.parametrize(
    "kind", set(SignalEventKind) - {SignalEventKind.RAISED, SignalEventKind.UPDATED}
)
def test_other_events_ask_for_nothing(kind: SignalEventKind) -> None:
    assert plan_actions(Event(kind=kind)) == ()


def test_an_action_named_twice_is_planned_once() -> None:
    assert len(plan_actions(Event(Kept(replace(SIGNAL, actions=(HOOK, HOOK)))))) == 1


def test_equal_conversations_of_two_tenants_share_no_key() -> None:
    assert not set(keys(Event(Kept(tenant="other")))) & set(keys(Event()))


def test_the_payload_is_json_and_says_what_the_receiver_needs() -> None:
    action = plan_actions(Event())[0]
    payload = json.loads(json.dumps(action.payload))
    assert payload["version"] == 1
    assert payload["type"] == "action.route"
    assert payload["timestamp"] == "2026-03-01T12:00:00Z"
    data = payload["data"]
    assert data["tenant"] == "acme"
    assert data["event"] == "RAISED"
    assert data["action"] == {
        "idempotency_key": action.idempotency_key,
        "kind": "route",
        "target": "fraud",
    }
    assert data["conversation"] == {
        "conversation_id": "c1",
        "customer_id": "k7",
        "channel": "chat",
        "language": "tr",
    }
    signal = data["signal"]
    assert signal["severity"] == "high"
    assert signal["route"] == "fraud"
    assert signal["raised"] == {"turn_index": 2, "offset_ms": 4000}
    assert signal["quotes"][0]["text"] == "kartım [CARD]"
    assert signal["contributions"] == [{"turn_index": 2, "turn_id": "t2", "share": 1.0}]
    ActionMessage.model_validate(payload)


def test_the_message_of_the_docs_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "actions.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    ActionMessage.model_validate_json(example)


def test_the_schema_for_receivers_is_current() -> None:
    assert actions_doc.SCHEMA.read_text(encoding="utf-8") == actions_doc.schema()
