"""The arithmetic of docs/scores.md, on turns made for the test."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodline.domain import (
    Absence,
    ConversationRollup,
    Escalation,
    EscalationLevel,
    NamedProbability,
    Role,
    Sentiment,
    SentimentLabel,
    Trend,
    Turn,
    TurnResult,
    TurnScores,
    Urgency,
    UrgencyLevel,
)
from moodline.rollup import RollupAccumulator, sentiment_label, sentiment_scales

SCORES_PAGE = Path(__file__).parents[2] / "docs" / "scores.md"

unit_scores = st.floats(min_value=-1, max_value=1, allow_nan=False)
probabilities = st.floats(min_value=0, max_value=1, allow_nan=False)


def customer_result(
    turn_index: int,
    score: float = 0.0,
    *,
    urgency: UrgencyLevel = UrgencyLevel.LOW,
    urgency_probability: float = 0.9,
    stage: str = "support",
    escalation: EscalationLevel = EscalationLevel.NONE,
    escalation_probability: float = 0.1,
    tags: Sequence[tuple[str, float]] = (),
    expected_csat: float = 3.0,
    participant_id: str = "",
    text: str = "some words",
) -> TurnResult:
    scores = TurnScores(
        sentiment=Sentiment(SentimentLabel.NEUTRAL, score, {}),
        urgency=Urgency(urgency, {urgency: urgency_probability}),
        stage=NamedProbability(stage, 0.9),
        tags=tuple(NamedProbability(name, p) for name, p in tags),
        escalation=Escalation(escalation, escalation_probability, {}),
        expected_csat=expected_csat,
        evidence=(),
    )
    return TurnResult(turn_index, Turn(Role.CUSTOMER, text, participant_id=participant_id), scores)


def agent_result(turn_index: int) -> TurnResult:
    return TurnResult(turn_index, Turn(Role.AGENT, "how can I help"), None, Absence.NOT_CUSTOMER)


def unread_result(turn_index: int) -> TurnResult:
    return TurnResult(
        turn_index, Turn(Role.CUSTOMER, "здравствуйте"), None, Absence.UNSUPPORTED_LANGUAGE
    )


def rollup_of(results: Sequence[TurnResult]) -> ConversationRollup:
    accumulator = RollupAccumulator()
    for result in results:
        accumulator.add(result)
    return accumulator.rollup()


def rollup_of_scores(scores: Sequence[float]) -> ConversationRollup:
    return rollup_of([customer_result(index, score) for index, score in enumerate(scores)])


@st.composite
def result_lists(draw: st.DrawFn, min_size: int = 0) -> list[TurnResult]:
    kinds = draw(st.lists(st.sampled_from("cccau"), min_size=min_size, max_size=30))
    results = []
    for index, kind in enumerate(kinds):
        if kind == "a":
            results.append(agent_result(index))
        elif kind == "u":
            results.append(unread_result(index))
        else:
            results.append(
                customer_result(
                    index,
                    draw(unit_scores),
                    urgency=draw(st.sampled_from(UrgencyLevel)),
                    urgency_probability=draw(probabilities),
                    stage=draw(st.sampled_from(["none", "support", "renewal", "usage"])),
                    escalation=draw(st.sampled_from(EscalationLevel)),
                    escalation_probability=draw(probabilities),
                    tags=draw(
                        st.lists(
                            st.tuples(st.sampled_from(["billing", "fraud"]), probabilities),
                            unique_by=lambda tag: tag[0],
                        )
                    ),
                    expected_csat=draw(st.floats(min_value=1, max_value=5)),
                    participant_id=draw(st.sampled_from(["", "caller-2"])),
                )
            )
    return results


class TestPublishedExample:
    @pytest.fixture
    def page(self) -> str:
        return SCORES_PAGE.read_text(encoding="utf-8")

    @pytest.fixture
    def rollup(self, page: str) -> ConversationRollup:
        """Roll up the turns of the table on the page, an agent's turn between each two."""
        results: list[TurnResult] = []
        for line in page.split("## Worked example")[1].splitlines():
            if not re.match(r"\| \d", line):
                continue
            _, index, score, urgency, stage, level, probability = (
                cell.strip() for cell in line.strip("|").split("|")
            )
            if results:
                results.append(agent_result(int(index) - 1))
            results.append(
                customer_result(
                    int(index),
                    float(score),
                    urgency=UrgencyLevel(urgency),
                    stage=stage,
                    escalation=EscalationLevel(level),
                    escalation_probability=float(probability),
                )
            )
        return rollup_of(results)

    def test_page_states_what_the_code_computes(
        self, page: str, rollup: ConversationRollup
    ) -> None:
        block = re.search(r"```json\n(.*?)```", page, re.DOTALL)
        assert block is not None
        stated = json.loads(block[1])
        sentiment, urgency = rollup.sentiment, rollup.urgency
        stage, escalation = rollup.stage, rollup.escalation
        assert sentiment is not None
        assert urgency is not None
        assert stage is not None
        assert escalation is not None

        def to_4_places(value: float) -> object:
            return pytest.approx(value, abs=5e-5)

        assert sentiment.label == stated["label"]
        assert sentiment.score == to_4_places(stated["score"])
        assert sentiment.begin_score == to_4_places(stated["begin_score"])
        assert sentiment.end_score == to_4_places(stated["end_score"])
        assert [q.score for q in sentiment.quarters] == to_4_places(stated["quarters"])
        assert sentiment.trend.label == stated["trend"]
        assert sentiment.trend.customer_turn_count == stated["customer_turn_count"]
        assert list(asdict(sentiment.scales).values()) == to_4_places(stated["scales"])
        assert urgency.end.level == stated["urgency"]["level"]
        assert urgency.peak.level == stated["urgency"]["peak_level"]
        assert stage.end.name == stated["stage"]
        assert [[e.name, e.turn_index] for e in stage.stage_path] == stated["stage_path"]
        assert {
            "level": escalation.end.level,
            "peak_level": escalation.peak_level,
            "peak_probability": escalation.peak_probability,
            "first_turn_index": escalation.first_turn_index,
        } == stated["escalation"]


