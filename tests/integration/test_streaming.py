"""What a live conversation is answered: the comments of StreamConversation, one by one."""

from __future__ import annotations

import grpc
import pytest

from moodline.artifact import Artifact
from moodline.limits import Limits
from moodline.v1.analysis_pb2 import AnalysisOptions
from tests.integration.harness import (
    HeldEngine,
    Served,
    analyzing,
    configuration,
    eventually,
    next_answer,
    refusal,
    request,
    serving,
    streamed,
    turn,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

ANGRY = "This is the third time my order is late, I want my money back now!"


async def test_each_turn_is_answered_as_it_comes(served: Served) -> None:
    call = served.stub.StreamConversation()
    await call.write(configuration("live"))
    for index, turn_id in enumerate(["t1", "t2", "t3"]):
        await call.write(streamed(turn_id, ANGRY))
        answer = (await next_answer(call)).turn_result
        assert (answer.turn.turn_index, answer.turn.turn_id) == (index, turn_id)
        assert answer.is_final
        assert answer.turn.sentiment.label
        assert answer.state.turn_count == index + 1
    await call.done_writing()
    summary = (await next_answer(call)).summary
    assert summary.conversation_id == "live"
    assert not summary.turns
    assert summary.sentiment.customer_turn_count == 3
    assert await call.read() == grpc.aio.EOF


async def test_a_caller_that_sends_ahead_gets_the_answers_in_order(served: Served) -> None:
    ids = [f"t{i}" for i in range(40)]
    *answers, last = await served.talk(
        configuration(), *[streamed(turn_id, f"message {turn_id}") for turn_id in ids]
    )
    assert [answer.turn_result.turn.turn_id for answer in answers] == ids
    assert last.HasField("summary")


async def test_a_partial_turn_is_answered_and_changes_nothing(served: Served) -> None:
    _, provisional, replaced, other, final, summary = await served.talk(
        configuration(),
        streamed("t1", "Hello"),
        streamed("t2", "This is", is_final=False),
        streamed("t2", "This is the third", is_final=False),
        streamed("t3", "and another", role="agent", is_final=False),
        streamed("t2", ANGRY),
    )
    plain = (await served.analyze(turn("Hello"), turn(ANGRY))).analysis
    for answer in (provisional, replaced, other):
        assert not answer.turn_result.is_final
        assert answer.turn_result.turn.turn_index == 1
        assert answer.turn_result.state.turn_count == 2
    assert other.turn_result.state.customer_turn_count == 1
    assert final.turn_result.is_final
    assert final.turn_result.turn.sentiment.score == pytest.approx(
        plain.turns[1].sentiment.score, abs=1e-4
    )
    # The agent's turn was never final, so it does not count.
    assert [p.turn_count for p in summary.summary.participants] == [2]
    assert summary.summary.sentiment.score == pytest.approx(plain.sentiment.score, abs=1e-4)


async def test_a_provisional_result_is_what_the_final_one_would_be(served: Served) -> None:
    provisional, final, _ = await served.talk(
        configuration(), streamed("t1", ANGRY, is_final=False), streamed("t1", ANGRY)
    )
    assert provisional.turn_result.turn == final.turn_result.turn
    assert provisional.turn_result.state == final.turn_result.state


async def test_a_final_turn_that_comes_again_is_acknowledged_not_computed(
    artifact: Artifact, engine: HeldEngine
) -> None:
    async with analyzing(artifact, engine) as analyzer, serving(analyzer) as served:
        _, _, again, summary = await served.talk(
            configuration(), streamed("t1", ANGRY), streamed("t2", "ok"), streamed("t1", ANGRY)
        )
    assert (again.duplicate_turn.turn_id, again.duplicate_turn.turn_index) == ("t1", 0)
    assert summary.summary.sentiment.customer_turn_count == 2
    assert engine.row_count == 2


async def test_a_stream_that_is_full_says_so(artifact: Artifact, engine: HeldEngine) -> None:
    limits = Limits(max_stream_turns=2)
    async with (
        analyzing(artifact, engine, limits=limits) as analyzer,
        serving(analyzer) as served,
    ):
        answer = await refusal(
            served.talk(configuration(), *[streamed(f"t{i}", "ok") for i in range(3)])
        )
    assert answer.reason == "INPUT_TOO_LONG"
    assert "open another stream" in answer.violations["turn"]


async def test_a_caller_that_reads_nothing_and_leaves_is_forgotten(served: Served) -> None:
    call = served.stub.StreamConversation()
    await call.write(configuration())
    for index in range(300):
        await call.write(streamed(f"t{index}", "ok"))
    call.cancel()
    await eventually(lambda: served.sample("moodline_live_streams") == 0)
    assert (await served.analyze(turn())).analysis.turns


async def test_the_state_runs_along_and_ends_as_the_rollup(served: Served) -> None:
    *answers, last = await served.talk(
        configuration(),
        streamed("t1", "Hello, how can I help you?", role="agent"),
        *[streamed(f"c{i}", ANGRY) for i in range(4)],
    )
    first, *_, end = [answer.turn_result.state for answer in answers]
    assert not first.HasField("sentiment_score")
    assert not first.HasField("escalation")
    assert first.trend.absence == "INSUFFICIENT_TURNS"
    summary = last.summary
    assert end.sentiment_score == summary.sentiment.score
    assert end.trend == summary.sentiment.trend
    assert end.escalation == summary.escalation


async def test_a_stream_without_turns_ends_with_an_absence(served: Served) -> None:
    (answer,) = await served.talk(configuration())
    assert answer.summary.absence == "INSUFFICIENT_TURNS"


async def test_evidence_is_left_out_on_request(served: Served) -> None:
    with_evidence, _ = await served.talk(configuration(), streamed("t1", ANGRY))
    without, _ = await served.talk(
        configuration(options=AnalysisOptions(omit_evidence=True)), streamed("t1", ANGRY)
    )
    assert with_evidence.turn_result.turn.evidence
    assert not without.turn_result.turn.evidence
    assert without.turn_result.turn.sentiment == with_evidence.turn_result.turn.sentiment


async def test_a_declared_language_stands(served: Served) -> None:
    _, summary = await served.talk(configuration(language="tr"), streamed("t1", "ok"))
    plain = await served.stub.AnalyzeConversation(request([turn("ok")], language="tr"))
    assert summary.summary.language == plain.analysis.language == "tr"
    assert summary.summary.is_language_measured


async def test_a_warning_comes_with_the_turn_and_again_at_the_end(served: Served) -> None:
    first, second, last = await served.talk(
        configuration(),
        streamed("t1", "Wo ist mein Paket? Ich warte seit zwei Wochen darauf."),
        streamed("t2", "Das ist wirklich sehr enttäuschend und ärgerlich."),
    )
    assert [w.code for w in first.turn_result.warnings] == ["UNMEASURED_LANGUAGE"]
    assert not second.turn_result.warnings
    assert [w.code for w in last.summary.warnings] == ["UNMEASURED_LANGUAGE"]
