"""Every sample gives the turns that stand beside it, however its file is written."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pytest

from moodline.domain import Role
from moodline.transcripts import ReadOptions, SpeakerRole, Transcript
from tests.unit.transcripts.harness import SAMPLES, read, read_file

EXPECTED = sorted((SAMPLES / "expected").glob("*.json"))
FILES = [next(SAMPLES.glob(f"{path.stem}.*")) for path in EXPECTED]
LINES = {".jsonl"}
JSON = [path for path in FILES if path.suffix == ".json"]


def by_name(path: Path) -> str:
    return path.name


def expected_of(path: Path) -> list[dict[str, Any]]:
    content = json.loads((SAMPLES / "expected" / f"{path.stem}.json").read_text(encoding="utf-8"))
    return content if isinstance(content, list) else [content]


def options_of(path: Path) -> ReadOptions:
    roles = expected_of(path)[0].get("options", {}).get("roles", {})
    return ReadOptions(roles={name: SpeakerRole(role) for name, role in roles.items()})


def assert_as_expected(path: Path, items: list[Any]) -> None:
    assert all(isinstance(item, Transcript) for item in items), list(map(str, items))
    for transcript, expected in zip(items, expected_of(path), strict=True):
        assert [
            {
                "role": turn.role,
                "participant_id": turn.participant_id,
                "text": turn.text,
                "start_ms": turn.start_ms,
                "end_ms": turn.end_ms,
                "vendor_sentiment": turn.vendor_sentiment and turn.vendor_sentiment.label,
                "turn_id": turn.turn_id,
                "redactions": [list(span) for span in turn.redactions],
                **({"labels": turn.labels} if turn.labels else {}),
            }
            for turn in transcript.turns
        ] == expected["turns"]
        assert [
            {
                "reason": skipped.reason,
                "role": skipped.turn.role,
                "text": skipped.turn.text,
                "start_ms": skipped.turn.start_ms,
            }
            for skipped in transcript.skipped
        ] == expected["skipped"]
        started_at = transcript.started_at
        assert {
            "format_name": transcript.format_name,
            "conversation_id": transcript.conversation_id,
            "channel": transcript.channel,
            "language": transcript.language,
            "started_at": started_at and started_at.isoformat(),
            "warnings": [warning.code for warning in transcript.warnings],
            "labels": transcript.labels,
        } == {
            key: expected.get(key, {})
            for key in (
                "format_name",
                "conversation_id",
                "channel",
                "language",
                "started_at",
                "warnings",
                "labels",
            )
        }
        assert expected.get("attributes", {}).items() <= dict(transcript.attributes).items()


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_a_sample_gives_its_expected_turns(path: Path) -> None:
    assert_as_expected(path, read_file(path, options_of(path)))


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_line_ends_a_byte_order_mark_and_a_pipe_change_nothing(path: Path) -> None:
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    if path.name != "csv-many.csv":  # It has a line break in a cell, which is text.
        content = content.replace(b"\n", b"\r\n")
    items = read(codecs.BOM_UTF8 + content, name=path.name, options=options_of(path))
    assert_as_expected(path, items)


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix not in LINES], ids=by_name)
def test_utf_16_is_read_by_its_byte_order_mark(path: Path) -> None:
    content = path.read_text(encoding="utf-8-sig").encode("utf-16")
    assert_as_expected(path, read(content, name=path.name, options=options_of(path)))


@pytest.mark.parametrize("path", JSON, ids=by_name)
def test_a_document_may_stand_on_one_line(path: Path) -> None:
    content = json.dumps(json.loads(path.read_bytes()))
    assert_as_expected(path, read(content, name=path.name, options=options_of(path)))


@pytest.mark.parametrize("path", JSON, ids=by_name)
def test_documents_may_stand_in_an_array_or_one_a_line(path: Path) -> None:
    document = json.loads(path.read_bytes())
    line = json.dumps(document)
    whole = read([document, document], options=options_of(path))
    lines = read(f"{line}\n\n{line}\n", options=options_of(path))
    assert len(whole) == len(lines) == 2
    for item in (*whole, *lines):
        assert isinstance(item, Transcript), str(item)
        turns = expected_of(path)[0]["turns"]
        assert [turn.text for turn in item.turns] == [turn["text"] for turn in turns]


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_what_is_analysed_has_the_turns_of_the_transcript(path: Path) -> None:
    for item in read_file(path, options_of(path)):
        assert isinstance(item, Transcript)
        conversation = item.conversation
        assert conversation.conversation_id == item.conversation_id
        assert len(conversation.turns) == len(item.turns) > 0
        for turn, analysed in zip(item.turns, conversation.turns, strict=True):
            assert (analysed.text, analysed.start_ms) == (turn.text, turn.start_ms)
            assert (analysed.role is Role.CUSTOMER) == (turn.role is SpeakerRole.CUSTOMER)
            assert (analysed.role is Role.BOT) == turn.is_bot
