"""Turn results become signal events, the same however often they are read."""

from __future__ import annotations

from moodline.domain import Evidence, TurnResult, UrgencyLevel
from moodline.rules.history import CustomerPast
from moodline.rules.model import Severity
from moodline.rules.rule_set import RuleSet
from moodline.signals.domain import Outcome, SignalEvent, SignalEventKind
from moodline.signals.engine import SignalEngine
from moodline.signals.lifecycle import resolve
from tests.unit.rules.results import agent, customer, scores

RULES = RuleSet.parse(
    """
version: 1
name: test
rules:
  - id: theft
    explanation: {en: A theft., tr: Hırsızlık.}
    next_best_action: {en: Block the card.}
    reason: fraud
    severity: critical
    route: fraud
    actions: [{kind: route, target: fraud}]
    when: turn.tagged.fraud
    probability: turn.tags.fraud
    clear: {when: turn.tagged.resolved}
  - id: mood
    explanation: {en: Upset.}
    reason: sentiment_collapse
    severity: medium
    when: turn.sentiment.score < -0.4
    at_end: expire
  - id: again
    explanation: {en: Again.}
    reason: repeat_contact
    severity: high
    when: contacts_within_days(7) >= 2 && conversation.channel == 'chat'
"""
)
THEFT = scores(
    sentiment=-0.5,
    urgency=UrgencyLevel.CRITICAL,
    tags={"fraud": 0.9},
    evidence=[Evidence(3, 8, "stole", "urgency", 0.6)],
)
TURNS = [
    customer(0, THEFT, text="My stolen card", start_s=1.5),
    agent(1, start_s=3),
    customer(2, scores(sentiment=0.0), start_s=9),
    customer(3, scores(sentiment=0.5, tags={"resolved": 0.9}), start_s=12),
]
ENGINE = SignalEngine(RULES, model_version="base 1", configuration_digest="abc")


def run(turns: list[TurnResult], **known: object) -> list[SignalEvent]:
    session = ENGINE.open("c1", **known)  # type: ignore[arg-type]
    events = [event for turn in turns for event in session.add(turn)]
    return [*events, *session.finish()]


def told(events: list[SignalEvent]) -> list[tuple[str, str]]:
    return [(event.kind.value, event.signal.cause) for event in events]


def test_a_conversation_tells_its_signals_in_the_order_of_turns_and_rules() -> None:
    assert told(run(TURNS)) == [
        ("RAISED", "theft"),
        ("RAISED", "mood"),
        ("CLEARED", "mood"),
        ("CLEARED", "theft"),
    ]


def test_a_signal_says_what_it_rests_on_and_what_to_do() -> None:
    signal = run(TURNS)[0].signal
    assert (signal.conversation_id, signal.rule_id, signal.severity) == (
        "c1",
        "theft",
        Severity.CRITICAL,
    )
    assert signal.explanation["tr"] == "Hırsızlık."
    assert signal.next_best_action["en"] == "Block the card."
    assert (signal.route, signal.actions[0].target) == ("fraud", "fraud")
    assert (signal.probability, signal.contributions[0].share) == (0.9, 1.0)
    assert [(q.turn_id, q.start, q.end, q.text) for q in signal.quotes] == [("t0", 3, 8, "stole")]
    assert (signal.raised.turn_index, signal.raised.offset_ms) == (0, 1500)
    assert signal.rule_set_digest == RULES.digest
    assert (signal.model_version, signal.configuration_digest) == ("base 1", "abc")


def test_the_same_turns_give_the_same_events() -> None:
    assert run(TURNS) == run(TURNS)
    ids = [event.event_id for event in run(TURNS)]
    assert len(set(ids)) == len(ids)


def test_what_was_known_before_counts() -> None:
    past = CustomerPast(contact_days=(1.0, 5.0))
    events = run([customer(0)], channel="chat", customer=past)
    assert told(events) == [("RAISED", "again")]
    assert told(run([customer(0)], channel="call", customer=past)) == []
    assert told(run([customer(0)], channel="chat")) == []


def test_signals_stay_open_or_expire_with_the_conversation() -> None:
    events = run(TURNS[:1])
    assert told(events) == [("RAISED", "theft"), ("RAISED", "mood"), ("EXPIRED", "mood")]
    session = ENGINE.open("c1")
    assert not session.open_signals
    session.add(TURNS[0])
    assert [signal.cause for signal in session.open_signals] == ["theft", "mood"]
    session.finish()
    assert [signal.cause for signal in session.open_signals] == ["theft"]


def test_what_people_do_reaches_the_conversation() -> None:
    session = ENGINE.open("c1")
    theft = session.add(TURNS[0])[0].signal
    session.apply(resolve(theft, outcome=Outcome.WRONG, by="ada"))
    assert [signal.cause for signal in session.open_signals] == ["mood"]
    again = [event for index in range(1, 30) for event in session.add(customer(index, THEFT))]
    assert all(event.signal.cause == "mood" for event in again)


def test_what_happens_to_other_signals_changes_nothing() -> None:
    session = ENGINE.open("c1")
    session.add(TURNS[0])
    other = SignalEngine(RULES, model_version="m", configuration_digest="c").open("c2")
    theft = other.add(TURNS[0])[0].signal
    session.apply(resolve(theft, outcome=Outcome.WRONG, by="ada"))
    assert len(session.open_signals) == 2


def test_an_empty_conversation_has_no_signals() -> None:
    assert ENGINE.open("c1").finish() == ()
    assert SignalEventKind.RAISED.value == "RAISED"
