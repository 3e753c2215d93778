"""A signal's life goes forward only, and a cause never has two open signals."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodline.errors import SignalStateError
from moodline.rules.evaluation import Contribution, RuleMatch
from moodline.rules.model import Clearing, CoolDown, Reason, Rule, Severity
from moodline.signals.domain import (
    Moment,
    Outcome,
    Signal,
    SignalEvent,
    SignalEventKind,
    SignalState,
)
from moodline.signals.lifecycle import (
    CauseLife,
    Origin,
    acknowledge,
    expire,
    rebase,
    resolve,
    signal_id,
)

ORIGIN = Origin("c1", "rules", "model", "configuration")
COOL_TURNS = 3
CLEAR_TURNS = 2


def rule(rule_id: str, severity: Severity, **fields: object) -> Rule:
    return Rule.model_validate(
        {
            "id": rule_id,
            "cause": "trouble",
            "explanation": {"en": rule_id},
            "reason": Reason.OTHER,
            "severity": severity,
            "when": "true",
            "clear": Clearing(hold_turns=CLEAR_TURNS),
            "cool_down": CoolDown(turns=COOL_TURNS),
            **fields,
        }
    )


MILD = rule("mild", Severity.MEDIUM)
BAD = rule("bad", Severity.HIGH)


def match(of: Rule, turn_index: int = 0, probability: float = 0.5) -> RuleMatch:
    share = (Contribution(turn_index, "", 1.0),)
    return RuleMatch(of, turn_index, "", probability, share, ())


class Cause:
    """A cause that is told one turn after the other."""

    def __init__(self) -> None:
        self.life = CauseLife()
        self.turn = -1

    def tell(
        self,
        *rules: Rule,
        probability: float = 0.5,
        clear: bool | None = False,
        offset_ms: int | None = None,
    ) -> SignalEvent | None:
        self.turn += 1
        self.life, event = self.life.observe(
            [match(one, self.turn, probability) for one in rules],
            is_clear=lambda _rule_id: clear,
            moment=Moment(self.turn, offset_ms),
            origin=ORIGIN,
        )
        return event

    def kinds(self, *turns: tuple[Rule, ...] | bool | None) -> list[str | None]:
        """Rules that hold at a turn, or whether the signal may clear at it."""
        told: list[str | None] = []
        for turn in turns:
            event = self.tell(*turn) if isinstance(turn, tuple) else self.tell(clear=turn)
            told.append(None if event is None else event.kind.value)
        return told

    @property
    def signal(self) -> Signal:
        assert self.life.signal is not None
        return self.life.signal


def test_a_signal_is_raised_once_and_clears_when_it_has_been_calm_for_long_enough() -> None:
    cause = Cause()
    told = cause.kinds((MILD,), (MILD,), True, False, True, (MILD,), True, None, True)
    assert told == ["RAISED", None, None, None, None, None, None, None, "CLEARED"]
    assert cause.signal.state is SignalState.CLEARED
    assert cause.signal.raised == Moment(0)
    assert cause.signal.ended == Moment(8)


def test_a_signal_comes_back_as_another_one_after_its_cool_down() -> None:
    cause = Cause()
    assert cause.kinds((MILD,), True, True) == ["RAISED", None, "CLEARED"]
    first = cause.signal
    assert cause.kinds(*[(MILD,)] * (COOL_TURNS + 1)) == [None] * COOL_TURNS + ["RAISED"]
    assert (cause.signal.ordinal, cause.signal.cause) == (2, first.cause)
    assert cause.signal.signal_id != first.signal_id


def test_a_more_severe_rule_is_not_held_back() -> None:
    cause = Cause()
    cause.kinds((MILD,), True, True)
    event = cause.tell(MILD, BAD)
    assert event is not None
    assert (event.kind, event.signal.rule_id) == (SignalEventKind.RAISED, "bad")


def test_seconds_of_cool_down_count_where_times_are_known() -> None:
    slow = rule("slow", Severity.LOW, cool_down=CoolDown(turns=0, seconds=60))
    for offsets_ms, is_back in (((0, 0, 0, 59_000), False), ((0, 0, 0, 60_000), True)):
        cause = Cause()
        for calm, offset_ms in zip((False, True, True), offsets_ms, strict=False):
            cause.tell(*(() if calm else (slow,)), clear=True, offset_ms=offset_ms)
        assert cause.signal.state is SignalState.CLEARED
        event = cause.tell(slow, offset_ms=offsets_ms[3])
        assert (event is not None) is is_back
    cause = Cause()
    cause.kinds((slow,), True, True)
    assert cause.kinds((slow,)) == ["RAISED"]


def test_severity_rises_and_never_falls_while_a_signal_is_open() -> None:
    cause = Cause()
    assert cause.kinds((MILD,), (MILD, BAD), (MILD,), (BAD,)) == ["RAISED", "UPDATED", None, None]
    assert (cause.signal.rule_id, cause.signal.severity) == ("bad", Severity.HIGH)
    # The milder rule keeps it open.
    assert cause.kinds((MILD,), True, (MILD,), True) == [None, None, None, None]


def test_a_change_of_probability_is_told_when_it_is_worth_it() -> None:
    cause = Cause()
    assert cause.tell(MILD, probability=0.5) is not None
    assert cause.tell(MILD, probability=0.55) is None
    event = cause.tell(MILD, probability=0.62)
    assert event is not None
    assert (event.kind, event.signal.probability) == (SignalEventKind.UPDATED, 0.62)
    event = cause.tell(MILD, probability=0.3)
    assert event is not None
    assert (event.signal.probability, event.signal.peak_probability) == (0.3, 0.62)
    assert event.signal.updated == Moment(3)


def test_what_people_say_to_be_wrong_is_not_said_again() -> None:
    cause = Cause()
    cause.tell(MILD)
    event = resolve(cause.signal, outcome=Outcome.WRONG, by="ada")
    cause.life = cause.life.changed_by_people(event.signal, Moment(0))
    assert cause.kinds(*[(MILD,)] * 20) == [None] * 20
    assert cause.kinds((BAD,)) == ["RAISED"]


def test_what_people_resolve_cools_down_from_where_the_conversation_is() -> None:
    cause = Cause()
    cause.kinds((MILD,), (MILD,))
    event = resolve(cause.signal, outcome=Outcome.RIGHT, by="ada")
    cause.life = cause.life.changed_by_people(event.signal, Moment(1))
    assert cause.kinds(*[(MILD,)] * (COOL_TURNS + 1)) == [None] * COOL_TURNS + ["RAISED"]


def test_an_acknowledged_signal_lives_on() -> None:
    cause = Cause()
    cause.tell(MILD)
    event = acknowledge(cause.signal, by="ada")
    cause.life = cause.life.changed_by_people(event.signal, Moment(0))
    updated = cause.tell(BAD)
    assert updated is not None
    assert updated.signal.state is SignalState.ACKNOWLEDGED
    assert updated.signal.acknowledged_by == "ada"
    assert cause.kinds(True, True) == [None, "CLEARED"]


def test_the_end_expires_what_means_nothing_afterwards() -> None:
    for at_end, state in (("keep", SignalState.RAISED), ("expire", SignalState.EXPIRED)):
        cause = Cause()
        cause.tell(rule("end", Severity.LOW, at_end=at_end))
        life, event = cause.life.ended(Moment(9))
        assert life.signal is not None
        assert life.signal.state is state
        assert (event is None) is (at_end == "keep")
        assert life.ended(Moment(9)) == (life, None)


def raised() -> Signal:
    cause = Cause()
    cause.tell(MILD)
    return cause.signal


def test_people_resolve_what_is_over_too_but_never_twice_differently() -> None:
    cleared = replace(raised(), state=SignalState.CLEARED, ended=Moment(5))
    resolved = resolve(cleared, outcome=Outcome.TOO_LATE, by="ada").signal
    assert (resolved.state, resolved.ended) == (SignalState.RESOLVED, Moment(5))
    assert resolve(resolved, outcome=Outcome.TOO_LATE, by="bob").signal == resolved
    with pytest.raises(SignalStateError, match="RESOLVED as TOO_LATE"):
        resolve(resolved, outcome=Outcome.RIGHT, by="bob")


@pytest.mark.parametrize("state", [SignalState.CLEARED, SignalState.RESOLVED, SignalState.EXPIRED])
def test_what_has_ended_is_neither_acknowledged_nor_expires(state: SignalState) -> None:
    ended = replace(raised(), state=state)
    with pytest.raises(SignalStateError, match=state.value):
        acknowledge(ended, by="ada")
    with pytest.raises(SignalStateError, match=state.value):
        expire(ended)
    event = SignalEvent(SignalEventKind.UPDATED, raised(), Moment(1))
    assert rebase(ended, event) is None


def test_events_of_a_conversation_keep_what_people_did_meanwhile() -> None:
    stored = acknowledge(raised(), by="ada").signal
    told = replace(raised(), probability=0.9)
    event = rebase(stored, SignalEvent(SignalEventKind.UPDATED, told, Moment(1)))
    assert event is not None
    assert event.signal.state is SignalState.ACKNOWLEDGED
    assert (event.signal.acknowledged_by, event.signal.probability) == ("ada", 0.9)
    cleared = replace(raised(), state=SignalState.CLEARED)
    event = rebase(stored, SignalEvent(SignalEventKind.CLEARED, cleared, Moment(2)))
    assert event is not None
    assert event.signal.state is SignalState.CLEARED


def test_what_is_raised_once_more_is_an_update() -> None:
    again = replace(raised(), raised=Moment(3), probability=0.9)
    event = rebase(raised(), SignalEvent(SignalEventKind.RAISED, again, Moment(3)))
    assert event is not None
    assert event.kind is SignalEventKind.UPDATED
    assert (event.signal.raised, event.signal.probability) == (raised().raised, 0.9)


def test_ids_tell_conversation_cause_and_ordinal_apart() -> None:
    ids = {signal_id(c, cause, n) for c in ("a", 'a"') for cause in ("b", "c") for n in (1, 2)}
    assert len(ids) == 8
    assert signal_id("a", "b", 1) == signal_id("a", "b", 1)


Step = st.one_of(
    st.tuples(st.just("turn"), st.sampled_from([(), (MILD,), (BAD,), (MILD, BAD)])),
    st.tuples(st.just("calm"), st.sampled_from([True, False, None])),
    st.tuples(st.just("people"), st.sampled_from(["acknowledge", *Outcome])),
)
ENDS = {SignalEventKind.CLEARED, SignalEventKind.RESOLVED, SignalEventKind.EXPIRED}


@given(st.lists(Step, max_size=40))
def test_however_a_conversation_goes_its_events_are_in_order(
    steps: list[tuple[str, object]],
) -> None:
    cause = Cause()
    events: list[tuple[int, SignalEvent]] = []
    for kind, what in steps:
        event = None
        if kind == "people":
            signal = cause.life.signal
            if signal is None or not signal.state.is_open:
                continue
            event = (
                acknowledge(signal, by="ada")
                if what == "acknowledge"
                else resolve(signal, outcome=Outcome(str(what)), by="ada")
            )
            cause.life = cause.life.changed_by_people(event.signal, Moment(cause.turn))
        elif kind == "turn":
            event = cause.tell(*what)  # type: ignore[misc]
        else:
            event = cause.tell(clear=what)  # type: ignore[arg-type]
        if event is not None:
            events.append((cause.turn, event))
    by_signal: dict[int, list[SignalEvent]] = {}
    for _, event in events:
        by_signal.setdefault(event.signal.ordinal, []).append(event)
    # One after the other, each begun once and ended at most once, at its end.
    assert list(by_signal) == list(range(1, len(by_signal) + 1))
    assert [e.signal.ordinal for _, e in events] == sorted(e.signal.ordinal for _, e in events)
    for life in by_signal.values():
        kinds = [event.kind for event in life]
        assert kinds[0] is SignalEventKind.RAISED
        assert kinds.count(SignalEventKind.RAISED) == 1
        assert not ENDS & set(kinds[:-1])
        ranks = [event.signal.severity.rank for event in life]
        assert ranks == sorted(ranks)
    for before, after in pairwise(by_signal.values()):
        ended, begun = before[-1], after[0]
        assert ended.kind in ENDS
        # Quiet between them, unless it got worse.
        last = next(turn for turn, event in events if event is ended)
        first = next(turn for turn, event in events if event is begun)
        is_worse = begun.signal.severity.rank > ended.signal.severity.rank
        assert is_worse or first - last > COOL_TURNS
        assert is_worse or ended.signal.outcome is not Outcome.WRONG
    ids = [event.event_id for _, event in events if event.moment is not None]
    assert len(ids) == len(set(ids))
