"""A run over many lines: in order, within bounds, and as far as it can get."""

import asyncio
import io
import json
import os

import pytest

from moodline.cli.analysis import MAX_IN_FLIGHT, analyze_lines
from moodline.cli.conversation_lines import LineParser
from moodline.errors import FieldViolation, NotReadyError
from moodline.jobs.model import Analyze, ConversationError
from moodline.limits import Limits
from moodline.rpc.validation import RequestValidator
from moodline.v1.analysis_pb2 import ConversationAnalysis
from moodline.v1.conversation_pb2 import Conversation

PARSER = LineParser(RequestValidator(Limits()))


def line(name: str, **fields: str) -> bytes:
    turns = [{"role": "customer", "text": "Hi"}]
    return json.dumps({"conversation_id": name, "turns": turns, **fields}).encode() + b"\n"


class RecordingSink:
    def __init__(self) -> None:
        self.events: list[str] = []
        self.written = asyncio.Event()

    def write(self, conversation: Conversation, analysis: ConversationAnalysis) -> None:
        assert conversation.conversation_id == analysis.conversation_id
        self.events.append(analysis.conversation_id)
        self.written.set()

    def refuse(self, line_number: int, violations: tuple[FieldViolation, ...]) -> None:
        self.events.append(f"refused {line_number}: {violations[0].field}")

    def ignore(self, line_number: int, key: str) -> None:
        self.events.append(f"ignored {line_number}: {key}")


async def echo(conversation: Conversation) -> ConversationAnalysis:
    return ConversationAnalysis(conversation_id=conversation.conversation_id)


async def run(content: bytes, analyze: Analyze = echo) -> tuple[int, list[str]]:
    sink = RecordingSink()
    refused_count = await analyze_lines(
        io.BytesIO(content), parser=PARSER, analyze=analyze, sink=sink
    )
    return refused_count, sink.events


async def test_results_keep_the_order_of_the_lines_whoever_is_ready_first() -> None:
    names = [str(index) for index in range(30)]
    done = {name: asyncio.Event() for name in names}

    async def last_of_a_pair_first(conversation: Conversation) -> ConversationAnalysis:
        name = conversation.conversation_id
        done[name].set()
        if int(name) % 2 == 0:
            await done[str(int(name) + 1)].wait()
        return await echo(conversation)

    assert await run(b"".join(map(line, names)), last_of_a_pair_first) == (0, names)


async def test_a_bounded_number_is_in_flight_whatever_waits() -> None:
    in_flight, most = 0, 0

    async def count(conversation: Conversation) -> ConversationAnalysis:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        for _ in range(10):
            await asyncio.sleep(0)
        in_flight -= 1
        return await echo(conversation)

    await run(b"".join(line(str(index)) for index in range(200)), count)
    # One more than the queue holds is being waited for, and one waits for a place in it.
    assert 2 <= most <= MAX_IN_FLIGHT + 2


async def test_bad_lines_are_told_in_place_and_the_others_go_on() -> None:
    content = line("a") + b"{\n" + line("b") + line("") + line("c", note="x") + line("d", note="y")
    assert await run(content) == (
        2,
        ["a", "refused 2: ", "b", "refused 4: conversation_id", "ignored 5: note", "c", "d"],
    )


async def test_a_conversation_that_cannot_be_analysed_fails_alone() -> None:
    async def refuse_b(conversation: Conversation) -> ConversationAnalysis:
        if conversation.conversation_id == "b":
            raise ConversationError((FieldViolation("turns", "has too much"),))
        return await echo(conversation)

    assert await run(line("a") + line("b") + line("c"), refuse_b) == (
        1,
        ["a", "refused 2: turns", "c"],
    )


async def test_an_engine_that_is_gone_ends_the_run_after_what_came_before() -> None:
    async def die_at_b(conversation: Conversation) -> ConversationAnalysis:
        if conversation.conversation_id == "b":
            raise NotReadyError("gone")
        return await echo(conversation)

    sink = RecordingSink()
    content = io.BytesIO(b"".join(map(line, "abcdefghijklmnopqrstuvwxyz")))
    with pytest.raises(NotReadyError):
        await analyze_lines(content, parser=PARSER, analyze=die_at_b, sink=sink)
    assert sink.events == ["a"]


async def test_a_source_that_cannot_be_read_ends_the_run() -> None:
    class Broken(io.BytesIO):
        def readinto(self, buffer: object, /) -> int:
            raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        await analyze_lines(Broken(), parser=PARSER, analyze=echo, sink=RecordingSink())


async def test_results_come_while_the_source_keeps_silent() -> None:
    read_end, write_end = os.pipe()
    sink = RecordingSink()
    with io.FileIO(read_end) as source, os.fdopen(write_end, "wb", buffering=0) as target:
        running = asyncio.create_task(analyze_lines(source, parser=PARSER, analyze=echo, sink=sink))
        target.write(line("a"))
        async with asyncio.timeout(30):
            await sink.written.wait()
            assert sink.events == ["a"]
            target.write(line("b"))
            target.close()
            assert await running == 0
    assert sink.events == ["a", "b"]
