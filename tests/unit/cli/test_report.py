"""Arguments of `moodline report`, and where its page goes."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from moodline.cli.commands import app

LINE = (
    '{"status": "scored", "source": "s", "number": 1, "conversation_id": "a", "language": "und", '
    '"is_language_measured": false, "absence": "INSUFFICIENT_TURNS", "turns": [], '
    '"model_version": "m", "configuration_digest": "d"}\n'
)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "r.jsonl"
    path.write_text(LINE, encoding="utf-8")
    return path


def report(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_a_page_is_written_and_replaced(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("old", encoding="utf-8")
    result = report(results, "-o", page, "--title", "März")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == f"{page}: 1 conversations, 0 failed\n"
    assert "<title>März</title>" in page.read_text(encoding="utf-8")


def test_results_are_never_taken_for_the_page(results: Path) -> None:
    result = report(results, "-o", results)
    assert result.exit_code == 2
    assert "ends in .html" in result.stderr
    assert results.read_text(encoding="utf-8") == LINE


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-o", "none/report.html"], "there is no such folder"),
        (["-o", "report.html", "--language", "tr"], "there are the languages und"),
        (["-o", "report.html", "--top", "0"], "--top"),
        ([], "--out"),
    ],
)
def test_arguments_that_are_of_no_use_are_told(
    results: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(results.parent)
    result = report(results, *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert not Path("report.html").exists()


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.touch()
    result = report(path, "-o", tmp_path / "report.html")
    assert result.exit_code == 2
    assert "is empty; looked for conversations that moodline score scored" in result.stderr
