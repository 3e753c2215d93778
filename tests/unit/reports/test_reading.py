"""What is no result is told with what was looked for; what was said is never quoted."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from moodline.jobs.result_format import ResultFormat
from moodline.reports.errors import ReportError
from moodline.reports.reading import read_results
from moodline.reports.results import FailedItem, ScoredConversation, legible


def refusal(*paths: Path) -> str:
    with pytest.raises(ReportError) as told:
        list(read_results(paths))
    return str(told.value)


def test_a_folder_without_results_is_told_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    message = refusal(tmp_path)
    for sought in ("*.jsonl", "conversations.parquet", "turns.csv", "*.vcon.json"):
        assert sought in message


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.jsonl").startswith(f"{tmp_path / 'none.jsonl'} is not there")


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    assert "is no result that can be read; looked for" in refusal(tmp_path / "a.pdf")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"conversation_id": "a", "turns": [{"role": "customer", "text": "SECRET"}]}', "status"),
        ('{"status": "SECRET"}', "status"),
        ("SECRET", "JSON"),
        ('["SECRET"]', "object"),
        ('{"status": "failed", "source": "s", "place": 3}', "failed.place"),
    ],
)
def test_a_foreign_line_is_told_by_its_number(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "r.jsonl"
    failed = {"status": "failed", "source": "s", "place": "p", "conversation_id": "", "code": "C"}
    path.write_text(f"{json.dumps(failed | {'errors': []})}\n{line}\n")
    message = refusal(path)
    assert f"{path}: line 2 is no result of moodline score" in message
    assert problem in message
    assert "SECRET" not in message


def test_a_score_out_of_range_is_none_of_ours(
    results: dict[ResultFormat, Path], tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    lines = results[ResultFormat.JSONL].read_text(encoding="utf-8")
    path.write_text(lines.replace('"peak_level": "WATCH"', '"peak_level": "HIGH"'), "utf-8")
    assert "scored.escalation.peak_level" in refusal(path)


def test_several_forms_in_one_folder_are_not_counted_twice(
    results: dict[ResultFormat, Path], tmp_path: Path
) -> None:
    for form in (ResultFormat.CSV, ResultFormat.PARQUET):
        shutil.copytree(results[form], tmp_path, dirs_exist_ok=True)
    assert "in several forms (conversations.parquet, conversations.csv)" in refusal(tmp_path)


def test_a_folder_of_line_files_is_read_without_the_errors_beside_them(
    results: dict[ResultFormat, Path], tmp_path: Path
) -> None:
    for name in ("a.jsonl", "b.jsonl", "a.errors.jsonl"):
        shutil.copy(results[ResultFormat.JSONL], tmp_path / name)
    once = len(list(read_results([results[ResultFormat.JSONL]])))
    assert len(list(read_results([tmp_path]))) == 2 * once


def changed_csv(
    results: dict[ResultFormat, Path],
    folder: Path,
    name: str,
    change: Callable[[list[list[str]]], object],
) -> Path:
    shutil.copytree(results[ResultFormat.CSV], folder, dirs_exist_ok=True)
    with (folder / name).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    change(rows)
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return folder


def test_a_table_without_a_column_names_it(
    results: dict[ResultFormat, Path], tmp_path: Path
) -> None:
    def rename(rows: list[list[str]]) -> None:
        rows[0][rows[0].index("stage_path")] = "path"

    message = refusal(changed_csv(results, tmp_path, "conversations.csv", rename))
    assert "conversations.csv has no column stage_path" in message


def failed_places(path: Path) -> list[str]:
    return [one.place for one in read_results([path]) if isinstance(one, FailedItem)]


def test_what_failed_has_the_place_of_the_lines_in_tables_too(
    results: dict[ResultFormat, Path],
) -> None:
    places = failed_places(results[ResultFormat.JSONL])
    assert places
    assert failed_places(results[ResultFormat.CSV]) == places
    assert failed_places(results[ResultFormat.PARQUET]) == places


def test_what_failed_in_a_table_without_places_is_told_by_its_number(
    results: dict[ResultFormat, Path], tmp_path: Path
) -> None:
    def rename(rows: list[list[str]]) -> None:
        rows[0][rows[0].index("place")] = "somewhere"
        (failed,) = (row for row in rows if "failed" in row)
        failed[rows[0].index("number")] = "7"

    folder = changed_csv(results, tmp_path, "conversations.csv", rename)
    assert failed_places(folder) == ["conversation 7"]


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.append(rows[1]),
        lambda rows: rows.pop(1),
        lambda rows: rows.reverse() or rows.insert(0, rows.pop()),
    ],
)
def test_turns_that_are_not_those_of_the_conversations_are_refused(
    results: dict[ResultFormat, Path], tmp_path: Path, change: Callable[[list[list[str]]], object]
) -> None:
    folder = changed_csv(results, tmp_path, "turns.csv", change)
    with pytest.raises(ReportError) as told:
        list(read_results([folder]))
    open_files = {entry.resolve() for entry in Path("/proc/self/fd").iterdir()}
    assert not open_files & {folder / "turns.csv", folder / "conversations.csv"}
    assert "rows are not those of conversations.csv" in str(told.value)


def test_a_cell_that_is_no_number_is_told_by_its_row(
    results: dict[ResultFormat, Path], tmp_path: Path
) -> None:
    def spoil(rows: list[list[str]]) -> None:
        rows[3][rows[0].index("sentiment_score")] = "SECRET"

    message = refusal(changed_csv(results, tmp_path, "turns.csv", spoil))
    assert "turns.csv: row 3 is no result of moodline score: sentiment_score" in message
    assert "SECRET" not in message


def test_a_row_that_is_cut_off_is_told(results: dict[ResultFormat, Path], tmp_path: Path) -> None:
    folder = changed_csv(results, tmp_path, "turns.csv", lambda rows: rows[-1].pop())
    assert "cells, expected" in refusal(folder)


def test_a_table_alone_is_not_enough(results: dict[ResultFormat, Path], tmp_path: Path) -> None:
    shutil.copy(results[ResultFormat.PARQUET] / "conversations.parquet", tmp_path)
    assert "turns.parquet is missing" in refusal(tmp_path)


def test_damaged_parquet_is_told(results: dict[ResultFormat, Path], tmp_path: Path) -> None:
    for name in ("conversations.parquet", "turns.parquet"):
        whole = (results[ResultFormat.PARQUET] / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    assert "is no Parquet, or is damaged" in refusal(tmp_path)


def test_a_vcon_without_our_analysis_is_refused(
    results: dict[ResultFormat, Path], tmp_path: Path
) -> None:
    whole = sorted(results[ResultFormat.VCON].iterdir())[3]
    document = json.loads(whole.read_text(encoding="utf-8"))
    analyses = document.pop("analysis")
    path = tmp_path / "a.vcon.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert "has no analysis moodline-sentiment-v1 by moodline; score it first" in refusal(path)
    path.write_text(json.dumps(document | {"analysis": analyses}), encoding="utf-8")
    (entry,) = read_results([path])
    assert isinstance(entry, ScoredConversation)
    assert entry.rollup is not None
    path.write_text("{}", encoding="utf-8")
    assert "is no vCon that can be read" in refusal(path)


def test_of_two_analyses_of_a_vcon_the_newer_counts(
    results: dict[ResultFormat, Path], tmp_path: Path
) -> None:
    whole = sorted(results[ResultFormat.VCON].iterdir())[3]
    document = json.loads(whole.read_text(encoding="utf-8"))
    newer = json.loads(json.dumps(document["analysis"]))
    newer[0]["body"]["sentiment"]["score"] = 0.125
    newer[0]["body"]["provenance"]["model_version"] = "sample 2"
    document["analysis"] += newer
    path = tmp_path / "a.vcon.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    (entry,) = read_results([path])
    assert isinstance(entry, ScoredConversation)
    assert entry.rollup is not None
    assert (entry.rollup.score, entry.model[0]) == (0.125, "sample 2")


def test_names_lose_what_does_not_show() -> None:
    assert legible("a\x00b\u202ec\nd") == "a\ufffdb\ufffdc\ufffdd"
    assert legible("شكوى-می\u200cخواهم ğ 漢") == "شكوى-می\u200cخواهم ğ 漢"
