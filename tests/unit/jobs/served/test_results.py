"""Pages of results are the same while parts are apart and when they are joined."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moodline.errors import InvalidRequestError
from moodline.jobs.served.paths import JobPaths
from moodline.jobs.served.results import read_results

LINES = [b'{"a": 1}\n', b'{"b": 22}\n', b'{"c": 333}\n', b'{"d": 4444}\n', b'{"e": 5}\n']


def write_parts(paths: JobPaths, *parts: list[bytes]) -> None:
    paths.parts.mkdir(parents=True)
    journal = b""
    for number, lines in enumerate(parts):
        part = paths.parts / f"part-{number:06d}"
        part.mkdir()
        (part / "results.jsonl").write_bytes(b"".join(lines))
        journal += json.dumps({"part": part.name}).encode() + b"\n"
    (paths.parts / "journal.jsonl").write_bytes(journal + b'{"part": "part-0')


def join(paths: JobPaths) -> None:
    paths.results.mkdir(parents=True)
    paths.result_lines.write_bytes(b"".join(LINES))


@pytest.fixture(params=["apart", "joined"])
def paths(request: pytest.FixtureRequest, tmp_path: Path) -> JobPaths:
    paths = JobPaths(tmp_path / "job")
    if request.param == "apart":
        write_parts(paths, LINES[:2], [], LINES[2:4], LINES[4:])
    else:
        join(paths)
    return paths


@pytest.mark.parametrize("max_items", [1, 2, 3, 5, 6])
def test_pages_hold_every_line_once(paths: JobPaths, max_items: int) -> None:
    begin, seen, is_end = 0, [], False
    while not is_end:
        page = read_results(paths, begin=begin, max_items=max_items, max_bytes=1000)
        assert 0 < len(page.lines) <= max_items
        seen += [line.content for line in page.lines]
        begin, is_end = page.lines[-1].end, page.is_end
    assert seen == LINES
    page = read_results(paths, begin=begin, max_items=1, max_bytes=1000)
    assert (page.lines, page.is_end) == ([], True)


def test_a_page_is_bounded_by_bytes_but_for_its_first_line(paths: JobPaths) -> None:
    page = read_results(paths, begin=0, max_items=10, max_bytes=len(LINES[0] + LINES[1]))
    assert [line.content for line in page.lines] == LINES[:2]
    assert not page.is_end
    page = read_results(paths, begin=page.lines[-1].end, max_items=10, max_bytes=1)
    assert [line.content for line in page.lines] == LINES[2:3]


@pytest.mark.parametrize("begin", [1, 20, 10_000])
def test_a_place_at_which_no_line_begins_is_refused(paths: JobPaths, begin: int) -> None:
    with pytest.raises(InvalidRequestError):
        read_results(paths, begin=begin, max_items=1, max_bytes=1000)


def test_parts_that_are_joined_while_they_are_read_are_read_joined(tmp_path: Path) -> None:
    paths = JobPaths(tmp_path / "job")
    write_parts(paths, LINES[:3])
    (paths.parts / "part-000000" / "results.jsonl").unlink()
    join(paths)
    page = read_results(paths, begin=0, max_items=10, max_bytes=1000)
    assert [line.content for line in page.lines] == LINES


def test_a_job_that_never_ran_has_no_results(tmp_path: Path) -> None:
    page = read_results(JobPaths(tmp_path / "job"), begin=0, max_items=1, max_bytes=1)
    assert (page.lines, page.is_end) == ([], True)
