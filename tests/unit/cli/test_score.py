"""Arguments and progress of `moodline score`, without a model."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from moodline.cli.commands import app
from moodline.cli.score import PLAIN_INTERVAL_S, PlainProgress, errors_path
from moodline.jobs.folder import JobCounts
from moodline.jobs.run import JobProgress

LINE = '{"conversation_id": "c", "turns": [{"role": "customer", "text": "Hi"}]}\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text(LINE, encoding="utf-8")
    return path


def score(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["score", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--to", "xml"], "xml"),
        (["--from", "xml"], "is none of"),
        (["--role", "Speaker 0"], "THEIRS=OURS"),
        (["--role", "Speaker 0=boss"], "customer, agent"),
        (["--column", "=text"], "THEIRS=OURS"),
        (["--column", "Mesaj=txt"], "--column txt: is none of"),
        (["--encoding", "klingon"], "klingon"),
        (["--resume", "--overwrite"], "exclude each other"),
        (["--processes", "0"], "processes"),
    ],
)
def test_wrong_arguments_exit_with_2_and_are_named(
    source: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    result = score(source, "-o", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert told in re.sub(r"\x1b\[[0-9;]*m", "", result.output)
    assert list(tmp_path.iterdir()) == [source]


def test_no_input_exits_with_2(tmp_path: Path) -> None:
    result = score(tmp_path / "none.jsonl", "-o", tmp_path / "out.jsonl")
    assert result.exit_code == 2
    assert "there is no such file" in result.output


def test_an_output_that_exists_exits_with_2_and_stays(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("dear", encoding="utf-8")
    result = score(source, "-o", out)
    assert (result.exit_code, out.read_text(encoding="utf-8")) == (2, "dear")


def test_a_server_that_is_not_there_exits_with_3(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    result = score(source, "-o", out, "--server", "127.0.0.1:1", "--timeout", "0.5")
    assert result.exit_code == 3
    assert not out.exists()


@pytest.mark.parametrize(
    ("out", "errors"),
    [
        ("a/results.jsonl", "a/results.errors.jsonl"),
        ("a/2026.11.22", "a/2026.11.22.errors.jsonl"),
    ],
)
def test_errors_stand_beside_the_output(out: str, errors: str) -> None:
    assert errors_path(Path(out)) == Path(errors)


def test_off_a_terminal_lines_tell_the_rate_and_what_is_left() -> None:
    stream = io.StringIO()
    now_s = 0.0
    plain = PlainProgress(Console(file=stream, width=200), 1000, clock=lambda: now_s)
    steps = ((1, 0.0, 100), (2, 1.0, 200), (3, 11.0, 101), (30, 60.0, 400), (50, 80.0, 900))
    for scored_count, seconds, position in steps:
        now_s = seconds
        counts = JobCounts(scored_count, 1, scored_count * 10)
        plain.show(JobProgress(counts, counts, position))
    assert PLAIN_INTERVAL_S == 10
    assert stream.getvalue().splitlines() == [
        "3 conversations scored (30 turns), 1 failed, 3 turns/s, 10%",
        "30 conversations scored (300 turns), 1 failed, 5 turns/s, 40%, about 2 min left",
        "50 conversations scored (500 turns), 1 failed, 6 turns/s, 90%, less than 1 min left",
    ]
