"""One conversation, three ways in: whole, in a batch, and turn by turn. The numbers are the same.

Conversations, partial turns, repetitions and the interleaving of the streams are drawn at random.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moodline.samples import load_samples
from moodline.v1.analysis_pb2 import ConversationAnalysis
from moodline.v1.analysis_service_pb2 import (
    AnalyzeConversationRequest,
    BatchAnalyzeConversationsRequest,
    StreamConversationRequest,
)
from moodline.v1.conversation_pb2 import Conversation, Turn
from tests.integration.harness import Served, Stream, configuration, next_answer, turn

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOLERANCE = 1e-4

SENTENCES = [t.text for sample in load_samples() for t in sample.turns]
REPEATED = ["ok", "thanks", "tamam", "شكرا", "👍", "?"]


def readable(text: str) -> bool:
    return any(character.isalnum() for character in text)


texts = st.one_of(
    st.sampled_from(SENTENCES),
    st.sampled_from(REPEATED),
    # Longer than a window, so that windows overlap.
    st.lists(st.sampled_from(SENTENCES), min_size=10, max_size=14).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(readable),
)


@st.composite
def turns(draw: st.DrawFn, index: int) -> Turn:
    start_ms = draw(st.none() | st.integers(0, 600_000))
    offset = Duration()
    offset.FromMilliseconds(start_ms or 0)
    return turn(
        draw(texts),
        turn_id=f"t{index}",
        role=draw(st.sampled_from(["customer", "customer", "agent", "bot"])),
        participant_id=draw(st.sampled_from(["", "p1", "p2"])),
        start_offset=None if start_ms is None else offset,
    )


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    count = draw(st.integers(1, 7))
    return Conversation(
        conversation_id=draw(st.sampled_from(["c1", "c2", "محادثة"])),
        turns=[draw(turns(index)) for index in range(count)],
        language=draw(st.sampled_from(["", "", "en", "tr", "ar", "ja"])),
    )


@dataclass(frozen=True)
class Step:
    """A message of one stream; whether its sender waits for the answers that are due first."""

    stream: int
    message: StreamConversationRequest
    is_awaited: bool


@st.composite
def messages(draw: st.DrawFn, conversation: Conversation) -> list[StreamConversationRequest]:
    """The turns as a live caller sends them: some partial first, some final ones again."""
    sent = [configuration(conversation.conversation_id, language=conversation.language)]
    for index, final in enumerate(conversation.turns):
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            partial = Turn()
            partial.CopyFrom(final)
            partial.text = draw(st.just(final.text[: len(final.text) // 2 + 1]) | texts)
            partial.is_final = False
            if readable(partial.text):
                sent.append(StreamConversationRequest(turn=partial))
        known = conversation.turns[: index + 1]
        for turn_to_send in (final, *draw(st.lists(st.sampled_from(known), max_size=1))):
            repeated = Turn()
            repeated.CopyFrom(turn_to_send)
            repeated.is_final = True
            sent.append(StreamConversationRequest(turn=repeated))
    return sent


@st.composite
def scripts(draw: st.DrawFn) -> tuple[list[Conversation], list[Step]]:
    """Conversations, and one order in which the messages of their streams are sent."""
    drawn = draw(st.lists(conversations(), min_size=1, max_size=3))
    waiting = [(i, draw(messages(conversation))) for i, conversation in enumerate(drawn)]
    steps = []
    while waiting:
        stream, queue = draw(st.sampled_from(waiting))
        steps.append(Step(stream, queue.pop(0), draw(st.booleans())))
        waiting = [(i, left) for i, left in waiting if left]
    return drawn, steps


@dataclass
class Live:
    """One open stream and what is still due on it."""

    call: Stream
    due_count: int
    analysis: ConversationAnalysis

    async def catch_up(self) -> None:
        while self.due_count:
            answer = await next_answer(self.call)
            self.due_count -= 1
            if answer.turn_result.is_final:
                self.analysis.turns.append(answer.turn_result.turn)

    async def finish(self) -> ConversationAnalysis:
        await self.call.done_writing()
        await self.catch_up()
        summary = (await next_answer(self.call)).summary
        summary.turns.extend(self.analysis.turns)
        return summary


async def stream(served: Served, count: int, steps: list[Step]) -> list[ConversationAnalysis]:
    lives = [
        Live(served.stub.StreamConversation(), 0, ConversationAnalysis()) for _ in range(count)
    ]
    for step in steps:
        live = lives[step.stream]
        await live.call.write(step.message)
        live.due_count += step.message.HasField("turn")
        if step.is_awaited:
            await live.catch_up()
    return list(await asyncio.gather(*(live.finish() for live in lives)))


async def analyze(served: Served, conversation: Conversation) -> ConversationAnalysis:
    whole = AnalyzeConversationRequest(conversation=conversation)
    return (await served.stub.AnalyzeConversation(whole)).analysis


async def analyze_batch(
    served: Served, conversations: list[Conversation]
) -> list[ConversationAnalysis]:
    batch = BatchAnalyzeConversationsRequest(conversations=conversations)
    return [r.analysis for r in (await served.stub.BatchAnalyzeConversations(batch)).results]


def values(message: Message) -> dict[str, Any]:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Paths at which two results say different things."""
    if isinstance(left, dict) and isinstance(right, dict):
        return [
            difference
            for key in sorted(left.keys() | right.keys())
            for difference in differences(left.get(key), right.get(key), f"{path}.{key}")
        ]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [
            difference
            for index, pair in enumerate(zip(left, right, strict=True))
            for difference in differences(*pair, f"{path}[{index}]")
        ]
    if isinstance(left, float) and isinstance(right, float):
        # The scales multiply the score; their tolerance grows alike.
        factor = 100 if ".scales." in path else 1
        return [] if abs(left - right) <= TOLERANCE * factor else [f"{path}: {left} != {right}"]
    return [] if left == right else [f"{path}: {left!r} != {right!r}"]


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(script=scripts())
async def test_a_stream_and_a_batch_say_what_the_unary_call_says(
    served: Served, script: tuple[list[Conversation], list[Step]]
) -> None:
    drawn, steps = script
    async with asyncio.TaskGroup() as callers:
        streaming = callers.create_task(stream(served, len(drawn), steps))
        batching = callers.create_task(analyze_batch(served, drawn))
        whole = [callers.create_task(analyze(served, c)) for c in drawn]
    for index in range(len(drawn)):
        expected = values(whole[index].result())
        assert differences(values(streaming.result()[index]), expected) == []
        assert differences(values(batching.result()[index]), expected) == []
