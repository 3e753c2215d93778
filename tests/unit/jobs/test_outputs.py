"""What the four forms of results hold."""

import csv
import importlib.util
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from moodline.jobs.answers import Scored
from moodline.jobs.errors import JobError
from moodline.jobs.items import Item
from moodline.jobs.outputs.columns import CONVERSATION_COLUMNS, TURN_COLUMNS
from moodline.jobs.outputs.csv_tables import CsvOutput
from moodline.jobs.outputs.jsonl import JsonlOutput
from moodline.jobs.outputs.parquet_tables import ParquetOutput, schema_of
from moodline.jobs.outputs.vcon import VconOutput, analyzed_vcon
from moodline.transcripts.vcon import unsigned
from tests.unit.jobs.harness import (
    REFUSED_ID,
    conversation,
    items_of,
    pretended_answer,
    records,
    run,
    write_lines,
)

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "tests" / "data" / "transcripts"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_lines(
        tmp_path / "in.jsonl",
        [
            conversation("a", 'Say "hi", 你好\nagain', "Yes"),
            conversation(REFUSED_ID),
            conversation("b"),
        ],
    )


def test_a_line_is_the_analysis_with_its_origin_in_front(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run(out, source, output=JsonlOutput())
    first = records(out)[0]
    assert list(first)[:5] == ["status", "source", "number", "place", "transcript_warnings"]
    item = items_of(source)[0]
    assert isinstance(item, Item)
    answer = pretended_answer(item.message)
    assert isinstance(answer, Scored)
    assert first == {
        "status": "scored", "source": str(source), "number": 1, "place": "conversation 1",
        "transcript_warnings": [], "channel": "chat", **answer.record(),
    }  # fmt: skip


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_holds_all_conversations_and_the_turns_of_scored_ones(
    source: Path, tmp_path: Path
) -> None:
    run(tmp_path / "out", source, output=CsvOutput(), max_part_items=1)
    conversations = read_csv(tmp_path / "out" / "conversations.csv")
    assert [row["status"] for row in conversations] == ["scored", "failed", "scored"]
    assert [row["place"] for row in conversations] == [
        f"conversation {number}" for number in (1, 2, 3)
    ]
    assert conversations[0]["sentiment_score"] == "-0.25"
    assert json.loads(conversations[0]["stage_path"]) == ["problem"]
    assert conversations[1]["error_code"] == "INVALID_REQUEST"
    assert json.loads(conversations[1]["errors"]) == ["turns[0].text is too long"]
    assert conversations[1]["sentiment_score"] == ""
    turns = read_csv(tmp_path / "out" / "turns.csv")
    assert [(row["conversation_id"], row["turn_index"]) for row in turns] == [
        ("a", "0"), ("a", "1"), ("b", "0"), ("b", "1"),
    ]  # fmt: skip
    assert (turns[1]["start_ms"], turns[1]["absence"]) == ("1000", "NOT_CUSTOMER")
    assert turns[0]["p_negative"] == "1.0"


def test_parquet_holds_what_csv_holds(source: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    run(tmp_path / "table", source, output=ParquetOutput(), max_part_items=1)
    run(tmp_path / "text", source, output=CsvOutput())
    schemas = {
        "conversations": schema_of(CONVERSATION_COLUMNS),
        "turns": schema_of(TURN_COLUMNS),
    }
    for name, schema in schemas.items():
        table = parquet.read_table(tmp_path / "table" / f"{name}.parquet")
        assert table.schema.equals(schema)
        for row, text in zip(
            table.to_pylist(), read_csv(tmp_path / "text" / f"{name}.csv"), strict=True
        ):
            assert {key: as_csv(value) for key, value in row.items()} == text


def as_csv(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | bool):
        return json.dumps(sort_keys(value), ensure_ascii=False)
    return str(value)


def sort_keys(value: Any) -> Any:
    """Evidence has the order of its keys from the JSON, which sorts them."""
    if isinstance(value, list):
        return [dict(sorted(one.items())) if isinstance(one, dict) else one for one in value]
    return value


def test_parquet_without_pyarrow_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(JobError, match=re.escape("pip install 'moodline[batch]'")):
        ParquetOutput()


def test_every_column_is_documented() -> None:
    page = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
    names = [column.name for column in CONVERSATION_COLUMNS]
    names += [column.name for column in TURN_COLUMNS]
    assert [name for name in names if f"`{name}`" not in page] == []


def analyzed(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the vCon before and after."""
    item = items_of(path)[0]
    assert isinstance(item, Item)
    assert item.transcript is not None
    assert item.transcript.document is not None
    before, _ = unsigned(item.transcript.document)
    answer = pretended_answer(item.message)
    assert isinstance(answer, Scored)
    return dict(before), analyzed_vcon(item.transcript, answer.record(), now=NOW)


@pytest.mark.parametrize("name", ["vcon-chat.json", "vcon-voice.json"])
def test_an_unsigned_vcon_gets_the_analysis_appended(name: str) -> None:
    before, after = analyzed(SAMPLES / name)
    old = before["analysis"]
    assert after["analysis"][: len(old)] == old
    added = after["analysis"][len(old) :]
    assert [one["type"] for one in added] == ["sentiment", "report", "report"]
    for one in added:
        assert {"vendor", "product", "schema", "dialog"} <= one.keys()
        assert (one["mediatype"], one["encoding"]) == ("application/json", "json")
        assert one["body"]["provenance"]["model_version"] == "pretended 1"
    assert after["updated_at"] == "2026-01-02T03:04:05.000+00:00"
    unchanged = before.keys() - {"analysis", "updated_at"}
    assert {key: after[key] for key in unchanged} == {key: before[key] for key in unchanged}


def test_the_turns_of_a_vcon_point_at_where_they_were_said() -> None:
    before, after = analyzed(SAMPLES / "vcon-chat.json")
    for turn in after["analysis"][0]["body"]["turns"]:
        dialog = before["dialog"][turn["dialog"]]
        assert turn["party"] == dialog.get("originator", dialog["parties"][0])


def test_a_signed_vcon_becomes_a_new_one_that_names_it() -> None:
    before, after = analyzed(SAMPLES / "vcon-signed-old.json")
    again = analyzed(SAMPLES / "vcon-signed-old.json")[1]
    assert after["amended"] == {"uuid": before["uuid"]}
    assert after["uuid"] != before["uuid"]
    assert after["uuid"] == again["uuid"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f-]{16}", after["uuid"])
    assert "signatures" not in after
    assert (after["dialog"], after["parties"]) == (before["dialog"], before["parties"])


def test_the_same_analysis_is_not_added_twice(tmp_path: Path) -> None:
    _, once = analyzed(SAMPLES / "vcon-chat.json")
    path = tmp_path / "once.json"
    path.write_text(json.dumps(once), encoding="utf-8")
    assert analyzed(path)[1] == once
    for one in once["analysis"]:
        one["body"]["provenance"]["configuration_digest"] = "another"
    path.write_text(json.dumps(once), encoding="utf-8")
    assert len(analyzed(path)[1]["analysis"]) == 2 * len(once["analysis"])


def test_vcons_are_files_of_a_folder(tmp_path: Path) -> None:
    sources = [SAMPLES / name for name in ("vcon-chat.json", "vcon-voice.json")]
    run(tmp_path / "out", *sources, output=VconOutput(), max_part_items=1)
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name[:8] for file in files] == ["0000001-", "0000002-"]
    assert all(
        json.loads(file.read_bytes())["analysis"][-1]["vendor"] == "moodline" for file in files
    )
