"""The folder of a job that is not finished: its parts and the journal that says which are whole.

What is written survives the death of the process at any moment, and of the machine as far as its
disk keeps what it was told to. A part counts from the moment in which its line stands in the
journal; what has no line is thrown away when the job goes on, and scored again.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Final

from moodline.jobs.errors import JobError
from moodline.jobs.items import SourceProgress

_TERMS_FILE: Final = "job.json"
_JOURNAL_FILE: Final = "journal.jsonl"
_PART_PREFIX: Final = "part-"
_ASSEMBLED: Final = "assembled"
_RESULT_FILE: Final = re.compile(r"(conversations|turns)\.(csv|parquet)|\d+-.*\.vcon\.json")
"""Names of the files in a folder of results."""


class StartMode(Enum):
    """What to do about an earlier run with the same output."""

    NEW = "new"
    RESUME = "resume"
    OVERWRITE = "overwrite"


@dataclass(frozen=True, slots=True)
class JobTerms:
    """What must be the same when a job goes on, or its results would not fit together."""

    model_version: str
    configuration_digest: str
    rule_set_digest: str
    output_format: str
    reading: str

    def disagreement(self, earlier: Mapping[str, object]) -> str:
        """Return what an earlier run did otherwise, for people; empty if nothing."""
        return "; ".join(
            f"{name.replace('_', ' ')} was {earlier.get(name)}, now is {value}"
            for name, value in asdict(self).items()
            if earlier.get(name) != value
        )


@dataclass(frozen=True, slots=True)
class JobCounts:
    """What has become of the items of a job."""

    scored_count: int = 0
    failed_count: int = 0
    turn_count: int = 0

    @property
    def item_count(self) -> int:
        """All of them."""
        return self.scored_count + self.failed_count

    def __add__(self, other: JobCounts) -> JobCounts:
        return JobCounts(
            self.scored_count + other.scored_count,
            self.failed_count + other.failed_count,
            self.turn_count + other.turn_count,
        )


class JobFolder:
    """The parts of a job so far.

    Attributes:
        counts: Over all parts.
        sources: How far each source was scored.
    """

    def __init__(self, path: Path, journal: BinaryIO, entries: list[dict[str, Any]]) -> None:
        """Made by `open_job_folder` alone."""
        self._path = path
        self._journal = journal
        self._part_count = len(entries)
        self.counts = JobCounts()
        self.sources: dict[str, SourceProgress] = {}
        for entry in entries:
            self.counts += JobCounts(**entry["counts"])
            for name, progress in entry["sources"].items():
                self.sources[name] = SourceProgress(**progress)

    def commit(
        self,
        write: Callable[[Path], None],
        sources: Mapping[str, SourceProgress],
        counts: JobCounts,
    ) -> None:
        """Add a part, whole or not at all.

        Args:
            write: Writes its files into a folder that it is given.
            sources: How far the sources of the part are scored with it.
            counts: Of the part.
        """
        part = self._part(self._part_count)
        part.mkdir()
        write(part)
        for file in part.iterdir():
            flush_to_disk(file)
        flush_to_disk(part)
        flush_to_disk(self._path)
        entry = {
            "part": part.name,
            "counts": asdict(counts),
            "sources": {name: asdict(progress) for name, progress in sources.items()},
        }
        self._journal.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self._part_count += 1
        self.counts += counts
        self.sources.update(sources)

    def parts(self) -> list[Path]:
        """Return the folders of all parts, in order."""
        return [self._part(number) for number in range(self._part_count)]

    def finish(
        self,
        assemble: Callable[[list[Path], Path], None],
        out: Path,
        *,
        side_files: Mapping[str, Path],
    ) -> None:
        """Put the parts together, move the whole to its place, and remove the folder.

        Args:
            assemble: Takes the parts and a path, and makes the output there. If it was stopped it
                is called again, and finds what it has made.
            out: Where the output shall be; it is there whole or not at all.
            side_files: Where files of the parts are joined, by their name; one that no part has is
                not made.
        """
        parts = self.parts()
        for name, side_file in side_files.items():
            self._join([part / name for part in parts], side_file)
        assembled = self._path / _ASSEMBLED
        assemble(parts, assembled)
        for file in assembled.rglob("*") if assembled.is_dir() else [assembled]:
            flush_to_disk(file)
        assembled.replace(out)
        flush_to_disk(out.parent)
        shutil.rmtree(self._path)

    def _join(self, files: list[Path], out: Path) -> None:
        present = [file for file in files if file.exists()]
        if not present:
            return
        joined = self._path / out.name
        join_files(present, joined)
        flush_to_disk(joined)
        joined.replace(out)

    def _part(self, number: int) -> Path:
        return self._path / f"{_PART_PREFIX}{number:06d}"


def job_folder_path(out: Path) -> Path:
    """Return where the folder of the job that makes an output is."""
    return out.with_name(out.name + ".job")


def committed_parts(out: Path) -> list[Path]:
    """Return the parts of a job that is not finished, in order, while it runs or not.

    They are gone once it is finished: then the output is there.
    """
    folder = job_folder_path(out)
    try:
        with (folder / _JOURNAL_FILE).open("rb") as journal:
            return [folder / json.loads(line)["part"] for line in journal if line.endswith(b"\n")]
    except FileNotFoundError:
        return []


def prepare_output(out: Path, mode: StartMode) -> bool:
    """Look for what an earlier run left, before anything costly begins.

    Returns:
        Whether there is something to do; there is not if a finished job is resumed.

    Raises:
        JobError: If there is something that the mode does not allow for.
        OSError: If what is overwritten cannot be removed.
    """
    folder = job_folder_path(out)
    if not out.absolute().parent.is_dir():
        raise JobError(f"{out.parent}: there is no such folder; create it.")
    if mode is StartMode.OVERWRITE:
        if out.is_dir() and not all(_RESULT_FILE.fullmatch(one.name) for one in out.iterdir()):
            raise JobError(
                f"{out} holds more than results, so --overwrite does not remove it; name another "
                "output, or remove it yourself."
            )
        for path in (out, folder):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        return True
    if out.exists():
        if mode is StartMode.RESUME:
            # It got its name when it was whole; only its parts may be left over.
            shutil.rmtree(folder, ignore_errors=True)
            return False
        raise JobError(f"{out} exists; name another output, or give --overwrite.")
    if folder.exists() and mode is StartMode.NEW:
        raise JobError(
            f"{folder} holds a job that was not finished; go on with it by --resume, or begin "
            "again with --overwrite."
        )
    return True


@contextmanager
def open_job_folder(out: Path, terms: JobTerms) -> Iterator[JobFolder]:
    """Open the folder of a job, with what earlier runs have committed.

    Raises:
        JobError: If it is in use, or the earlier runs had other terms.
    """
    path = job_folder_path(out)
    path.mkdir(exist_ok=True)
    with (path / _JOURNAL_FILE).open("a+b") as journal:
        try:
            # Held until the process ends, whichever way.
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JobError(f"Another process works on {out}; wait for it to end.") from None
        _agree(path / _TERMS_FILE, terms)
        entries = _whole_entries(journal)
        known = {entry["part"] for entry in entries}
        for folder in path.glob(f"{_PART_PREFIX}*"):
            if folder.name not in known:
                shutil.rmtree(folder)
        yield JobFolder(path, journal, entries)


def _agree(terms_file: Path, terms: JobTerms) -> None:
    try:
        earlier = json.loads(terms_file.read_bytes())
    except FileNotFoundError:
        content = json.dumps(asdict(terms), ensure_ascii=False, indent=1)
        draft = terms_file.with_suffix(".tmp")
        draft.write_text(content + "\n", encoding="utf-8")
        flush_to_disk(draft)
        draft.replace(terms_file)
        return
    disagreement = terms.disagreement(earlier)
    if disagreement:
        raise JobError(
            f"The job was begun otherwise: {disagreement}. Go on as it was begun, or begin again "
            "with --overwrite."
        )


def _whole_entries(journal: BinaryIO) -> list[dict[str, Any]]:
    """Read the lines of the journal, and cut off what was written of one more."""
    journal.seek(0)
    entries = []
    end = 0
    for line in journal:
        if not line.endswith(b"\n"):
            break
        entries.append(json.loads(line))
        end += len(line)
    journal.truncate(end)
    return entries


def join_files(files: list[Path], out: Path, *, skipped_lines: int = 0) -> None:
    """Write several files one after the other into a new one.

    Args:
        files: In order.
        out: Replaced if it exists.
        skipped_lines: Lines that are left out at the beginning of all but the first.
    """
    with out.open("wb") as target:
        for index, file in enumerate(files):
            with file.open("rb") as source:
                for _ in range(skipped_lines if index else 0):
                    source.readline()
                shutil.copyfileobj(source, target)


def flush_to_disk(path: Path) -> None:
    """Return when the system has written a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
