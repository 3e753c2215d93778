"""What a folder of jobs holds after kills, and which jobs may go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from moodline.errors import JobNotFoundError
from moodline.jobs.served.record import JobRecord, JobState
from moodline.jobs.served.run import conclude
from moodline.jobs.served.store import open_store

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def record(number: int, **fields: object) -> JobRecord:
    return JobRecord(
        job_id=f"j{number}",
        tenant="one",
        request_id=f"r{number}",
        request_digest="d",
        create_time=NOW + timedelta(hours=number),
    ).changed(**fields)


def test_jobs_are_found_again_and_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        whole = record(1)
        store.write_new(whole, [(store.paths("j1").inline, b"input")])
    (tmp_path / "j2").mkdir()
    (tmp_path / "j2" / "inline.binpb").write_bytes(b"input")
    (tmp_path / "j3").mkdir()
    (tmp_path / "j3" / "job.json").write_bytes(b"{")
    with open_store(tmp_path) as store:
        assert store.newest_first("one") == [whole]
        assert store.of_request("one", "r1") == whole
        assert store.newest_first("two") == []
        for tenant, job_id in (("two", "j1"), ("one", "j2"), ("one", "j3"), ("one", "..")):
            with pytest.raises(JobNotFoundError):
                store.get(tenant, job_id)
        assert store.paths("j1").inline.read_bytes() == b"input"
    # What cannot be read is left for somebody to look at.
    assert sorted(one.name for one in tmp_path.iterdir()) == ["j1", "j3", "lock"]


def test_ended_jobs_go_when_they_expire_or_are_too_many(tmp_path: Path) -> None:
    ended = [
        record(number, state=JobState.SUCCEEDED, end_time=NOW + timedelta(days=number))
        for number in range(4)
    ]
    running = record(-1, state=JobState.RUNNING)
    with open_store(tmp_path) as store:
        for one in (*ended, running):
            store.put(one)

        def removable(*, days: int, max_job_count: int) -> list[JobRecord]:
            return store.removable(
                now=NOW + timedelta(days=4),
                retention=timedelta(days=days),
                max_job_count=max_job_count,
            )

        assert removable(days=9, max_job_count=5) == []
        assert removable(days=3, max_job_count=5) == ended[:2]
        assert removable(days=9, max_job_count=2) == ended[:3]
        assert removable(days=9, max_job_count=0) == ended


def test_a_conclusion_that_was_killed_is_concluded_again(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        job = record(1, state=JobState.RUNNING, ending=JobState.SUCCEEDED, scored_count=7)
        store.write_new(job, [])
        paths = store.paths("j1")
        # Killed behind the joining of the parts, of which some were still there.
        paths.results.mkdir()
        paths.parts.mkdir()
        assert conclude(paths, job) == job
        assert not paths.parts.exists()


def test_a_job_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        missing = store.paths("j1").folder / "missing" / "inline.binpb"
        with pytest.raises(FileNotFoundError):
            store.write_new(record(1), [(missing, b"input")])
        assert not store.paths("j1").folder.exists()
