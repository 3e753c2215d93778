"""What a job reads, what it makes of damage, and what it leaves out when it goes on."""

import io
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from moodline.jobs.errors import JobError
from moodline.jobs.inputs import find_inputs
from moodline.jobs.items import Item, SourceEnd, SourceProgress, chained, read_items
from moodline.v1.conversation_pb2 import Conversation
from tests.unit.jobs.harness import READING, conversation, items_of, write_lines

SECRET = "my card is 4111 1111"
SWAPPED = conversation(
    "swapped",
    "Thank you for calling Acme, how may I help you?",
    "My parcel is lost and I want my money back, when do I get it?",
    "I am very sorry for that, may I have your order number please?",
    "My order is 12, I have waited for two weeks",
    "I can offer you a refund, is there anything else I can do for you?",
    "No, when do I get my money?",
)


def read(path: Path) -> list[Item]:
    return [one for one in items_of(path) if isinstance(one, Item)]


def test_turns_are_what_was_read(tmp_path: Path) -> None:
    (item,) = read(write_lines(tmp_path / "in.jsonl", [conversation("c1", "Hi", "Yes?")]))
    message = Conversation.FromString(item.message)
    assert [(turn.role, turn.text) for turn in message.turns] == [
        ("customer", "Hi"), ("agent", "Yes?"),
    ]  # fmt: skip
    assert message.turns[1].start_offset.ToMilliseconds() == 1000
    assert (message.conversation_id, message.channel) == ("c1", "chat")


def test_damage_is_an_item_in_its_place_and_quotes_nothing(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "in.jsonl",
        [conversation("a"), "{" + SECRET, conversation("b"), {"turns": SECRET}],
    )
    items = read(path)
    assert [item.conversation_id for item in items][::2] == ["a", "b"]
    assert [item.refusal is None for item in items] == [True, False, True, False]
    assert items[1].place == "line 2"
    assert SECRET not in str([item.refusal for item in items])


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"hello there", b'{"a": 1}'])
def test_a_file_of_no_format_is_one_refused_item(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "strange.bin"
    path.write_bytes(content)
    (item,) = read(path)
    assert item.refusal is not None
    assert item.refusal.code == "UNREADABLE"


def test_a_file_that_cannot_be_opened_is_one_refused_item(tmp_path: Path) -> None:
    path = tmp_path / "gone.json"
    path.symlink_to(tmp_path / "nowhere")
    (item,) = read(path)
    assert item.refusal is not None
    assert "cannot be opened" in item.refusal.violations[0].description


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = write_lines(tmp_path / "in", [conversation("a")]).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    item, end = read_items(find_inputs(["-"]), READING, {})
    assert isinstance(item, Item)
    assert (item.source, item.conversation_id) == ("stdin", "a")
    assert end == SourceEnd("stdin", 1)


def test_a_pipe_that_is_named_as_a_file_is_read(tmp_path: Path) -> None:
    content = write_lines(tmp_path / "in", [conversation("a")]).read_bytes()
    read_end, write_end = os.pipe()
    os.write(write_end, content)
    os.close(write_end)
    (item,) = read(Path(f"/dev/fd/{read_end}"))
    os.close(read_end)
    assert (item.refusal, item.conversation_id, item.byte_position) == (None, "a", 0)


def test_swapped_roles_are_told_and_corrected_on_request(tmp_path: Path) -> None:
    wrong = dict(SWAPPED, turns=[
        {**turn, "role": "agent" if turn["role"] == "customer" else "customer"}
        for turn in SWAPPED["turns"]
    ])  # fmt: skip
    # The harness makes the customer begin; here the agent does.
    path = write_lines(tmp_path / "in.jsonl", [SWAPPED])
    other = write_lines(tmp_path / "right.jsonl", [wrong])
    (told,) = read(path)
    assert told.transcript is not None
    assert [warning.code for warning in told.transcript.warnings] == ["ROLES_SWAPPED"]
    corrected, _ = items_of(path, reading=replace(READING, are_roles_corrected=True))
    (right,) = read(other)
    assert isinstance(corrected, Item)
    assert Conversation.FromString(told.message).turns[0].role == "customer"
    assert [turn.role for turn in Conversation.FromString(corrected.message).turns] == [
        turn.role for turn in Conversation.FromString(right.message).turns
    ]


def test_only_a_vcon_can_become_a_vcon(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "in.jsonl", [conversation("a")])
    item, _ = items_of(path, reading=replace(READING, is_vcon_required=True))
    assert isinstance(item, Item)
    assert item.refusal is not None
    assert item.refusal.code == "NOT_A_VCON"


def progress_after(path: Path, count: int, *, is_finished: bool = False) -> dict[str, object]:
    digest = ""
    for item in read(path)[:count]:
        digest = chained(digest, item)
    return {str(path): SourceProgress(count, digest, is_finished)}


def test_what_was_scored_is_left_out(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "in.jsonl", [conversation(name) for name in "abcd"])
    rest = items_of(path, known=progress_after(path, 3))
    assert [getattr(one, "conversation_id", one) for one in rest] == ["d", SourceEnd(str(path), 4)]
    assert items_of(path, known=progress_after(path, 4, is_finished=True)) == []


def test_what_was_added_behind_is_scored(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "in.jsonl", [conversation(name) for name in "ab"])
    known = progress_after(path, 2)
    write_lines(path, [conversation(name) for name in "abc"])
    assert [getattr(one, "conversation_id", "") for one in items_of(path, known=known)] == ["c", ""]


@pytest.mark.parametrize(
    ("now", "is_finished"),
    [("axc", False), ("a", False), ("bac", False), ("abcd", True), ("ab", True)],
)
def test_a_changed_input_is_refused(tmp_path: Path, now: str, is_finished: bool) -> None:
    path = write_lines(tmp_path / "in.jsonl", [conversation(name) for name in "abc"])
    known = progress_after(path, 3 if is_finished else 2, is_finished=is_finished)
    write_lines(path, [conversation(name) for name in now])
    with pytest.raises(JobError, match="is not what it was"):
        items_of(path, known=known)


def test_positions_rise_to_the_size_of_the_inputs(tmp_path: Path) -> None:
    paths = [
        write_lines(tmp_path / name, [conversation(f"{name}{i}") for i in range(3)])
        for name in ("a", "b")
    ]
    positions = [one.byte_position for one in items_of(*paths) if isinstance(one, Item)]
    assert positions == sorted(positions)
    assert positions[-1] == sum(path.stat().st_size for path in paths)