class TestIncrement:
    @given(result_lists())
    def test_state_after_each_turn_equals_that_of_a_fresh_start(
        self, results: list[TurnResult]
    ) -> None:
        accumulator = RollupAccumulator()
        for count, result in enumerate(results, 1):
            accumulator.add(result)
            fresh = RollupAccumulator()
            for earlier in results[:count]:
                fresh.add(earlier)
            assert accumulator.state() == fresh.state()
            assert accumulator.rollup() == fresh.rollup()

    @given(result_lists())
    def test_state_and_rollup_say_the_same(self, results: list[TurnResult]) -> None:
        accumulator = RollupAccumulator()
        for result in results:
            accumulator.add(result)
        state, rollup = accumulator.state(), accumulator.rollup()
        assert state.escalation == rollup.escalation
        if rollup.sentiment is None:
            assert state.sentiment_score is None
        else:
            assert state.sentiment_score == rollup.sentiment.score
            assert state.trend == rollup.sentiment.trend

    @given(result_lists(min_size=1))
    def test_provisional_state_equals_the_later_one_and_changes_nothing(
        self, results: list[TurnResult]
    ) -> None:
        accumulator = RollupAccumulator()
        for result in results:
            before = accumulator.rollup()
            provisional = accumulator.state_with(result)
            assert accumulator.rollup() == before
            accumulator.add(result)
            assert accumulator.state() == provisional


