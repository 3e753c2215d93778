"""Finds the files of a job."""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moodline.jobs.errors import JobError

STDIN_ARGUMENT: Final = "-"
STDIN_NAME: Final = "stdin"


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file, or standard input.

    Attributes:
        name: As results name it: the path as it was given or found.
        byte_count: None for standard input.
        root: The folder that the name counts from and the file may not be outside of, through
            symbolic links either; None for the working folder and no such bound.
    """

    name: str
    byte_count: int | None
    root: Path | None = None

    @property
    def path(self) -> Path | None:
        """Where it is; None for standard input.

        Raises:
            OSError: If it leads out of its root.
        """
        if self.root is None:
            return None if self.byte_count is None else Path(self.name)
        path = (self.root / self.name).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise PermissionError(errno.EACCES, "it leads out of the input root")
        return path


def find_inputs(arguments: Sequence[str], *, excluded: Sequence[Path] = ()) -> list[InputFile]:
    """Return all files that arguments stand for, each once.

    Args:
        arguments: Files, folders, globs (`**` for any depth), `-` for standard input, in the order
            in which they shall be read. Inside a folder the order is that of the names; hidden
            files and folders, links to folders, and what is no file are left out.
        excluded: Files and folders that are none, such as the output.

    Raises:
        JobError: If an argument stands for nothing.
    """
    left_out = {path.resolve() for path in excluded}
    found: dict[Path, InputFile] = {}
    for argument in arguments:
        if argument == STDIN_ARGUMENT:
            found[Path(STDIN_ARGUMENT)] = InputFile(STDIN_NAME, None)
            continue
        count = 0
        for name in names_of(argument):
            count += 1
            path = Path(name).resolve()
            if path not in found and left_out.isdisjoint((path, *path.parents)):
                found[path] = InputFile(name, _byte_count(path))
        if count == 0:
            raise JobError(f"{argument}: there is no such file; correct the path or the pattern.")
    if not found:
        raise JobError("The inputs hold no files; name others.")
    return list(found.values())


def names_of(argument: str, *, root: Path | None = None) -> Iterator[str]:
    """Yield the names of the files that a path, a folder or a glob stands for.

    Args:
        argument: Counts from the root.
        root: A folder, and what the names count from, too; None for the working folder.
    """
    prefix = "" if root is None else os.path.join(root, "")  # noqa: PTH118
    if os.path.lexists(prefix + argument):
        yield from _files_at(argument, prefix)
        return
    for match in sorted(glob.glob(argument, root_dir=root, recursive=True)):  # noqa: PTH207 - keeps the name
        yield from _files_at(match, prefix)


def _files_at(name: str, prefix: str) -> Iterator[str]:
    if not Path(prefix + name).is_dir():
        yield name
        return
    closed: list[OSError] = []
    for folder, folders, files in os.walk(prefix + name, onerror=closed.append):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        inside = folder[len(prefix) :]
        for one in sorted(files):
            if one[0] != "." and not _is_pipe_or_device(os.path.join(folder, one)):  # noqa: PTH118
                yield os.path.join(inside, one)  # noqa: PTH118
    # A folder that cannot be looked into is told when it is read: what it holds is not scored.
    yield from (error.filename[len(prefix) :] for error in closed)


def _is_pipe_or_device(name: str) -> bool:
    """Tell whether reading it could wait for ever; a link to nothing is told when it is read."""
    try:
        return not stat.S_ISREG(os.stat(name).st_mode)  # noqa: PTH116 - of many files
    except OSError:
        return False


def _byte_count(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # Reading it will tell why.
