"""What a message says is what the domain value says, and back."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from moodline import domain
from moodline.rpc import convert
from moodline.v1.conversation_pb2 import Conversation, Turn

URGENCY = domain.Urgency(
    domain.UrgencyLevel.HIGH, {domain.UrgencyLevel.HIGH: 0.75, domain.UrgencyLevel.LOW: 0.25}
)
ESCALATION = domain.Escalation(
    domain.EscalationLevel.WATCH, 0.25, {domain.EscalationLevel.WATCH: 0.5}
)
SCORES = domain.TurnScores(
    sentiment=domain.Sentiment(
        domain.SentimentLabel.NEGATIVE, -0.5, {domain.SentimentLabel.NEGATIVE: 1.0}
    ),
    urgency=URGENCY,
    stage=domain.NamedProbability("support", 0.5),
    tags=(domain.NamedProbability("billing", 0.75),),
    escalation=ESCALATION,
    expected_csat=2.5,
    evidence=(domain.Evidence(0, 5, "Where", "sentiment", 0.5),),
)
TURN = domain.Turn(domain.Role.CUSTOMER, "Where is it?", turn_id="t1", participant_id="p1")
TREND = domain.SentimentTrend(None, 1, domain.Absence.INSUFFICIENT_TURNS)


def test_a_conversation_is_read_whole() -> None:
    message = Conversation(
        conversation_id="c1",
        channel="chat",
        language="tr",
        turns=[Turn(turn_id="t1", role="agent", text="Merhaba", participant_id="p1")],
    )
    assert convert.conversation_from_proto(message) == domain.Conversation(
        "c1",
        (domain.Turn(domain.Role.AGENT, "Merhaba", turn_id="t1", participant_id="p1"),),
        channel="chat",
        language="tr",
    )


@pytest.mark.parametrize(
    ("duration", "milliseconds"),
    [
        (Duration(), 0),
        (Duration(nanos=999_999), 0),
        (Duration(seconds=2, nanos=1_999_999), 2001),
        (Duration(seconds=315_576_000_000), 315_576_000_000_000),
    ],
)
def test_offsets_are_read_to_the_millisecond_rounded_down(
    duration: Duration, milliseconds: int
) -> None:
    turn = convert.turn_from_proto(
        Turn(role="customer", text="hi", start_offset=duration, end_offset=duration)
    )
    assert (turn.start_ms, turn.end_ms) == (milliseconds, milliseconds)


def test_absent_offsets_stay_unknown() -> None:
    turn = convert.turn_from_proto(Turn(role="customer", text="hi"))
    assert (turn.start_ms, turn.end_ms) == (None, None)


@pytest.mark.parametrize("is_omitted", [False, True])
def test_evidence_is_written_unless_omitted(is_omitted: bool) -> None:
    result = domain.TurnResult(3, TURN, SCORES)
    message = convert.turn_result_to_proto(result, omit_evidence=is_omitted)
    assert bool(message.evidence) is not is_omitted
    assert message.sentiment.label == "NEGATIVE"


def test_a_scored_turn_is_written_whole() -> None:
    message = convert.turn_result_to_proto(domain.TurnResult(3, TURN, SCORES))
    assert (message.turn_index, message.turn_id, message.role) == (3, "t1", "customer")
    assert message.participant_id == "p1"
    assert (message.sentiment.label, message.sentiment.score) == ("NEGATIVE", -0.5)
    assert dict(message.sentiment.probabilities) == {"NEGATIVE": 1.0}
    assert dict(message.urgency.probabilities) == {"HIGH": 0.75, "LOW": 0.25}
    assert (message.stage.name, message.stage.probability) == ("support", 0.5)
    assert [(tag.name, tag.probability) for tag in message.tags] == [("billing", 0.75)]
    (span,) = message.evidence
    assert (span.start, span.end, span.text, span.aspect) == (0, 5, "Where", "sentiment")
    assert (message.escalation.level, message.escalation.probability) == ("WATCH", 0.25)
    assert message.expected_csat == 2.5
    assert message.absence == ""


def test_an_absence_leaves_the_scores_out() -> None:
    result = domain.TurnResult(0, TURN, None, domain.Absence.NOT_CUSTOMER)
    message = convert.turn_result_to_proto(result)
    assert message.absence == "NOT_CUSTOMER"
    for field in ("sentiment", "urgency", "stage", "escalation", "expected_csat"):
        assert not message.HasField(field)


def test_an_absent_rollup_leaves_the_fields_out() -> None:
    rollup = domain.ConversationRollup(
        None, None, None, None, None, (), (), domain.Absence.INSUFFICIENT_TURNS
    )
    message = convert.analysis_to_proto(
        domain.ConversationAnalysis("c1", (), rollup, "m 1", "d", "und", False, ())
    )
    assert message.absence == "INSUFFICIENT_TURNS"
    for field in ("sentiment", "urgency", "stage", "escalation", "expected_csat"):
        assert not message.HasField(field)


def test_a_streamed_turn_brings_the_state_of_the_conversation() -> None:
    state = domain.ConversationState(
        turn_count=2,
        customer_turn_count=1,
        sentiment_score=-0.5,
        trend=TREND,
        escalation=domain.RollupEscalation(
            ESCALATION, domain.EscalationLevel.WATCH, 0.25, first_turn_index=0
        ),
    )
    warning = domain.AnalysisWarning(domain.WarningCode.UNMEASURED_LANGUAGE, "Unmeasured.", 1)
    message = convert.stream_answer_to_proto(
        domain.StreamedTurn(domain.TurnResult(1, TURN, SCORES), False, state, (warning,))
    ).turn_result
    assert not message.is_final
    assert message.turn.turn_index == 1
    assert (message.state.turn_count, message.state.sentiment_score) == (2, -0.5)
    assert message.state.trend.absence == "INSUFFICIENT_TURNS"
    assert message.state.escalation.peak_level == "WATCH"
    assert message.state.escalation.HasField("first_turn_index")
    assert [(w.code, w.turn_index) for w in message.warnings] == [("UNMEASURED_LANGUAGE", 1)]


def test_a_state_without_scores_leaves_them_out() -> None:
    state = domain.ConversationState(1, 0, None, TREND, None)
    result = domain.TurnResult(0, TURN, None, domain.Absence.NOT_CUSTOMER)
    message = convert.stream_answer_to_proto(domain.StreamedTurn(result, True, state, ()))
    assert not message.turn_result.state.HasField("sentiment_score")
    assert not message.turn_result.state.HasField("escalation")


def test_a_duplicate_names_the_turn() -> None:
    message = convert.stream_answer_to_proto(domain.DuplicateTurn("t1", 4)).duplicate_turn
    assert (message.turn_id, message.turn_index) == ("t1", 4)
