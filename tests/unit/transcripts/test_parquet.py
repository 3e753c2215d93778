"""Parquet: rows of conversations and rows of turns, batch by batch."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from moodline.transcripts import SpeakerRole, Transcript, UnreadableItem
from tests.unit.transcripts.harness import SAMPLES, read, read_file
from tests.unit.transcripts.test_samples import assert_as_expected


def write(path: Path, records: list[dict[str, Any]], *, group_rows: int = 2) -> Path:
    parquet.write_table(pa.Table.from_pylist(records), path, row_group_size=group_rows)
    return path


def test_rows_of_conversations_are_our_own_json(tmp_path: Path) -> None:
    sample = SAMPLES / "jsonl.jsonl"
    records = [json.loads(line) for line in sample.read_text(encoding="utf-8").splitlines()]
    keys = {key for record in records for key in record}
    turn_keys = {key for record in records for turn in record["turns"] for key in turn}
    for record in records:
        record.update(dict.fromkeys(keys - set(record)))
        record["labels"] = json.dumps(record["labels"] or {})
        for turn in record["turns"]:
            turn.update(dict.fromkeys(turn_keys - set(turn)))
            turn["labels"] = json.dumps(turn["labels"] or {})
    items = read_file(write(tmp_path / "calls", records))
    assert all(isinstance(item, Transcript) for item in items), list(map(str, items))
    assert {item.format_name for item in items if isinstance(item, Transcript)} == {"parquet"}
    named = [replace(i, format_name="jsonl") for i in items if isinstance(i, Transcript)]
    assert_as_expected(sample, named)


def test_rows_of_turns_are_grouped_across_row_groups(tmp_path: Path) -> None:
    start = datetime(2026, 3, 17, 14, 2, tzinfo=UTC)
    records = [
        {
            "conversation_id": f"c{number // 3}",
            "role": ["agent", "customer", "customer"][number % 3],
            "text": f"turn {number}",
            "timestamp": start.replace(second=number),
            "tier": number // 3,
        }
        for number in range(12)
    ]
    items = read_file(write(tmp_path / "turns", records))
    assert len(items) == 4
    for index, item in enumerate(items):
        assert isinstance(item, Transcript), str(item)
        assert [turn.text for turn in item.turns] == [f"turn {index * 3 + i}" for i in range(3)]
        assert [turn.start_ms for turn in item.turns] == [0, 1000, 2000]
        assert item.turns[0].role is SpeakerRole.AGENT
        assert item.started_at == start.replace(second=index * 3)
        assert dict(item.attributes) == {"tier": index}


def test_a_bad_row_costs_its_conversation_alone(tmp_path: Path) -> None:
    turns = [{"role": "agent", "text": "hi", "start_ms": 0}]
    bad = [{"role": "agent", "text": "hi", "start_ms": -1}]
    records = [{"id": name, "turns": bad if name == "b" else turns} for name in "abc"]
    a, b, c = read_file(write(tmp_path / "calls", records))
    assert (a.conversation_id, c.conversation_id) == ("a", "c")
    assert isinstance(b, UnreadableItem)
    assert "row 2: turns[0].start_ms should be greater than or equal to 0" in str(b)


def test_a_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    (item,) = read_file(write(tmp_path / "calls", [{"a": 1}]))
    assert "schema: header has no column of the text" in str(item)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "calls").write_bytes(b"PAR1" + b"\x00" * 100)
    (item,) = read_file(tmp_path / "calls")
    assert "is damaged, or no Parquet" in str(item)


def test_a_stream_is_refused_with_the_remedy() -> None:
    (item,) = read(b"PAR1" + b"\x00" * 100)
    assert "cannot be read from a stream; name it as a file" in str(item)


def test_without_the_extra_the_way_to_install_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (item,) = read_file(write(tmp_path / "calls", [{"role": "agent", "text": "hi"}]))
    assert "pip install 'moodline[batch]'" in str(item)
