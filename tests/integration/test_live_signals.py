"""Signals of live conversations: told, kept, and never in the way of results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import pairwise
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from moodline.analyzer import ConversationAnalyzer
from moodline.limits import Limits
from moodline.signals.domain import SignalEvent, SignalEventKind
from moodline.signals.engine import SignalSession
from moodline.v1.analysis_pb2 import AnalysisOptions
from moodline.v1.analysis_service_pb2 import GetCapabilitiesRequest, StreamConversationResponse
from moodline.v1.conversation_pb2 import Conversation, Turn
from moodline.v1.signal_service_pb2 import (
    AcknowledgeSignalRequest,
    ListSignalsRequest,
    ResolveSignalRequest,
    SignalFilter,
)
from moodline.v1.signal_service_pb2_grpc import SignalServiceStub
from tests.integration.harness import (
    Served,
    assert_same,
    configuration,
    eventually,
    next_answer,
    refusal,
    request,
    streamed,
)
from tests.integration.postgres import Postgres
from tests.integration.signal_harness import (
    ANGRY,
    FRAUD,
    SAMPLES,
    Keeping,
    all_events,
    as_dict,
    keeping,
    messages_of,
    next_event,
    rest_of,
    told,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

LATE = "sample-tr-late-parcel"
FURIOUS = "I want to speak to your manager now, this is a scandal."


@pytest_asyncio.fixture(loop_scope="session")
async def kept(analyzer: ConversationAnalyzer, tmp_path: Path) -> AsyncIterator[Keeping]:
    async with keeping(analyzer, f"sqlite:///{tmp_path}/moodline.db") as server:
        yield server


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[SignalEvent]:
    """What people and the clock have done to the signals of running conversations."""
    events: list[SignalEvent] = []
    apply = SignalSession.apply

    def apply_and_tell(session: SignalSession, event: SignalEvent) -> None:
        apply(session, event)
        events.append(event)

    monkeypatch.setattr(SignalSession, "apply", apply_and_tell)
    return events


def _count(answers: Iterable[StreamConversationResponse], payload: str) -> int:
    return sum(answer.WhichOneof("payload") == payload for answer in answers)


def whole(conversation_id: str) -> Conversation:
    """A sample as a whole conversation, with the ids of its stream."""
    sample = SAMPLES[conversation_id]
    turns = [message.turn for message in messages_of(sample)[1:]]
    return Conversation(
        conversation_id=conversation_id,
        channel=sample.channel,
        language=sample.language,
        turns=turns,
    )


@pytest.mark.parametrize("conversation_id", SAMPLES)
async def test_a_stream_ends_with_the_signals_of_the_whole_conversation(
    kept: Keeping, conversation_id: str
) -> None:
    answers = await kept.talk(*messages_of(SAMPLES[conversation_id]))
    message = whole(conversation_id)
    analysis = (
        await kept.served.stub.AnalyzeConversation(
            request(message.turns, conversation_id=conversation_id, channel=message.channel,
                    language=message.language)
        )
    ).analysis  # fmt: skip
    live = answers[-1].summary.signals
    assert live
    assert_same([as_dict(s) for s in live], [as_dict(s) for s in analysis.signals])
    last_told = {
        event.signal.signal_id: as_dict(event.signal)
        for answer in answers
        for event in answer.signals.events
    }
    # A signal's small changes are not told; what ended has its last word.
    assert list(last_told) == [signal.signal_id for signal in live]
    stored = await all_events(kept.store)
    assert [event.event_id for event in stored] == [event_id for _, _, event_id in told(answers)]


async def test_signals_follow_the_answer_of_their_turn_and_come_before_the_summary(
    kept: Keeping,
) -> None:
    answers = await kept.talk(*messages_of(SAMPLES[LATE]))
    seen: set[int] = set()
    for answer in answers[:-1]:
        if answer.HasField("turn_result"):
            seen.add(answer.turn_result.turn.turn_index)
        else:
            assert answer.signals.turn_index in seen
    assert answers[-1].HasField("summary")
    turns = [turn for turn, _, _ in told(answers)]
    assert turns == sorted(turns)
    assert told(answers)[-1][1] == "EXPIRED"


async def test_quotes_do_not_depend_on_evidence_being_asked_for(kept: Keeping) -> None:
    options = AnalysisOptions(omit_evidence=True)
    answers = await kept.talk(*messages_of(SAMPLES[ANGRY], options=options))
    assert not any(answer.turn_result.turn.evidence for answer in answers)
    signals = answers[-1].summary.signals
    texts = [turn.text for turn in SAMPLES[ANGRY].turns]
    assert all(signal.quotes for signal in signals)
    for signal in signals:
        for quote in signal.quotes:
            assert texts[quote.turn_index][quote.start : quote.end] == quote.text


async def test_a_stream_that_is_sent_again_tells_the_same_and_keeps_nothing_twice(
    kept: Keeping,
) -> None:
    messages = messages_of(SAMPLES[ANGRY])
    call = kept.served.stub.StreamConversation()
    for message in messages[:-1]:
        await call.write(message)
    for _ in messages[1:-1]:
        await next_answer(call)
    call.cancel()
    first = await kept.talk(*messages)
    again = await kept.talk(*messages)
    assert told(first) == told(again)
    assert [e.event_id for e in await all_events(kept.store)] == [i for _, _, i in told(first)]


async def test_two_streams_of_one_conversation_at_a_time_tell_the_same_and_keep_it_once(
    kept: Keeping,
) -> None:
    messages = messages_of(SAMPLES[ANGRY])
    one, other = await asyncio.gather(kept.talk(*messages), kept.talk(*messages))
    assert told(one) == told(other)
    assert [e.event_id for e in await all_events(kept.store)] == [i for _, _, i in told(one)]


async def test_the_end_of_one_stream_changes_nothing_in_another_of_the_same_conversation(
    kept: Keeping, applied: list[SignalEvent]
) -> None:
    """As when a caller has come back, and what was on its way before it broke still arrives."""
    messages = messages_of(SAMPLES[LATE])
    slow = kept.served.stub.StreamConversation()
    for message in messages[:-1]:
        await slow.write(message)
    answers: list[StreamConversationResponse] = []
    wanted = {"turn_result": len(messages) - 2, "signals": 2}
    while any(_count(answers, payload) < count for payload, count in wanted.items()):
        answer = await slow.read()
        assert isinstance(answer, StreamConversationResponse), "the stream has ended"
        answers.append(answer)
    fast = await kept.talk(*messages)
    assert told(fast)[-1][1] == "EXPIRED"
    ended = next(s for s in fast[-1].summary.signals if s.state == "CLEARED")
    # When this has arrived, so has the end of the other stream.
    await kept.signals.ResolveSignal(
        ResolveSignalRequest(signal_id=ended.signal_id, outcome="RIGHT")
    )
    await eventually(lambda: bool(applied))
    await slow.write(messages[-1])
    await slow.done_writing()
    answers += await rest_of(slow)
    assert told(answers) == told(fast)
    assert_same(
        [as_dict(s) for s in answers[-1].summary.signals],
        [as_dict(s) for s in fast[-1].summary.signals],
    )
    *stored, resolved = await all_events(kept.store)
    assert [event.event_id for event in stored] == [event_id for _, _, event_id in told(fast)]
    assert resolved.kind == "RESOLVED"


async def test_streams_of_one_conversation_with_other_turns_share_its_signals(
    kept: Keeping,
) -> None:
    async with asyncio.TaskGroup() as group:
        one = group.create_task(kept.talk(configuration(), streamed("t1", FURIOUS)))
        other = group.create_task(
            kept.talk(configuration(), streamed("t1", "Hello."), streamed("t2", FURIOUS))
        )
    (cause,) = {s.cause for s in one.result()[-1].summary.signals if s.reason == "human_request"}
    for answers in (one.result(), other.result()):
        assert cause in {signal.cause for signal in answers[-1].summary.signals}
    wanted = SignalFilter(causes=[cause])
    listed = (await kept.signals.ListSignals(ListSignalsRequest(filter=wanted))).signals
    assert len(listed) == 1
    events = await all_events(kept.store)
    assert len({event.event_id for event in events}) == len(events)
    of_cause = [event for event in events if event.signal.signal.cause == cause]
    assert [event.kind for event in of_cause].count(SignalEventKind.RAISED) == 1


async def test_discarded_signals_are_told_and_nothing_else(kept: Keeping) -> None:
    answers = await kept.talk(*messages_of(SAMPLES[ANGRY], discard_signals=True))
    assert told(answers)
    assert answers[-1].summary.signals
    assert not await all_events(kept.store)
    # At once, as nothing has to be kept first.
    for answer, after in pairwise(answers):
        if after.HasField("signals") and answer.HasField("turn_result"):
            assert after.signals.turn_index == answer.turn_result.turn.turn_index


async def test_without_a_store_streams_tell_signals_and_the_service_says_what_is_missing(
    served: Served,
) -> None:
    messages = messages_of(SAMPLES[ANGRY])
    call = served.stub.StreamConversation()
    for message in messages:
        await call.write(message)
    await call.done_writing()
    assert told([answer async for answer in call])
    answer = await refusal(SignalServiceStub(served.channel).ListSignals(ListSignalsRequest()))
    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_STORE")
    assert "MOODLINE_STORE__URL" in answer.message
    capabilities = (await served.stub.GetCapabilities(GetCapabilitiesRequest())).capabilities
    assert not capabilities.is_signal_store_open
    assert capabilities.rule_set.rule_set_digest
    assert capabilities.rule_set.rule_count > 20


async def test_results_go_on_while_the_store_is_down_and_signals_follow(kept: Keeping) -> None:
    kept.store.is_down = True
    call = kept.served.stub.StreamConversation()
    for message in messages_of(SAMPLES[ANGRY]):
        await call.write(message)
    results = [await next_answer(call) for _ in SAMPLES[ANGRY].turns]
    assert [r.turn_result.turn.turn_index for r in results] == list(range(len(results)))
    await eventually(lambda: kept.store.failure_count > 1)
    assert not await all_events(kept.store)
    assert (kept.served.sample("moodline_turns_awaiting_store") or 0) > 1
    kept.store.is_down = False
    await call.done_writing()
    rest = await rest_of(call)
    assert [answer.WhichOneof("payload") for answer in rest][-1] == "summary"
    assert [e.event_id for e in await all_events(kept.store)] == [i for _, _, i in told(rest)]
    assert kept.served.sample("moodline_turns_awaiting_store") == 0
    assert kept.served.sample("moodline_streams_not_kept_total") == 0


async def test_a_stream_whose_signals_cannot_be_kept_ends_unavailable(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/moodline.db"
    async with keeping(analyzer, url, end_patience_s=0.01) as kept:
        kept.store.is_down = True
        call = kept.served.stub.StreamConversation()
        for message in messages_of(SAMPLES[ANGRY]):
            await call.write(message)
        await call.done_writing()
        for _ in SAMPLES[ANGRY].turns:
            assert (await next_answer(call)).HasField("turn_result")
        refused = await refusal(call.read())
        assert kept.served.sample("moodline_streams_not_kept_total") == 1
        kept.store.is_down = False
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")


async def test_only_so_many_turns_wait_for_the_store(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    limits = Limits(max_turns_awaiting_store=2)
    async with keeping(analyzer, f"sqlite:///{tmp_path}/m.db", limits=limits) as kept:
        kept.store.is_down = True
        answer = await refusal(
            kept.talk(configuration(), *[streamed(f"t{i}", FURIOUS) for i in range(8)])
        )
        kept.store.is_down = False
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")


async def test_what_a_caller_saw_results_of_is_kept_though_it_leaves(kept: Keeping) -> None:
    kept.store.is_down = True
    call = kept.served.stub.StreamConversation()
    await call.write(configuration())
    await call.write(streamed("t1", FURIOUS))
    await next_answer(call)
    call.cancel()
    await eventually(lambda: kept.served.sample("moodline_live_streams") == 0)
    kept.store.is_down = False
    events = kept.store.watch("default", 0)
    assert (await anext(events)).signal.signal.cause == "human_request"
    await events.aclose()


async def test_personal_data_is_masked_where_it_is_kept_not_for_the_caller(kept: Keeping) -> None:
    text = "I did not buy anything with my card 4111 1111 1111 1111, it was stolen, this is fraud!"
    answers = await kept.talk(configuration(), streamed("t1", text))
    own = " ".join(q.text for s in answers[-1].summary.signals for q in s.quotes)
    (event, *_) = await all_events(kept.store)
    stored = " ".join(quote.text for quote in event.signal.signal.quotes)
    assert own
    assert stored
    assert "4111" not in stored
    stored_signals = (await kept.signals.ListSignals(ListSignalsRequest())).signals
    assert "4111" not in str(stored_signals)


async def test_no_words_and_no_ids_of_a_conversation_are_logged(
    kept: Keeping, log_lines: Callable[[], list[dict[str, object]]]
) -> None:
    kept.store.is_down = True
    call = kept.served.stub.StreamConversation()
    for message in messages_of(SAMPLES[FRAUD], conversation_id="secret-7", customer_id="who-8"):
        await call.write(message)
    for _ in SAMPLES[FRAUD].turns:
        await next_answer(call)
    await eventually(lambda: kept.store.failure_count > 0)
    kept.store.is_down = False
    await call.done_writing()
    assert told(await rest_of(call))
    logged = json.dumps(log_lines(), ensure_ascii=False)
    assert "store_unavailable" in logged
    words = {word for turn in SAMPLES[FRAUD].turns for word in turn.text.split() if len(word) > 6}
    assert not [word for word in ("secret-7", "who-8", *words) if word in logged]


async def test_rules_look_at_attributes_and_the_past_of_a_customer(kept: Keeping) -> None:
    text = "My internet is down again, nothing works and nobody helps me."
    for number in range(3):
        contact = configuration(f"c{number}", customer_id="nurcan", channel="chat")
        answers = await kept.talk(contact, streamed("t1", text))
    rules = {signal.rule_id for signal in answers[-1].summary.signals}
    assert "third_contact" in rules
    unary = await kept.served.analyze(Turn(role="customer", text=text))
    assert "third_contact" not in {signal.rule_id for signal in unary.analysis.signals}
    known = await kept.served.stub.AnalyzeConversation(
        request([Turn(role="customer", text=text)], conversation_id="c9", customer_id="nurcan")
    )
    assert "third_contact" in {signal.rule_id for signal in known.analysis.signals}
    kept.store.is_down = True
    unknown = await kept.served.stub.AnalyzeConversation(
        request([Turn(role="customer", text=text)], conversation_id="c9", customer_id="nurcan")
    )
    assert [w.code for w in unknown.analysis.warnings] == ["CUSTOMER_PAST_UNKNOWN"]
    kept.store.is_down = False


@pytest.mark.parametrize("is_resolved", [False, True])
async def test_what_people_do_on_another_replica_reaches_the_running_conversation(
    analyzer: ConversationAnalyzer,
    postgres: Postgres,
    applied: list[SignalEvent],
    is_resolved: bool,
) -> None:
    url = await postgres.create_database()
    # An hour: replicas must wake each other.
    async with (
        keeping(analyzer, url, poll_s=3_600) as here,
        keeping(analyzer, url, poll_s=3_600) as there,
    ):
        watch = there.watch(filter=SignalFilter(causes=["human_request"]))
        await watch.read()
        call = here.served.stub.StreamConversation()
        await call.write(configuration())
        await call.write(streamed("t1", FURIOUS))
        raised = (await next_event(watch)).event.signal
        assert raised.cause == "human_request"
        if is_resolved:
            await there.signals.ResolveSignal(
                ResolveSignalRequest(signal_id=raised.signal_id, outcome="WRONG", resolved_by="ada")
            )
        else:
            await there.signals.AcknowledgeSignal(
                AcknowledgeSignalRequest(signal_id=raised.signal_id, acknowledged_by="ada")
            )
        changed = (await next_event(watch)).event.signal
        assert changed.state == ("RESOLVED" if is_resolved else "ACKNOWLEDGED")
        await eventually(lambda: bool(applied))
        await call.write(streamed("t2", "Hello?"))
        await call.done_writing()
        summary = (await rest_of(call))[-1].summary
        watch.cancel()
    (signal,) = [s for s in summary.signals if s.cause == "human_request"]
    if is_resolved:
        assert (signal.state, signal.outcome, signal.resolved_by) == ("RESOLVED", "WRONG", "ada")
    else:
        assert (signal.state, signal.acknowledged_by) == ("ACKNOWLEDGED", "ada")
