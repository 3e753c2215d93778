"""Tables: whose rows belong together, what their columns are called, and what a bad row costs."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodline.transcripts import (
    ReadOptions,
    SkipReason,
    SpeakerRole,
    Transcript,
    UnreadableItem,
    rows,
)
from tests.unit.transcripts.harness import read, transcript, unreadable

SECRET = "my card number is 4111"


def table(*lines: str, head: str = "conversation_id,role,text") -> str:
    return "\n".join([head, *lines]) + "\n"


def test_conversations_follow_each_other() -> None:
    first, second = read(table("a,agent,hi", "a,customer,hello", "b,customer,hey"))
    assert isinstance(first, Transcript)
    assert isinstance(second, Transcript)
    assert [turn.text for turn in first.turns] == ["hi", "hello"]
    assert [turn.place for turn in first.turns] == ["line 2", "line 3"]
    assert [turn.text for turn in second.turns] == ["hey"]


def test_rows_that_come_again_are_refused_with_the_remedy() -> None:
    items = read(table("a,agent,hi", "b,agent,hi", f"a,customer,{SECRET}", "c,agent,hi"), name="t")
    assert [item.conversation_id for item in items] == ["a", "b", "a", "c"]
    assert isinstance(items[2], UnreadableItem)
    assert str(items[2]) == (
        "t, line 4: conversation_id was already read from line 2 on, and other conversations stand "
        "between; what was read there is not whole: sort the table by conversation and time"
    )


def test_a_bad_row_costs_its_conversation_alone() -> None:
    text = table(
        "a,agent,hi,0",
        f"b,customer,{SECRET},soon",
        "b,customer,bye,-5",
        "c,customer,hello,0",
        f"d,customer,{SECRET}",
        'd,customer,"he said "no"",1',
        "d,customer,bye,2",
        "e,customer,hello,3",
        head="conversation_id,role,text,start_ms",
    )
    a, b, c, d, e = read(text)
    assert [item.conversation_id for item in (a, b, c, d, e)] == [*"abcde"]
    assert [isinstance(item, UnreadableItem) for item in (a, b, c, d, e)] == [0, 1, 0, 1, 0]
    assert isinstance(b, UnreadableItem)
    assert isinstance(d, UnreadableItem)
    assert (b.place, d.place) == ("line 3-4", "line 6-8")
    assert "line 3.start_ms should be a number" in str(b)
    assert "line 4.start_ms should be greater than or equal to 0" in str(b)
    assert "line 6 has 3 cells instead of 4; put cells with a separator" in str(d)
    assert "line 7 is no row of CSV" in str(d)
    assert SECRET not in str(b) + str(d)


def test_bytes_that_are_no_text_cost_their_conversation_alone() -> None:
    content = table("a,agent,hi", "b,customer,?", "c,agent,hi").encode()
    a, b, c = read(content.replace(b"?", b"\xfe\xff"))
    assert isinstance(a, Transcript)
    assert "line 3 is not in the encoding of the file; save it as UTF-8" in str(b)
    assert isinstance(c, Transcript)


def test_another_encoding_can_be_named() -> None:
    content = table("a,müşteri,İyi günler").encode("cp1254")
    item = transcript(content, options=ReadOptions(encoding="cp1254"))
    assert (item.turns[0].role, item.turns[0].text) == (SpeakerRole.CUSTOMER, "İyi günler")


def test_an_empty_id_is_refused() -> None:
    assert "conversation_id is empty; fill it in" in str(unreadable(table(",agent,hi")))


def test_a_table_without_ids_is_one_conversation() -> None:
    item = transcript("speaker|message\nAgent|hi\nCaller|hello\n", name="call.txt")
    assert item.conversation_id == "call"
    assert [turn.role for turn in item.turns] == [SpeakerRole.AGENT, SpeakerRole.CUSTOMER]


def test_a_conversation_of_too_many_turns_is_refused_within_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows, "MAX_CONVERSATION_TURNS", 3)
    lines = ["agent,hi"] * 10
    problem = unreadable("role,text\n" + "\n".join(lines))
    (violation,) = problem.violations
    assert violation.field == "line 5"
    assert violation.description.startswith("is turn 4 of one conversation; if there are more")
    assert problem.place == "line 2-11"


def test_finished_conversations_are_remembered_within_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows, "MAX_REMEMBERED_IDS", 2)
    items = read(table("a,agent,hi", "b,agent,hi", "c,agent,hi", "b,agent,hi"))
    assert [isinstance(item, UnreadableItem) for item in items] == [0, 0, 0, 1]


def test_missing_columns_are_told_with_what_was_looked_for() -> None:
    problem = unreadable("conversation_id,when\na,1\n", format_name="csv")
    assert "header has no column of the text: looked for text, utterance, message" in str(problem)
    assert "header has no column of the speaker: looked for role, speaker_role" in str(problem)


def test_columns_can_be_mapped() -> None:
    options = ReadOptions(columns={"Metin": "text", "Kim": "role", "Görüşme": "conversation_id"})
    text = "Görüşme;Kim;Metin;text\ng1;temsilci;Merhaba;x\n"
    item = transcript(text, options=options, format_name="csv")
    assert (item.conversation_id, item.turns[0].text) == ("g1", "Merhaba")
    assert dict(item.attributes) == {"text": "x"}
    bad = ReadOptions(columns={"Metin": "words"})
    assert "words is no column; use one of" in str(unreadable(text, options=bad, format_name="csv"))


@pytest.mark.parametrize(
    ("head", "cells", "times"),
    [
        ("start_ms,end_ms", "480,4210.4", (480, 4210)),
        ("start_s,end_s", "0.48,4.21", (480, 4210)),
        ("start,end", "00:00.480,00:04.210", (480, 4210)),
        ("start,end", "0:00:00,1:00:04", (0, 3_604_000)),
        ("start,end", "0.48,", (480, None)),
        ("timestamp,end", "1773756120,1773756124", (0, 4000)),
        ("timestamp,end", "2026-03-17T14:02:00Z,2026-03-17T14:02:04.5Z", (0, 4500)),
        ("start,end", ",", (None, None)),
    ],
)
def test_times_are_read_however_they_are_written(
    head: str, cells: str, times: tuple[int | None, int | None]
) -> None:
    item = transcript(f"role,text,{head}\nagent,hi,{cells}\n")
    assert (item.turns[0].start_ms, item.turns[0].end_ms) == times


def test_two_ways_of_time_in_one_conversation_are_refused() -> None:
    text = "role,text,time\nagent,hi,00:01\ncustomer,hi,2026-03-17T14:02:00Z\n"
    assert "start mixes dates and offsets" in str(unreadable(text))


def test_columns_that_never_change_are_of_the_conversation() -> None:
    text = table("a,agent,hi,gold,1", "a,customer,hey,gold,", head="call_id,role,text,tier,mood")
    item = transcript(text)
    assert dict(item.attributes) == {"tier": "gold"}
    assert [dict(turn.attributes) for turn in item.turns] == [{"mood": "1"}, {}]


def test_private_and_system_rows_are_skipped_with_their_reason() -> None:
    text = "role,text,private\nagent,note,yes\nsystem,joined,\nagent,hi,no\ncustomer,,0\n"
    item = transcript(text)
    assert [turn.text for turn in item.turns] == ["hi"]
    assert [skipped.reason for skipped in item.skipped] == [
        SkipReason.PRIVATE_NOTE,
        SkipReason.SYSTEM_MESSAGE,
        SkipReason.EMPTY_TEXT,
    ]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), TEXTS), min_size=1, max_size=12),
    st.sampled_from(",;\t|"),
)
def test_what_a_writer_of_csv_writes_is_read_whole(
    said: list[tuple[str, str]], separator: str
) -> None:
    """Whatever is said, nothing is lost, added or moved, and blank turns are counted."""
    said = sorted(said, key=lambda pair: pair[0])
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator)
    writer.writerows([["conversation_id", "role", "text"], *([i, "agent", t] for i, t in said)])
    read_back: list[tuple[str, Any]] = []
    for item in read(buffer.getvalue(), format_name="csv"):
        assert isinstance(item, Transcript), str(item)
        entries = [*item.turns, *(skipped.turn for skipped in item.skipped)]
        entries.sort(key=lambda turn: int(turn.place.removeprefix("line ")))
        read_back += [(item.conversation_id, turn.text) for turn in entries]
    assert read_back == said