class TestSentiment:
    @given(st.lists(unit_scores, min_size=1, max_size=60))
    def test_every_score_stays_between_the_turns_extremes(self, scores: list[float]) -> None:
        sentiment = rollup_of_scores(scores).sentiment
        assert sentiment is not None
        given_values = [sentiment.score, sentiment.begin_score, sentiment.end_score]
        given_values += [quarter.score for quarter in sentiment.quarters]
        for value in given_values:
            if value is not None:
                assert -1 <= value <= 1
                assert min(scores) - 1e-12 <= value <= max(scores) + 1e-12

    @given(st.lists(unit_scores, min_size=1, max_size=60))
    def test_quarters_share_the_turns_evenly_and_add_up_to_the_score(
        self, scores: list[float]
    ) -> None:
        sentiment = rollup_of_scores(scores).sentiment
        assert sentiment is not None
        counts = [quarter.customer_turn_count for quarter in sentiment.quarters]
        assert sum(counts) == len(scores)
        assert max(counts) - min(counts) <= 1
        total = sum(q.customer_turn_count * (q.score or 0.0) for q in sentiment.quarters)
        assert total / len(scores) == pytest.approx(sentiment.score, abs=1e-9)

    @given(st.lists(unit_scores, min_size=1, max_size=30), st.randoms(use_true_random=False))
    def test_mean_does_not_depend_on_the_order_of_turns(
        self, scores: list[float], random: Random
    ) -> None:
        shuffled = list(scores)
        random.shuffle(shuffled)
        one, other = rollup_of_scores(scores).sentiment, rollup_of_scores(shuffled).sentiment
        assert one is not None
        assert other is not None
        assert one.score == pytest.approx(other.score, abs=1e-12)

    @given(st.lists(unit_scores, min_size=2, max_size=30))
    def test_reversed_conversation_swaps_the_quarters_of_whole_fours(
        self, scores: list[float]
    ) -> None:
        whole = scores * 4
        forward, backward = (
            rollup_of_scores(whole).sentiment,
            rollup_of_scores(whole[::-1]).sentiment,
        )
        assert forward is not None
        assert backward is not None
        assert [q.score for q in forward.quarters] == [q.score for q in backward.quarters][::-1]

    def test_one_turn_has_neither_begin_nor_end(self) -> None:
        sentiment = rollup_of_scores([0.4]).sentiment
        assert sentiment is not None
        assert sentiment.begin_score is None
        assert sentiment.end_score is None

    @pytest.mark.parametrize(("count", "filled"), [(1, [0]), (2, [0, 2]), (3, [0, 1, 2])])
    def test_quarters_without_turns_are_absent(self, count: int, filled: list[int]) -> None:
        sentiment = rollup_of_scores([0.5] * count).sentiment
        assert sentiment is not None
        for index, quarter in enumerate(sentiment.quarters):
            if index in filled:
                assert (quarter.score, quarter.absence) == (0.5, None)
            else:
                assert (quarter.score, quarter.absence) == (None, Absence.INSUFFICIENT_TURNS)


class TestTrend:
    @pytest.mark.parametrize(
        ("scores", "label"),
        [
            ([-0.5, 0.0, 0.5], Trend.IMPROVING),
            ([0.0, 0.1, 0.3], Trend.SLIGHTLY_IMPROVING),
            ([0.1, -0.3, 0.1], Trend.STABLE),
            ([0.3, 0.1, 0.0], Trend.SLIGHTLY_DECLINING),
            ([0.5, 0.0, -0.5], Trend.DECLINING),
        ],
    )
    def test_label_follows_the_fitted_change(self, scores: list[float], label: Trend) -> None:
        sentiment = rollup_of_scores(scores).sentiment
        assert sentiment is not None
        assert sentiment.trend.label is label
        assert sentiment.trend.customer_turn_count == 3

    @pytest.mark.parametrize("count", [1, 2])
    def test_is_absent_under_three_turns(self, count: int) -> None:
        sentiment = rollup_of_scores([0.1] * count).sentiment
        assert sentiment is not None
        assert sentiment.trend.label is None
        assert sentiment.trend.absence is Absence.INSUFFICIENT_TURNS
        assert sentiment.trend.customer_turn_count == count

    @given(st.lists(st.integers(-100, 100), min_size=3, max_size=40), st.integers(-50, 50))
    def test_does_not_depend_on_the_level(self, percents: list[int], shift: int) -> None:
        # Exact in binary, so that rounding cannot move the change across a threshold.
        scores = [p / 512 for p in percents]
        one = rollup_of_scores(scores).sentiment
        other = rollup_of_scores([value + shift / 128 for value in scores]).sentiment
        assert one is not None
        assert other is not None
        assert one.trend == other.trend

    @given(st.lists(st.integers(-128, 128), min_size=3, max_size=40))
    def test_mirrored_scores_mirror_the_trend(self, steps: list[int]) -> None:
        mirror = dict(zip(Trend, reversed(Trend), strict=True))
        one = rollup_of_scores([step / 128 for step in steps]).sentiment
        other = rollup_of_scores([-step / 128 for step in steps]).sentiment
        assert one is not None
        assert other is not None
        assert one.trend.label is not None
        assert other.trend.label is mirror[one.trend.label]


