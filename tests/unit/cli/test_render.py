"""What people see: readable without colours, and never scrambled by what customers write."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from moodline.cli import render
from moodline.v1.analysis_pb2 import (
    ConversationAnalysis,
    Escalation,
    Evidence,
    RollupEscalation,
    RollupSentiment,
    RollupStage,
    RollupUrgency,
    Sentiment,
    SentimentScales,
    SentimentTrend,
    Stage,
    Tag,
    TurnResult,
    Urgency,
)
from moodline.v1.conversation_pb2 import Conversation, Turn

PLAIN = render.Look(is_coloured=False)


def printed(block: RenderableType, *, width: int = 80) -> str:
    output = io.StringIO()
    Console(file=output, width=width, highlight=False, markup=False).print(block)
    return output.getvalue()


def scored(
    index: int, *, score: float = 0.0, label: str = "NEUTRAL", level: str = "NONE"
) -> TurnResult:
    return TurnResult(
        turn_index=index,
        role="customer",
        sentiment=Sentiment(label=label, score=score),
        urgency=Urgency(level="NORMAL"),
        stage=Stage(name="support", probability=0.9),
        escalation=Escalation(level=level, probability=0.62),
    )


def read(text: str, result: TurnResult, *, is_flagged: bool = False) -> render.ReadTurn:
    return render.ReadTurn(Turn(role="customer", text=text), result, is_flagged=is_flagged)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc", r"a\nb\tc"),
        ("abc\u202etxt", r"abc\u202etxt"),
        ("\u2066x\u2069", r"\u2066x\u2069"),
        ("\u2028", r"\u2028"),
        ("👩‍👧 مرحبا ğüş", "👩‍👧 مرحبا ğüş"),
    ],
)
def test_hidden_characters_are_shown_and_all_others_left(text: str, shown: str) -> None:
    assert render.escaped(text) == shown


@given(st.text(alphabet=st.characters(categories=("Cc", "Cf", "L", "Zl", "Zp"))))
def test_nothing_that_moves_the_cursor_or_the_direction_is_printed(text: str) -> None:
    assert not re.search(
        "[\x00-\x1f\x7f-\x9f\u200e\u200f\u061c\u202a-\u202e]", render.escaped(text)
    )


def test_evidence_is_marked_without_colours() -> None:
    spans = [Evidence(start=2, end=5, text="bcd"), Evidence(start=4, end=6, text="de")]
    assert render.marked_text("a bcde f", spans, PLAIN).plain == "a «bcde» f"


def test_evidence_stays_on_its_words_where_characters_are_escaped() -> None:
    marked = render.marked_text("\x1b\x1b bad", [Evidence(start=3, end=6, text="bad")], PLAIN)
    assert marked.plain == r"\x1b\x1b «bad»"


def test_right_to_left_text_is_isolated_line_by_line() -> None:
    block = render.turn_block(read("مرحبا كيف الحال " * 12, scored(0)), PLAIN)
    lines = [line for line in printed(block, width=60).splitlines() if "ر" in line]
    assert len(lines) > 2
    for line in lines:
        assert line.count("\u2067") == line.count("\u2069") == 1
        assert line.index("\u2067") < line.index("م") < line.index("\u2069")


def test_left_to_right_text_is_left_alone() -> None:
    assert not re.search(
        "[\u2066-\u2069]", printed(render.turn_block(read("Hi", scored(0)), PLAIN))
    )


def test_a_turn_shows_what_was_said_and_what_it_says() -> None:
    result = scored(3, score=-0.6, label="VERY_NEGATIVE", level="ESCALATE")
    result.tags.append(Tag(name="billing", probability=0.9))
    result.evidence.append(Evidence(start=0, end=5, text="Third", aspect="escalation", weight=0.5))
    shown = printed(render.turn_block(read("Third time!", result, is_flagged=True), PLAIN))
    for words in (
        "  3 customer",
        "«Third» time!",
        "··███│····· −0.60 very negative",
        "support",
        "urgency NORMAL",
        "#billing",
        "⚑ ESCALATE  P(escalate) 0.62  because of billing  “Third”",
    ):
        assert words in shown


def test_a_turn_without_scores_says_why() -> None:
    agent = TurnResult(turn_index=0, role="agent", absence="NOT_CUSTOMER")
    unread = TurnResult(turn_index=1, role="customer", absence="UNSUPPORTED_LANGUAGE")
    assert printed(render.turn_block(read("Hello", agent), PLAIN)).split() == [
        "0",
        "agent",
        "Hello",
    ]
    assert "no scores: UNSUPPORTED_LANGUAGE" in printed(
        render.turn_block(read("你好", unread), PLAIN)
    )


def test_a_flag_is_a_turn_with_which_escalation_rises() -> None:
    flags = render.FlagTracker()
    levels = ["NONE", "WATCH", "WATCH", "ESCALATE", "WATCH", "ESCALATE", "NONE"]
    rises = [flags.rises(scored(i, level=level)) for i, level in enumerate(levels)]
    assert rises == [False, True, False, True, False, True, False]
    assert not flags.rises(TurnResult(role="agent", absence="NOT_CUSTOMER"))


@pytest.mark.parametrize(
    ("score", "bar"),
    [(-1.0, "█████│·····"), (0.0, "·····│·····"), (0.4, "·····│██···"), (1.0, "·····│█████")],
)
def test_the_mood_bar_grows_from_neutral(score: float, bar: str) -> None:
    assert render.mood_bar(score) == bar


def test_the_mood_line_draws_each_customer_turn() -> None:
    results = [scored(0, score=-1.0), TurnResult(turn_index=1), scored(2, score=0.5), scored(3)]
    line = render.mood_line(results, width=60)
    assert line is not None
    assert [row.rstrip() for row in printed(line).splitlines()] == [
        "  +1",
        "         ███",
        "   0 ────────────",
        "     ███",
        "  −1 ███",
        "turn 0   2   3",
    ]


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=500), st.integers(8, 120))
def test_the_mood_line_fits_into_its_width(scores: list[float], width: int) -> None:
    results = [scored(index, score=score) for index, score in enumerate(scores)]
    line = render.mood_line(results, width=width)
    assert line is not None
    assert all(len(row.rstrip()) <= width for row in printed(line, width=200).splitlines())


def test_one_turn_makes_no_line() -> None:
    assert render.mood_line([scored(0, score=0.5)], width=60) is None


def rolled_up() -> ConversationAnalysis:
    return ConversationAnalysis(
        conversation_id="c-1",
        turns=[scored(0, score=-0.5, label="NEGATIVE", level="WATCH"), scored(1)],
        sentiment=RollupSentiment(
            label="NEGATIVE",
            score=-0.25,
            trend=SentimentTrend(label="SLIGHTLY_IMPROVING", customer_turn_count=2),
            begin_score=-0.5,
            end_score=0.0,
            scales=SentimentScales(minus5_to_5=-1.25, minus100_to_100=-25.0, zero_to_100=37.5),
        ),
        urgency=RollupUrgency(level="LOW", peak=Urgency(level="HIGH"), peak_turn_index=0),
        stage=RollupStage(name="support", probability=0.8),
        escalation=RollupEscalation(
            level="NONE", peak_level="WATCH", peak_probability=0.3, first_turn_index=0
        ),
        expected_csat=2.4,
        language="en",
        is_language_measured=True,
    )


def test_the_rollup_names_what_it_rests_on() -> None:
    shown = printed(render.rollup_block(rolled_up()), width=120)
    for words in (
        "−0.25 negative, slightly improving over 2 customer turns, from −0.50 to +0.00",
        "−100..100: −25",
        "peak HIGH at turn 0",
        "peak WATCH since turn 0",
        "2.4 of 5 expected",
    ):
        assert words in shown


def test_a_rollup_without_scores_says_why() -> None:
    analysis = ConversationAnalysis(absence="INSUFFICIENT_TURNS", language="und")
    assert "INSUFFICIENT_TURNS" in printed(render.rollup_block(analysis))


def test_a_conversation_shows_its_turns_flags_and_rollup() -> None:
    conversation = Conversation(
        conversation_id="c-1\x1b",
        channel="chat",
        turns=[Turn(role="customer", text="One"), Turn(role="customer", text="Two")],
    )
    shown = printed(render.conversation_block(conversation, rolled_up(), PLAIN, width=80))
    for words in (r"c-1\x1b  chat · 2 turns", "One", "Two", "⚑ WATCH", "turn 0   1", "mood"):
        assert words in shown


def test_the_summary_holds_a_row_a_conversation() -> None:
    unscored = ConversationAnalysis(conversation_id="c-2", absence="INSUFFICIENT_TURNS")
    rows = [
        render.SummaryRow(rolled_up(), 2, (10.0, 30.0)),
        render.SummaryRow(unscored, 1),
    ]
    shown = printed(render.summary_table(rows), width=100).splitlines()
    assert shown[1].split() == [
        "c-1", "en", "2", "−0.25", "↗", "support", "HIGH", "WATCH", "2.4", "20",
    ]  # fmt: skip
    assert "INSUFFICIENT_TURNS" in shown[2]
