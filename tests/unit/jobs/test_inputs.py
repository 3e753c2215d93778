"""Which files a job reads, and in which order."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from moodline.jobs.errors import JobError
from moodline.jobs.inputs import find_inputs


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.json", "a.json", "deep/er/c.csv", ".hidden.json", ".git/d.json", "deep/b.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*arguments: str, excluded: tuple[Path, ...] = ()) -> list[str]:
    return [file.name for file in find_inputs(arguments, excluded=excluded)]


def test_a_folder_is_read_in_the_order_of_names_without_hidden_files(tree: Path) -> None:
    assert names("in") == ["in/a.json", "in/b.json", "in/deep/b.txt", "in/deep/er/c.csv"]


def test_a_folder_is_read_without_what_could_be_waited_for_for_ever(tree: Path) -> None:
    os.mkfifo(tree / "in" / "deep" / "pipe.json")
    (tree / "in" / "deep" / "to-nothing.json").symlink_to("nothing")
    assert names("in/deep") == ["in/deep/b.txt", "in/deep/to-nothing.json", "in/deep/er/c.csv"]
    assert names("in/deep/pipe.json") == ["in/deep/pipe.json"]


def test_a_folder_that_cannot_be_looked_into_is_not_left_out(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = os.scandir

    def refusing(path: str) -> Iterator[os.DirEntry[str]]:
        if path.endswith("er"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return look(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert names("in/deep") == ["in/deep/b.txt", "in/deep/er"]


def test_arguments_keep_their_order_and_every_file_is_read_once(tree: Path) -> None:
    assert names("in/b.json", "in/*.json", "in") == [
        "in/b.json", "in/a.json", "in/deep/b.txt", "in/deep/er/c.csv",
    ]  # fmt: skip


def test_a_glob_may_go_deep(tree: Path) -> None:
    assert names("in/**/*.csv") == ["in/deep/er/c.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tree: Path) -> None:
    (tree / "in" / "[1].json").write_text("x", encoding="utf-8")
    assert names("in/[1].json") == ["in/[1].json"]


def test_the_output_is_no_input(tree: Path) -> None:
    excluded = (tree / "in" / "deep", tree / "in" / "b.json")
    assert names("in", excluded=excluded) == ["in/a.json"]


def test_standard_input_has_no_size() -> None:
    (file,) = find_inputs(["-"])
    assert (file.name, file.path, file.byte_count) == ("stdin", None, None)


@pytest.mark.parametrize("argument", ["in/none.json", "in/*.vtt"])
def test_an_argument_that_stands_for_nothing_is_named(tree: Path, argument: str) -> None:
    with pytest.raises(JobError) as caught:
        find_inputs(["in", argument])
    assert argument in str(caught.value)


def test_inputs_without_any_file_are_refused(tree: Path) -> None:
    (tree / "empty").mkdir()
    with pytest.raises(JobError):
        find_inputs(["empty"])