class TestScales:
    @given(unit_scores)
    def test_values_stay_on_their_scales(self, score: float) -> None:
        scales = sentiment_scales(score)
        assert -5 <= scales.minus5_to_5 <= 5
        assert -100 <= scales.minus100_to_100 <= 100
        assert 0 <= scales.zero_to_100 <= 100
        assert scales.minus1_to_1 == score

    @given(st.lists(unit_scores, min_size=2, max_size=10))
    def test_order_of_scores_is_kept_by_every_scale_and_the_label(
        self, scores: list[float]
    ) -> None:
        grades = list(SentimentLabel)
        for low, high in pairwise(sorted(scores)):
            lower, higher = asdict(sentiment_scales(low)), asdict(sentiment_scales(high))
            assert all(lower[name] <= higher[name] for name in lower)
            assert grades.index(sentiment_label(low)) <= grades.index(sentiment_label(high))

    @pytest.mark.parametrize(
        ("score", "label"),
        [
            (-1.0, SentimentLabel.VERY_NEGATIVE),
            (-0.6, SentimentLabel.NEGATIVE),
            (-0.2, SentimentLabel.NEUTRAL),
            (0.2, SentimentLabel.NEUTRAL),
            (0.6, SentimentLabel.POSITIVE),
            (1.0, SentimentLabel.VERY_POSITIVE),
        ],
    )
    def test_label_at_the_edge_of_its_band(self, score: float, label: SentimentLabel) -> None:
        assert sentiment_label(score) is label


