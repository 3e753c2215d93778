"""Documents are found in files, arrays and lines, and one that is broken costs only itself."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodline.json_lines import MAX_LINE_BYTES
from moodline.transcripts import (
    ReadOptions,
    TranscriptSource,
    UnreadableItem,
    read_transcripts,
)
from moodline.transcripts.reading import HEAD_BYTES
from tests.unit.transcripts.harness import Pipe, read, transcript, unreadable

SECRET = "my card number is 4111"


def line(conversation_id: str = "", text: str = "hello") -> str:
    turns = [{"role": "customer", "text": text}]
    return json.dumps({"conversation_id": conversation_id, "turns": turns})


@given(st.binary(max_size=3_000), st.integers(0, 4_000), st.integers(1, 100))
def test_a_source_that_was_looked_into_is_read_whole(content: bytes, head: int, ahead: int) -> None:
    source = TranscriptSource("s", io.BufferedReader(Pipe(content)))
    assert source.head(head) == content[:head]
    assert source.head(head + ahead) == content[: head + ahead]
    with source.open() as stream:
        assert stream.read() == content


def test_a_broken_line_costs_only_itself() -> None:
    text = "\n".join([line("a"), '{"turns": [{"text": "my card', line("c"), "7", line("e")])
    a, b, c, d, e = read(text, name="calls.jsonl")
    assert [i.conversation_id for i in (a, c, e)] == ["a", "c", "e"]
    assert str(b).startswith("calls.jsonl, line 2: is not JSON, for it ends too early")
    assert str(d) == "calls.jsonl, line 4: should be a JSON object"


def test_a_broken_first_line_does_not_hide_the_format() -> None:
    first, second = read(f"{line('a')[:-2]}\n{line('b')}\n")
    assert isinstance(first, UnreadableItem)
    assert first.place == "line 1"
    assert second.conversation_id == "b"


def test_conversations_without_id_are_named_after_their_place() -> None:
    assert transcript(line(), name="dir/call 7.json").conversation_id == "call 7"
    items = read(f"{line()}\n\n{line()}\n", name="calls.jsonl")
    assert [item.conversation_id for item in items] == ["calls-1", "calls-3"]
    items = read(f"[{line()}, {line()}]", name="calls.json")
    assert [item.conversation_id for item in items] == ["calls-1", "calls-2"]


def test_objects_that_are_printed_over_lines_are_one_document() -> None:
    record = json.loads(line("a"))
    record["turns"] *= 2
    text = json.dumps(record).replace("[", "[\n  ").replace("}, ", "},\n  ").replace("]", "\n]")
    assert any(part.strip().startswith("{") for part in text.splitlines()[1:])
    assert len(transcript(text).turns) == 2


class Endless(io.RawIOBase):
    """Gives one chunk after another; a reader that wants them all never ends."""

    def __init__(self, first: str, chunk: str) -> None:
        self._next = first.encode()
        self._chunk = chunk.encode()
        self.given_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        assert self.given_bytes < 100 * HEAD_BYTES, "reads on and on"
        piece, self._next = self._next, self._chunk
        buffer[: len(piece)] = piece
        self.given_bytes += len(piece)
        return len(piece)


@pytest.mark.parametrize("format_name", ["", "jsonl"])
def test_lines_are_read_as_they_come(format_name: str) -> None:
    stream = Endless(f"{line('a')}\n", f"{line('b')}\n")
    source = TranscriptSource("s", io.BufferedReader(stream))
    items = read_transcripts(source, format_name=format_name)
    assert [next(items).conversation_id for _ in range(3)] == ["a", "b", "b"]


def test_rows_are_read_as_they_come() -> None:
    head = "conversation_id,role,text\na,agent,hi\na,customer,hello\n"
    stream = Endless(head, "".join(f"b{i},agent,hi\n" for i in range(300)))
    items = read_transcripts(TranscriptSource("s", io.BufferedReader(stream)))
    assert [next(items).conversation_id for _ in range(3)] == ["a", "b0", "b1"]


def test_a_line_that_is_too_long_is_passed_over() -> None:
    long = line("long", "x" * MAX_LINE_BYTES)
    first, second, third = read("\n".join([line("a"), long, line("b")]))
    assert (first.conversation_id, third.conversation_id) == ("a", "b")
    assert f"has more than {MAX_LINE_BYTES} bytes" in str(second)


def test_a_document_that_is_too_large_is_refused() -> None:
    pretty = json.dumps(json.loads(line("a", SECRET)), indent=1)
    problem = str(unreadable(pretty, options=ReadOptions(max_document_bytes=50)))
    assert "has more than 50 bytes" in problem
    assert SECRET not in problem


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1e400"])
def test_a_time_that_is_no_number_is_refused(number: str) -> None:
    text = line().replace('"text"', f'"start_ms": {number}, "text"')
    assert isinstance(unreadable(text, format_name="jsonl"), UnreadableItem)
