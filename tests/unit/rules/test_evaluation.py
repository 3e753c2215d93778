"""What conditions see of a conversation, and what a match says."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from moodline.domain import Evidence, Role, TurnResult, UrgencyLevel
from moodline.rules.evaluation import Contribution, Quote, RuleMatch, open_evaluation
from moodline.rules.history import ConversationContext, CustomerPast
from moodline.rules.rule_set import MAX_GROUP_RULES, RuleSet
from moodline.rules.vocabulary import MAX_WINDOW_TURNS
from tests.unit.rules.results import agent, customer, scores

GOOD = scores(sentiment=0.5)
BAD = scores(sentiment=-0.5)
NOTHING = ConversationContext()


def rules(*conditions: str, **fields: object) -> RuleSet:
    """One rule a condition, `r0`, `r1` and so on."""
    parts = "".join(f"    {name}: {value}\n" for name, value in fields.items())
    return RuleSet.parse(
        "version: 1\nname: test\nphrases: {greet: {en: [good morning, hello], tr: [merhaba]}}\n"
        "rules:\n"
        + "".join(
            f"  - id: r{index}\n    explanation: {{en: x}}\n    reason: other\n"
            f"    severity: low\n    when: |\n      {condition}\n{parts}"
            for index, condition in enumerate(conditions)
        )
    )


def matches(
    rule_set: RuleSet, turns: Sequence[TurnResult], context: ConversationContext = NOTHING
) -> list[RuleMatch]:
    evaluation = open_evaluation(rule_set, context)
    return [match for turn in turns for match in evaluation.add(turn)]


def holds(
    condition: str,
    turns: Sequence[TurnResult],
    context: ConversationContext = NOTHING,
    *,
    on: str = "customer",
) -> list[int]:
    """Indexes of the turns at which a condition holds."""
    return [match.turn_index for match in matches(rules(condition, turns=on), turns, context)]


def customers(*given: object) -> list[TurnResult]:
    return [customer(index, one) for index, one in enumerate(given)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("condition", "turns"),
    [
        # Streaks and trailing windows.
        ("streak(last(5).map(t, t.sentiment.score < 0.0)) >= 3", [4, 5]),
        ("last(3).size() == 3 && last(3).all(t, t.sentiment.score < 0.0)", [4, 5]),
        ("mean(last(2).map(t, t.sentiment.score)) > 0.2", [0, 1, 7]),
        ("lowest(last(2).map(t, t.sentiment.score)) == 0.5", [0, 1, 7]),
        ("highest(last(3).map(t, t.sentiment.score)) < 0.0", [4, 5]),
        ("last(4).filter(t, t.sentiment.score > 0.0).size() == 1", [0, 4, 6]),
        # The first turns, and what did not happen.
        ("first(2).all(t, t.sentiment.score > 0.0) && turn.sentiment.score < 0.0", [2, 3, 4, 5]),
        ("!last(3).exists(t, t.sentiment.score > 0.0)", [4, 5]),
        # The running conversation.
        ("conversation.customer_turn_count == 3", [2]),
        ("conversation.sentiment_mean < 0.0", [4, 5, 6]),
        ("conversation.sentiment_min < 0.0", [2, 3, 4, 5, 6, 7]),
        ("conversation.sentiment_change < 0.0 && turn.index < 3", [2]),
    ],
)
def test_windows_read_the_last_and_first_customer_turns(condition: str, turns: list[int]) -> None:
    given = customers(GOOD, GOOD, BAD, BAD, BAD, BAD, GOOD, GOOD)
    assert holds(condition, given) == turns


def test_windows_of_customer_turns_leave_out_agents_and_what_was_not_scored() -> None:
    turns = [
        customer(0, BAD),
        agent(1),
        customer(2, is_scored=False),
        agent(3, role=Role.BOT),
        customer(4, BAD),
    ]
    assert holds("last(2).all(t, t.sentiment.score < 0.0) && last(2).size() == 2", turns) == [4]
    assert holds("last_turns(5).size() == 5", turns) == [4]
    assert holds("last_turns(9, Role.AGENT).exists(t, t.role == Role.AGENT)", turns) == [4]
    assert holds("last_turns(9, Role.BOT).size() == 1", turns) == [4]
    assert holds("first_turns(1, Role.AGENT).exists(t, t.index == 1)", turns) == [4]
    assert holds("first_turns(2).size() == 2", turns, on="any") == [1, 2, 3, 4]


def test_a_rule_is_evaluated_on_the_turns_that_it_names() -> None:
    turns = [customer(0), agent(1), agent(2, role=Role.BOT), customer(3, is_scored=False)]
    assert holds("true", turns) == [0]
    assert holds("true", turns, on="agent") == [1]
    assert holds("true", turns, on="bot") == [2]
    assert holds("true", turns, on="any") == [0, 1, 2, 3]
    assert holds("last(1).exists(t, t.sentiment.score == 0.0)", turns, on="agent") == [1]


def test_times_tell_silence_waiting_and_windows_of_seconds() -> None:
    turns = [
        customer(0, BAD, start_s=0, end_s=5),
        customer(1, BAD, start_s=10, end_s=12),
        agent(2, start_s=70, end_s=80),
        agent(3, start_s=82),
        customer(4, GOOD, start_s=200),
        customer(5, BAD, start_s=190),
    ]
    assert holds("turn.silence_s == 5.0", turns) == [1]
    # The customer waits since the first turn that nobody answered.
    assert holds("turn.response_s == 65.0", turns, on="agent") == [2]
    assert holds("turn.response_s > 0.0", turns, on="any") == [2, 4]
    assert holds("turn.silence_s == 0.0", turns) == [5]
    assert holds("conversation.elapsed_s >= 190.0", turns) == [4, 5]
    assert holds("within_s(60).size() == 2", turns) == [1, 5]
    assert holds("turns_within_s(130.5, Role.AGENT).size() == 2", turns) == [4, 5]
    assert holds("!turns_within_s(30, Role.AGENT).exists(t, true)", turns) == [0, 1, 4, 5]
    assert holds("last(2).exists(t, t.silence_s == 5.0)", turns) == [1, 4]


@pytest.mark.parametrize(
    "condition",
    [
        "turn.silence_s < 1000.0",
        "!(turn.silence_s > 1.0)",
        "turn.response_s >= 0.0",
        "conversation.elapsed_s >= 0.0",
        "within_s(60).size() >= 0",
        "!turns_within_s(60, Role.AGENT).exists(t, true)",
        "last(3).all(t, t.silence_s < 1000.0)",
        "customer.last_contact_days < 1000.0",
        "conversation.attributes['plan'] != 'gold'",
        "mean(last(3).filter(t, false).map(t, t.sentiment.score)) < 1.0",
    ],
)
def test_what_is_unknown_makes_a_condition_false_and_its_opposite_too(condition: str) -> None:
    turns = [customer(0), agent(1), customer(2), customer(3)]
    assert holds(condition, turns) == []
    assert holds(f"!({condition})", turns) == []
    assert holds(f"({condition}) || turn.index == 3", turns) == [3]


def test_a_condition_that_takes_too_long_is_unknown() -> None:
    endless = "last(50).all(a, last(50).all(b, last(50).all(c, last(50).all(d, d.index >= 0))))"
    assert holds(f"turn.index in [1, 11] && {endless}", customers(*[GOOD] * 12)) == [1]


def test_stages_change_and_fall_back() -> None:
    path = ["none", "usage", "none", "support", "renewal", "evaluation", "none", "usage"]
    turns = customers(*(scores(stage=stage) for stage in path))
    assert holds("conversation.is_stage_changed", turns) == [3, 4, 5, 7]
    assert holds("conversation.is_stage_regressed", turns) == [5]
    assert holds("conversation.previous_stage == Stage.support", turns) == [4]
    assert holds("conversation.stage == Stage.evaluation", turns) == [5, 6]
    assert holds("Stage.renewal in conversation.stages", turns) == [4, 5, 6, 7]
    assert holds("conversation.stages.size() == 4", turns) == [5, 6, 7]


def test_phrases_are_found_in_this_turn_and_in_those_before() -> None:
    turns = [
        agent(0, text="Good MORNING"),
        customer(1, text="Merhaba!"),
        customer(2, text="I wait"),
    ]
    assert holds("phrase(phrases.greet)", turns) == [1]
    assert holds("phrase(phrases.greet)", turns, on="any") == [0, 1]
    assert holds("phrase('wait*')", turns) == [2]
    assert holds("last(2).exists(t, t.says(phrases.greet))", turns) == [1, 2]
    assert holds("!last_turns(9, Role.AGENT).exists(t, t.says('sorry'))", turns) == [1, 2]
    assert holds("turn.text == 'I wait' && turn.word_count == 2", turns) == [2]


def test_the_customers_past_is_counted_back_from_the_beginning() -> None:
    past = CustomerPast((0.5, 3, 40.0), last_outcome="unresolved", open_causes=("fraud",))
    known = ConversationContext("chat", {"plan": "gold"}, past)
    for condition in (
        "customer.is_known && customer.contact_count == 3",
        "contacts_within_days(7) == 2 && contacts_within_days(0.25) == 0",
        "customer.last_contact_days == 0.5 && customer.last_outcome == 'unresolved'",
        "customer.open_signal_count == 1 && 'fraud' in customer.open_causes",
        "conversation.attributes.plan == 'gold' && conversation.channel == 'chat'",
    ):
        assert holds(condition, [customer(0)], known) == [0]
    assert holds("!customer.is_known && customer.contact_count == 0", [customer(0)]) == [0]


def test_scores_are_read_as_the_model_gives_them() -> None:
    given = scores(
        sentiment=-1.0,
        urgency=UrgencyLevel.CRITICAL,
        stage="renewal",
        stage_probability=0.75,
        tags={"fraud": 0.9, "billing": 0.4},
        escalation=0.6,
    )
    for condition in (
        "turn.sentiment.label == Sentiment.VERY_NEGATIVE && turn.sentiment.score == -1.0",
        "turn.sentiment.probability.very_negative == 1.0",
        "turn.urgency.level == Urgency.CRITICAL && turn.urgency.score == 1.0",
        "turn.stage.name == Stage.renewal && turn.stage.probability == 0.75",
        "turn.tags.fraud == 0.9 && turn.tagged.fraud",
        "turn.tags.billing == 0.4 && !turn.tagged.billing && turn.tags.abuse == 0.0",
        "turn.escalation.level == Escalation.ESCALATE && turn.escalation.probability == 0.6",
        "turn.escalation.watch_probability > 0.59 && turn.expected_csat == 3.0",
        "turn.role == Role.CUSTOMER && turn.language == 'und'",
        "conversation.urgency_peak == Urgency.CRITICAL",
        "conversation.escalation_peak == Escalation.ESCALATE",
        "last(1).all(t, t.tags.fraud == 0.9 && t.tagged.fraud && t.sentiment.label < 0)",
    ):
        assert holds(condition, [customer(0, given)]) == [0], condition


def test_a_match_needs_its_probability_and_its_turns() -> None:
    turns = customers(*(scores(tags={"fraud": p}) for p in (0.3, 0.7, 0.8, 0.2, 0.9)))
    rule_set = rules("true", probability="turn.tags.fraud", min_probability=0.5, hold_turns=2)
    assert [(m.turn_index, m.probability) for m in matches(rule_set, turns)] == [(2, 0.8)]


def test_agents_turns_do_not_break_what_is_held_over_customers_turns() -> None:
    rule_set = rules("turn.sentiment.score < 0.0", hold_turns=2)
    found = matches(rule_set, [customer(0, BAD), agent(1), customer(2, BAD)])
    assert [match.turn_index for match in found] == [2]


def test_contributions_are_shares_of_the_turns_that_matter() -> None:
    turns = customers(*(scores(tags={"fraud": p}) for p in (0.9, 0.1, 0.6, 0.8)))
    rule_set = rules("turn.index == 3", probability="turn.tags.fraud")
    (match,) = matches(rule_set, turns)
    # Of the last three, the first has less than half of the highest probability.
    assert match.contributions == (
        Contribution(2, "t2", pytest.approx(0.6 / 1.4)),  # type: ignore[arg-type]
        Contribution(3, "t3", pytest.approx(0.8 / 1.4)),  # type: ignore[arg-type]
    )


def test_quotes_are_phrases_first_and_then_the_words_that_weigh_most() -> None:
    evidence = [
        Evidence(0, 2, "My", "urgency", 0.2),
        Evidence(3, 7, "card", "urgency", 0.5),
        Evidence(8, 10, "is", "stage", 0.9),
    ]
    turns = [
        customer(0, scores(evidence=evidence), text="My card is gone"),
        customer(1, text="So hello, hello"),
    ]
    rule_set = rules("last(2).size() == 2 && phrase(phrases.greet)")
    (match,) = matches(rule_set, turns)
    assert match.quotes == (
        Quote(0, "t0", 3, 7, "card", "urgency"),
        Quote(1, "t1", 3, 8, "hello", "phrase"),
    )


def test_a_rule_may_clear_when_it_no_longer_holds_and_its_condition_does() -> None:
    rule_set = rules(
        "turn.sentiment.score < 0.0",
        probability="turn.tags.complaint",
        min_probability=0.5,
        clear="{when: turn.sentiment.score > 0.0, below_probability: 0.4}",
    )
    evaluation = open_evaluation(rule_set)

    def clears(result: TurnResult) -> bool | None:
        evaluation.add(result)
        return evaluation.is_clear("r0")

    assert clears(customer(0, scores(sentiment=-0.5, tags={"complaint": 0.9}))) is False
    assert clears(agent(1)) is None
    assert clears(customer(2, scores(sentiment=0.0, tags={"complaint": 0.1}))) is False
    assert clears(customer(3, scores(sentiment=0.5, tags={"complaint": 0.45}))) is False
    assert clears(customer(4, scores(sentiment=0.5, tags={"complaint": 0.1}))) is True


def test_rules_speak_in_their_order_however_many_there_are() -> None:
    count = 2 * MAX_GROUP_RULES + 1
    conditions = [f"turn.index == {index % 2} // {index}" for index in range(count)]
    found = matches(rules(*conditions), customers(GOOD, GOOD, GOOD))
    evens, odds = list(range(0, count, 2)), list(range(1, count, 2))
    assert [match.rule.id for match in found] == [f"r{index}" for index in evens + odds]


def test_a_long_conversation_keeps_no_more_than_its_windows() -> None:
    rule_set = rules(
        "last(50).size() + first(50).size() + last_turns(50).size() > 149 && turn.index > 150"
    )
    evaluation = open_evaluation(rule_set)
    results = [customer(index) for index in range(250)]
    assert evaluation.add(replace(results[0])) == ()
    found = [match for result in results[1:] for match in evaluation.add(result)]
    assert len(found) == 99
    history = evaluation._history
    kept = {id(record) for record in (*history._turns, *history._scored)}
    kept |= {id(record) for record in (*history._first_turns, *history._first_scored)}
    assert len(kept) <= 4 * MAX_WINDOW_TURNS


def test_conversations_do_not_see_each_other_in_any_thread() -> None:
    rule_set = rules("last(50).all(t, t.sentiment.score < 0.0)")
    found: dict[int, int] = {}

    def run(number: int) -> None:
        given = BAD if number % 2 else GOOD
        found[number] = len(matches(rule_set, customers(*[given] * 40)))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    evaluations = [open_evaluation(rule_set) for _ in range(2)]
    for index in range(3):
        assert evaluations[0].add(customer(index, BAD))
        assert not evaluations[1].add(customer(index, GOOD))
    assert found == {0: 0, 1: 40, 2: 0, 3: 40}
