"""Order, bounds, and what is kept when a job ends early."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moodline.errors import EngineDiedError
from moodline.jobs import run as run_module
from moodline.jobs.errors import JobError
from moodline.jobs.folder import JobTerms, StartMode, job_folder_path, open_job_folder
from moodline.jobs.outcomes import Outcome
from moodline.jobs.outputs.csv_tables import CsvOutput
from moodline.jobs.outputs.jsonl import JsonlOutput
from moodline.jobs.outputs.output import ERRORS_FILE
from moodline.jobs.run import JobProgress, OutcomeListener, outcomes_in_order
from tests.unit.jobs.harness import (
    REFUSED_ID,
    TERMS,
    PretendedEngine,
    conversation,
    items_of,
    records,
    run,
    write_lines,
)

NAMES = [f"c{index}" for index in range(11)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "in.jsonl", [conversation(name) for name in NAMES])


def ids(path: Path) -> list[str]:
    return [record["conversation_id"] for record in records(path)]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(data=st.data(), max_in_flight=st.integers(1, 12))
def test_outcomes_keep_the_order_whatever_the_engine_does(
    source: Path, data: st.DataObject, max_in_flight: int
) -> None:
    engine = PretendedEngine(
        max_in_flight=max_in_flight, pick=lambda count: data.draw(st.integers(0, count - 1))
    )

    def items() -> Any:
        yield from items_of(source)
        engine.finish()
        # The generator is asked once more before it ends; by then all is answered.

    outcomes = [one for one in outcomes_in_order(items(), engine) if isinstance(one, Outcome)]
    assert [outcome.item.conversation_id for outcome in outcomes] == NAMES
    assert engine.max_seen_in_flight <= max_in_flight


def test_no_more_is_read_than_may_be_in_flight(source: Path) -> None:
    engine = PretendedEngine(max_in_flight=3, pick=lambda count: 0)
    read_count = 0

    def items() -> Any:
        nonlocal read_count
        for item in items_of(source):
            read_count += 1
            yield item
        engine.finish()

    ordered = outcomes_in_order(items(), engine)
    next(ordered)
    assert read_count == 4


def test_large_conversations_go_one_by_one(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "MAX_BYTES_IN_FLIGHT", 10)
    engine = PretendedEngine(max_in_flight=8)
    outcomes = list(outcomes_in_order(items_of(source), engine))
    assert len(outcomes) == len(NAMES) + 1
    assert engine.max_seen_in_flight == 1


def test_refused_ones_stand_in_their_place_and_are_collected(tmp_path: Path) -> None:
    source = write_lines(
        tmp_path / "in.jsonl",
        [conversation("a"), "{no", conversation(REFUSED_ID), conversation("b")],
    )
    out = tmp_path / "out.jsonl"
    run(out, source, output=JsonlOutput())
    assert [record["status"] for record in records(out)] == ["scored", "failed", "failed", "scored"]
    failures = records(tmp_path / ERRORS_FILE)
    assert [failure["code"] for failure in failures] == ["UNREADABLE", "INVALID_REQUEST"]
    assert failures[0]["place"] == "line 2"
    assert failures[1]["errors"] == [{"field": "turns[0].text", "problem": "is too long"}]
    assert failures == [record for record in records(out) if record["status"] == "failed"]


def test_progress_counts_and_reaches_the_end(source: Path, tmp_path: Path) -> None:
    seen: list[JobProgress] = []

    class Listener(OutcomeListener):
        def take(self, outcome: Outcome, progress: JobProgress) -> None:
            seen.append(progress)

    run(tmp_path / "out.jsonl", source, output=JsonlOutput(), listener=Listener())
    assert [progress.counts.item_count for progress in seen] == list(range(1, 12))
    assert seen[-1].counts == seen[-1].own_counts
    assert seen[-1].byte_position == source.stat().st_size


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(
    deaths=st.lists(st.integers(0, 6), min_size=1, max_size=4), max_part_items=st.integers(1, 12)
)
def test_a_job_that_ends_early_goes_on_with_nothing_lost_or_doubled(
    source: Path, tmp_path_factory: pytest.TempPathFactory, deaths: list[int], max_part_items: int
) -> None:
    folder = tmp_path_factory.mktemp("job")
    out = folder / "out.jsonl"
    submitted_count = 0
    for death in deaths:
        engine = PretendedEngine(dies_after=death)
        try:
            run(
                out, source, output=JsonlOutput(), engine=engine, mode=StartMode.RESUME,
                max_part_items=max_part_items,
            )  # fmt: skip
        except EngineDiedError:
            assert not out.exists()
        submitted_count += min(death, engine.submitted_count)
    engine = PretendedEngine()
    run(out, source, output=JsonlOutput(), engine=engine, mode=StartMode.RESUME)
    assert ids(out) == NAMES
    assert submitted_count + engine.submitted_count == len(NAMES)
    assert not job_folder_path(out).exists()


def test_a_part_without_a_line_in_the_journal_is_done_again(source: Path, tmp_path: Path) -> None:
    """As after a kill between the two."""
    out = tmp_path / "out.jsonl"
    with pytest.raises(EngineDiedError):
        run(out, source, output=JsonlOutput(), engine=PretendedEngine(dies_after=7))
    folder = job_folder_path(out)
    journal = folder / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    run(out, source, output=JsonlOutput(), mode=StartMode.RESUME)
    assert ids(out) == NAMES


def test_a_kill_after_the_output_got_its_name_leaves_nothing_to_do(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    run(out, source, output=JsonlOutput())
    whole = out.read_bytes()
    job_folder_path(out).mkdir()
    assert not run(out, source, output=JsonlOutput(), mode=StartMode.RESUME)
    assert out.read_bytes() == whole
    assert not job_folder_path(out).exists()


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        (JobTerms("pretended 2", "d1", "r1", "jsonl", ""), "model version was pretended 1, now is"),
        (
            JobTerms("pretended 1", "d2", "r1", "jsonl", ""),
            "configuration digest was d1, now is d2",
        ),
        (JobTerms("pretended 1", "d1", "r2", "jsonl", ""), "rule set digest was r1, now is r2"),
        (JobTerms("pretended 1", "d1", "r1", "csv", ""), "output format was jsonl, now is csv"),
    ],
)
def test_other_terms_are_refused(source: Path, tmp_path: Path, terms: JobTerms, told: str) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(EngineDiedError):
        run(out, source, output=JsonlOutput(), engine=PretendedEngine(dies_after=5))
    with pytest.raises(JobError, match=told):
        run(out, source, output=JsonlOutput(), mode=StartMode.RESUME, terms=terms)


def test_what_is_there_is_not_overwritten_unasked(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(EngineDiedError):
        run(out, source, output=JsonlOutput(), engine=PretendedEngine(dies_after=5))
    with pytest.raises(JobError, match="--resume"):
        run(out, source, output=JsonlOutput())
    run(out, source, output=JsonlOutput(), mode=StartMode.OVERWRITE)
    with pytest.raises(JobError, match="--overwrite"):
        run(out, source, output=JsonlOutput())
    assert ids(out) == NAMES


def test_a_folder_of_anything_but_results_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(out, source, output=CsvOutput())
    run(out, source, output=CsvOutput(), mode=StartMode.OVERWRITE)
    (out / "notes.csv").write_text("dear", encoding="utf-8")
    with pytest.raises(JobError, match="holds more than results"):
        run(out, source, output=CsvOutput(), mode=StartMode.OVERWRITE)
    assert (out / "notes.csv").exists()


def test_two_processes_do_not_work_on_one_output(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with (
        open_job_folder(out, TERMS),
        pytest.raises(JobError, match="Another process"),
        open_job_folder(out, TERMS),
    ):
        pass


def test_an_output_in_no_folder_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no such folder"):
        run(tmp_path / "none" / "out.jsonl", source, output=JsonlOutput())