class TestEndAndPeak:
    def test_urgency_ends_low_and_keeps_the_first_most_probable_peak(self) -> None:
        high = UrgencyLevel.HIGH
        urgency = rollup_of(
            [
                customer_result(0, urgency=high, urgency_probability=0.6),
                customer_result(1, urgency=high, urgency_probability=0.8),
                customer_result(2, urgency=high, urgency_probability=0.8),
                customer_result(3, urgency=UrgencyLevel.LOW),
            ]
        ).urgency
        assert urgency is not None
        assert urgency.end.level is UrgencyLevel.LOW
        assert urgency.peak.probabilities[high] == 0.8
        assert urgency.peak_turn_index == 1

    def test_stage_none_neither_enters_nor_ends_the_path(self) -> None:
        stages = ["none", "support", "none", "support", "renewal", "none"]
        stage = rollup_of([customer_result(i, stage=s) for i, s in enumerate(stages)]).stage
        assert stage is not None
        assert [(e.name, e.turn_index) for e in stage.stage_path] == [
            ("support", 1),
            ("renewal", 4),
        ]
        assert stage.end.name == "renewal"

    def test_only_none_leaves_an_empty_path(self) -> None:
        stage = rollup_of([customer_result(0, stage="none")]).stage
        assert stage is not None
        assert stage.end.name == "none"
        assert stage.stage_path == ()

    def test_escalation_never_raised_has_no_first_turn(self) -> None:
        escalation = rollup_of([customer_result(0), customer_result(1)]).escalation
        assert escalation is not None
        assert escalation.peak_level is EscalationLevel.NONE
        assert escalation.first_turn_index is None

    def test_escalation_remembers_where_its_peak_was_first_reached(self) -> None:
        levels = ["NONE", "ESCALATE", "WATCH", "ESCALATE", "WATCH"]
        escalation = rollup_of(
            [customer_result(i, escalation=EscalationLevel(v)) for i, v in enumerate(levels)]
        ).escalation
        assert escalation is not None
        assert escalation.end.level is EscalationLevel.WATCH
        assert escalation.first_turn_index == 1

    def test_tags_keep_highest_probability_and_first_turn(self) -> None:
        tags = rollup_of(
            [
                customer_result(0, tags=[("billing", 0.6)]),
                customer_result(1, tags=[("fraud", 0.8), ("billing", 0.7)]),
                customer_result(2, tags=[("billing", 0.65)]),
            ]
        ).tags
        assert [(t.name, t.probability, t.first_turn_index) for t in tags] == [
            ("fraud", 0.8, 1),
            ("billing", 0.7, 0),
        ]

    def test_expected_csat_is_that_of_the_last_scored_turn(self) -> None:
        results = [
            customer_result(0, expected_csat=2.0),
            customer_result(1, expected_csat=4.5),
            agent_result(2),
            unread_result(3),
        ]
        assert rollup_of(results).expected_csat == 4.5


class TestParticipants:
    def test_agents_have_counts_and_no_sentiment(self) -> None:
        agent = rollup_of([agent_result(0), customer_result(1), agent_result(2)]).participants[0]
        assert (agent.participant_id, agent.role) == ("agent", Role.AGENT)
        assert (agent.turn_count, agent.word_count, agent.char_count) == (2, 8, 28)
        assert agent.sentiment is None
        assert agent.absence is Absence.NOT_CUSTOMER

    def test_each_customer_has_their_own_sentiment(self) -> None:
        rollup = rollup_of(
            [
                customer_result(0, -1.0, participant_id="father"),
                customer_result(1, 0.5, participant_id="daughter"),
                customer_result(2, -0.5, participant_id="father"),
            ]
        )
        scores = {p.participant_id: p.sentiment.score for p in rollup.participants if p.sentiment}
        assert scores == {"father": -0.75, "daughter": 0.5}
        assert rollup.sentiment is not None
        assert rollup.sentiment.score == pytest.approx(-1 / 3)


class TestAbsence:
    @pytest.mark.parametrize(
        ("results", "absence"),
        [
            ([], Absence.INSUFFICIENT_TURNS),
            ([agent_result(0)], Absence.INSUFFICIENT_TURNS),
            ([agent_result(0), unread_result(1)], Absence.UNSUPPORTED_LANGUAGE),
        ],
    )
    def test_no_scored_turn_gives_no_scores(
        self, results: list[TurnResult], absence: Absence
    ) -> None:
        rollup = rollup_of(results)
        assert rollup.absence is absence
        assert rollup.sentiment is None
        assert rollup.urgency is None
        assert rollup.stage is None
        assert rollup.escalation is None
        assert rollup.expected_csat is None
        assert rollup.tags == ()

    def test_unread_customer_says_why(self) -> None:
        (customer,) = rollup_of([unread_result(0)]).participants
        assert customer.sentiment is None
        assert customer.absence is Absence.UNSUPPORTED_LANGUAGE

    @given(result_lists())
    def test_scores_are_all_there_or_all_absent(self, results: list[TurnResult]) -> None:
        rollup = rollup_of(results)
        is_absent = rollup.absence is not None
        parts = (rollup.sentiment, rollup.urgency, rollup.stage, rollup.escalation)
        assert all((part is None) == is_absent for part in parts)
        assert (rollup.expected_csat is None) == is_absent
