"""What is recorded stays, once, with what people did to it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import StatementError

from moodline.errors import SignalNotFoundError, SignalStateError
from moodline.rules.history import CustomerPast
from moodline.rules.model import Action, Reason, Route, Severity
from moodline.signals.domain import Moment, Outcome, SignalEventKind, SignalState
from moodline.signals.lifecycle import expire
from moodline.store.records import PageKey, SignalFilter, StoredEvent, StoredSignal
from moodline.store.signals import SignalStore
from moodline.store.tables import actions, contacts, signal_events, signals
from tests.integration.store.conftest import OpenDatabase, OpenStore
from tests.integration.store.making import (
    ACTIONS,
    NOW,
    TENANT,
    after,
    cleared,
    contact,
    raised,
    signal,
    updated,
)


async def rows_of(open_database: OpenDatabase) -> dict[str, int]:
    """How many rows each table has."""

    def work(connection: Connection) -> dict[str, int]:
        tables = (contacts, signals, signal_events, actions)
        return {table.name: len(connection.execute(table.select()).all()) for table in tables}

    return await (await open_database()).read(work)


async def kept(store: SignalStore, signal_id: str, tenant: str = TENANT) -> StoredSignal:
    stored = await store.get(tenant, signal_id)
    assert stored is not None
    return stored


async def all_events(store: SignalStore, tenant: str = TENANT) -> list[StoredEvent]:
    return list(await store.events_after(tenant, 0, limit=10_000))


async def test_a_signal_comes_back_as_it_was_recorded(store: SignalStore) -> None:
    event = raised()
    (recorded,) = await store.record(contact(customer_id="u1"), [event], at=NOW)
    assert recorded.event_id == event.event_id
    assert recorded.signal == StoredSignal(
        tenant=TENANT,
        signal=event.signal,
        channel="chat",
        language="tr",
        customer_id="u1",
        raised_at=NOW,
        updated_at=NOW,
        ended_at=None,
        position=recorded.position,
    )
    assert await kept(store, event.signal.signal_id) == recorded.signal
    assert await all_events(store) == [recorded]


async def test_events_that_are_sent_again_are_recorded_once(
    store: SignalStore, open_database: OpenDatabase
) -> None:
    first = raised()
    events = [first, updated(first.signal, 5, probability=0.9), cleared(first.signal, 8)]
    recorded = await store.record(contact(), events[:2], at=NOW)
    again = await store.record(contact(), events, at=after(minutes=1))
    assert [event.kind for event in again] == [SignalEventKind.CLEARED]
    assert await store.record(contact(), events, at=after(minutes=2)) == ()
    assert await all_events(store) == [*recorded, *again]
    assert (await rows_of(open_database))["actions"] == len(ACTIONS)


async def test_a_signal_that_is_raised_twice_is_updated(store: SignalStore) -> None:
    """Another model reads the conversation again and sees the same cause a turn later."""
    first = raised()
    later = raised(raised=Moment(4), updated=Moment(4), probability=0.5)
    await store.record(contact(), [first], at=NOW)
    (event,) = await store.record(contact(), [later], at=after(minutes=1))
    assert event.kind is SignalEventKind.UPDATED
    assert event.signal.raised_at == NOW
    assert event.signal.signal.raised == first.signal.raised
    assert await store.record(contact(), [first, later], at=after(minutes=2)) == ()


async def test_nothing_of_a_call_is_kept_if_a_part_of_it_cannot_be(
    store: SignalStore, open_database: OpenDatabase
) -> None:
    broken = raised(cause="other", expire_after_s=10**12)
    with pytest.raises(OverflowError):
        await store.record(contact(), [raised(), broken], at=NOW)
    assert set((await rows_of(open_database)).values()) == {0}


async def test_what_people_did_outlives_what_the_conversation_says(store: SignalStore) -> None:
    event = raised()
    await store.record(contact(), [event], at=NOW)
    taken = await store.acknowledge(TENANT, event.signal.signal_id, by="ada", at=after(seconds=1))
    assert (taken.signal.state, taken.signal.acknowledged_by) == (SignalState.ACKNOWLEDGED, "ada")
    told = updated(event.signal, 6, severity=Severity.CRITICAL)
    await store.record(contact(), [told], at=after(seconds=2))
    stored = await kept(store, event.signal.signal_id)
    assert stored.signal.severity is Severity.CRITICAL
    assert (stored.signal.state, stored.signal.acknowledged_by) == (SignalState.ACKNOWLEDGED, "ada")
    await store.resolve(
        TENANT, event.signal.signal_id, outcome=Outcome.WRONG, by="ada", comment="", at=NOW
    )
    assert await store.record(contact(), [cleared(event.signal, 9)], at=after(seconds=3)) == ()


async def test_the_first_who_takes_note_or_resolves_stays(store: SignalStore) -> None:
    event = raised()
    sid = event.signal.signal_id
    await store.record(contact(), [event], at=NOW)
    first = await store.acknowledge(TENANT, sid, by="ada", at=after(seconds=1))
    assert await store.acknowledge(TENANT, sid, by="bob", at=after(seconds=2)) == first
    right: dict[str, Any] = {"outcome": Outcome.RIGHT, "at": after(seconds=3)}
    resolved = await store.resolve(TENANT, sid, by="ada", comment="called back", **right)
    assert (resolved.comment, resolved.ended_at) == ("called back", after(seconds=3))
    assert await store.resolve(TENANT, sid, by="bob", comment="me too", **right) == resolved
    with pytest.raises(SignalStateError):
        await store.resolve(TENANT, sid, outcome=Outcome.WRONG, by="bob", comment="", at=NOW)
    with pytest.raises(SignalStateError):
        await store.acknowledge(TENANT, sid, by="bob", at=NOW)
    assert [e.kind.value for e in await all_events(store)] == ["RAISED", "ACKNOWLEDGED", "RESOLVED"]


async def test_feedback_on_a_signal_that_is_over_keeps_when_it_ended(store: SignalStore) -> None:
    event = raised()
    await store.record(contact(), [event, cleared(event.signal, 5)], at=NOW)
    resolved = await store.resolve(
        TENANT,
        event.signal.signal_id,
        outcome=Outcome.TOO_LATE,
        by="ada",
        comment="",
        at=after(days=1),
    )
    assert (resolved.ended_at, resolved.updated_at) == (NOW, after(days=1))


@pytest.mark.parametrize("tenant", ["acme", "other"])
async def test_a_signal_of_nobody_or_of_another_tenant_is_not_found(
    store: SignalStore, tenant: str
) -> None:
    await store.record(contact(tenant="third"), [raised()], at=NOW)
    sid = signal().signal_id
    assert await store.get(tenant, sid) is None
    with pytest.raises(SignalNotFoundError):
        await store.acknowledge(tenant, sid, by="ada", at=NOW)
    with pytest.raises(SignalNotFoundError):
        await store.resolve(tenant, sid, outcome=Outcome.RIGHT, by="ada", comment="", at=NOW)


async def test_each_action_of_a_signal_is_planned_once(
    store: SignalStore, open_database: OpenDatabase
) -> None:
    event = raised()
    more = (*ACTIONS, Action(kind="route", target="retention"))
    worse = updated(event.signal, 5, severity=Severity.CRITICAL, actions=more)
    await store.record(contact(), [event], at=NOW)
    await store.record(contact(), [worse], at=after(seconds=5))
    by_time = actions.select().order_by(actions.c.queued_at)
    database = await open_database()
    planned = await database.read(lambda connection: connection.execute(by_time).all())
    assert [(row.kind, row.created_at) for row in planned] == [
        ("task", NOW),
        ("webhook", NOW),
        ("route", after(seconds=5)),
    ]
    assert {(row.state, row.attempt_count, row.signal_id) for row in planned} == {
        ("pending", 0, event.signal.signal_id)
    }
    assert planned[0].payload["data"]["conversation"]["conversation_id"] == "c1"


async def test_tenants_may_name_their_conversations_alike(store: SignalStore) -> None:
    for tenant in ("a", "b"):
        (event,) = await store.record(contact(tenant=tenant), [raised()], at=NOW)
        assert event.position == 1
    await store.acknowledge("a", signal().signal_id, by="ada", at=NOW)
    assert (await kept(store, signal().signal_id, "b")).signal.state is SignalState.RAISED


async def test_times_of_any_zone_are_kept_and_those_without_are_refused(store: SignalStore) -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
    (event,) = await store.record(contact(), [raised()], at=there)
    assert (await kept(store, event.signal.signal.signal_id)).raised_at == NOW
    with pytest.raises(StatementError, match="time zone"):
        await store.record(contact("c2"), [raised("c2")], at=datetime(2026, 1, 1))  # noqa: DTZ001


async def test_pages_hold_every_signal_once_while_others_are_raised(store: SignalStore) -> None:
    async def add(number: int, at: datetime) -> str:
        event = raised(f"c{number}")
        await store.record(contact(f"c{number}"), [event], at=at)
        return event.signal.signal_id

    # Three at a time were raised at the same instant.
    before = [await add(number, after(minutes=number // 3)) for number in range(10)]
    found: list[StoredSignal] = []
    after_key: PageKey | None = None
    for number in range(10, 20):
        page = await store.list(TENANT, SignalFilter(), page_size=3, after=after_key)
        found += page.signals
        after_key = page.next
        if after_key is None:
            break
        await add(number, after(hours=1))
    assert sorted(item.signal.signal_id for item in found) == sorted(before)
    assert [item.raised_at for item in found] == sorted(
        (item.raised_at for item in found), reverse=True
    )


FILTERS = {
    "states": (SignalFilter(states=frozenset({SignalState.CLEARED})), "c"),
    "severity": (SignalFilter(min_severity=Severity.HIGH), "ac"),
    "reasons": (SignalFilter(reasons=frozenset({Reason.FRAUD, Reason.OTHER})), "b"),
    "routes": (SignalFilter(routes=frozenset({Route.FRAUD})), "b"),
    "causes": (SignalFilter(causes=frozenset({"churn"})), "ac"),
    "conversation": (SignalFilter(conversation_id="a"), "a"),
    "customer": (SignalFilter(customer_id="u1"), "ab"),
    "from": (SignalFilter(raised_from=after(minutes=1)), "bc"),
    "before": (SignalFilter(raised_before=after(minutes=1)), "a"),
    "all": (
        SignalFilter(customer_id="u1", causes=frozenset({"churn"}), min_severity=Severity.LOW),
        "a",
    ),
    "any": (SignalFilter(), "abc"),
}


async def test_lists_hold_what_the_filter_asks_for(store: SignalStore) -> None:
    fraud: dict[str, Any] = {
        "reason": Reason.FRAUD,
        "route": Route.FRAUD,
        "severity": Severity.MEDIUM,
    }
    over = raised("c", route=None)
    for minute, (name, customer_id, events) in enumerate(
        [
            ("a", "u1", [raised("a")]),
            ("b", "u1", [raised("b", "fraud", **fraud)]),
            ("c", "u2", [over, cleared(over.signal, 5)]),
        ]
    ):
        at = after(minutes=minute)
        await store.record(contact(name, customer_id=customer_id), events, at=at)
    for name, (signal_filter, expected) in FILTERS.items():
        page = await store.list(TENANT, signal_filter, page_size=10)
        listed = [item.signal.conversation_id for item in page.signals]
        assert listed == sorted(expected, reverse=True), name
        assert page.next is None
    assert (await store.list("other", SignalFilter(), page_size=10)).signals == ()


async def test_a_customers_past_is_what_was_known_before_the_contact(store: SignalStore) -> None:
    async def begin(name: str, days: float) -> CustomerPast | None:
        of_u1 = contact(name, customer_id="u1", started_at=after(days=days))
        return (await store.begin(of_u1)).past

    assert await begin("first", 0) == CustomerPast()
    await store.record(contact("first"), [raised("first"), raised("first", "fraud")], at=NOW)
    await store.end(contact("first"), outcome="resolved", at=after(hours=1))
    await begin("second", 2)
    over = raised("second", "legal")
    await store.record(contact("second"), [over, cleared(over.signal, 5)], at=NOW)
    await store.end(contact("second"), outcome="unresolved", at=after(days=2, hours=1))
    await begin("later", 9)
    await store.begin(contact("others", customer_id="u2", started_at=after(days=1)))
    third = await begin("third", 4.5)
    assert third == CustomerPast(
        contact_days=(2.5, 4.5), last_outcome="unresolved", open_causes=("churn", "fraud")
    )
    # A stream that comes back says when it came back; the contact is as old as it was.
    assert await begin("third", 20) == third
    assert (await store.begin(contact("unknown"))).past is None


async def test_a_contact_is_new_once(store: SignalStore) -> None:
    assert (await store.begin(contact())).is_new
    assert not (await store.begin(contact())).is_new
    assert (await store.begin(contact(tenant="other"))).is_new
    await store.record(contact("recorded"), [raised("recorded")], at=NOW)
    assert not (await store.begin(contact("recorded"))).is_new


async def test_a_contact_that_only_ended_is_kept_as_it_ended(store: SignalStore) -> None:
    await store.end(contact(customer_id="u1"), outcome="unresolved", at=after(hours=1))
    later = contact("later", customer_id="u1", started_at=after(days=1))
    assert (await store.begin(later)).past == CustomerPast((1.0,), "unresolved")


async def test_what_becomes_known_of_a_contact_is_added(store: SignalStore) -> None:
    (event,) = await store.record(contact(language=""), [raised()], at=NOW)
    assert event.signal.language == ""
    await store.begin(contact(language="ar", channel="", customer_id="u1"))
    stored = await kept(store, event.signal.signal.signal_id)
    assert (stored.language, stored.channel, stored.customer_id) == ("ar", "chat", "u1")


async def test_ids_may_hold_any_character(store: SignalStore) -> None:
    name = "ğ \0 'x' \u202e"
    await store.begin(contact(name, customer_id=name))
    (event,) = await store.record(contact(name, customer_id=name), [raised(name)], at=NOW)
    found = await store.list(TENANT, SignalFilter(customer_id=name), page_size=5)
    assert [item.signal for item in found.signals] == [event.signal.signal]


async def test_signals_expire_once_among_replicas(
    store: SignalStore, open_store: OpenStore
) -> None:
    other = await open_store()
    for number in range(12):
        tenant = "ab"[number % 2]
        await store.record(
            contact(f"c{number}", tenant=tenant), [raised(f"c{number}")], at=after(minutes=number)
        )
    await store.acknowledge("a", signal("c0").signal_id, by="ada", at=NOW)
    assert await store.expire_due(at=after(minutes=59), limit=100) == 0
    counts = await asyncio.gather(
        *(one.expire_due(at=after(minutes=69), limit=100) for one in (store, other) * 3)
    )
    assert sum(counts) == 10
    events = [*await all_events(store, "a"), *await all_events(store, "b")]
    expired = [event for event in events if event.kind is SignalEventKind.EXPIRED]
    assert len({(e.signal.tenant, e.event_id) for e in expired}) == len(expired) == 10
    assert {event.signal.ended_at for event in expired} == {after(minutes=69)}
    assert await store.expire_due(at=after(days=1), limit=1) == 1


async def test_retention_deletes_what_is_over_and_keeps_the_rest(
    store: SignalStore, open_database: OpenDatabase
) -> None:
    silent = {"actions": ()}
    over = raised("over", **silent)
    await store.record(contact("over"), [over, cleared(over.signal, 5)], at=NOW)
    await store.record(contact("open"), [raised("open", **silent)], at=NOW)
    undone = raised("undone")
    await store.record(contact("undone"), [undone, cleared(undone.signal, 5)], at=NOW)
    await store.begin(contact("empty"))
    late = raised("late", **silent)
    await store.record(
        contact("late", started_at=after(days=9)),
        [late, cleared(late.signal, 5)],
        at=after(days=9),
    )
    position = await store.last_position(TENANT)
    assert await store.purge(before=after(days=5)) == 3
    left = await store.list(TENANT, SignalFilter(), page_size=10)
    assert {item.signal.conversation_id for item in left.signals} == {"late", "open", "undone"}
    assert await rows_of(open_database) == {
        "contacts": 3,
        "signals": 3,
        "signal_events": 5,
        "actions": len(ACTIONS),
    }
    assert await store.last_position(TENANT) == position
    assert await store.purge(before=after(days=5)) == 0


async def test_a_deleted_customer_leaves_nothing(
    store: SignalStore, open_database: OpenDatabase
) -> None:
    for name, customer_id in (("a", "u1"), ("b", "u1"), ("c", "u2")):
        await store.record(contact(name, customer_id=customer_id), [raised(name)], at=NOW)
    await store.record(contact(tenant="other", customer_id="u1"), [raised()], at=NOW)
    assert await store.delete_customer(TENANT, "u1") == 2
    assert await store.delete_customer(TENANT, "u1") == 0
    assert await rows_of(open_database) == {
        "contacts": 2,
        "signals": 2,
        "signal_events": 2,
        "actions": 2 * len(ACTIONS),
    }
    with pytest.raises(ValueError, match="customer_id"):
        await store.delete_customer(TENANT, "")
    # Positions are never given twice, so that nobody who watches misses an event.
    (event,) = await store.record(contact("d"), [raised("d")], at=NOW)
    assert event.position == 4


async def test_a_conversation_that_expires_at_its_end_is_over(store: SignalStore) -> None:
    event = raised()
    end = expire(event.signal, Moment(7))
    recorded = await store.record(contact(), [event, end], at=NOW)
    assert recorded[-1].signal == replace(
        recorded[0].signal, signal=end.signal, ended_at=NOW, position=2
    )
