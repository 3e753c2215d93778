"""What lies where in the folder of a server's jobs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moodline.jobs.folder import flush_to_disk, job_folder_path
from moodline.jobs.outputs.jsonl import RESULTS_FILE
from moodline.jobs.outputs.output import ERRORS_FILE

_RECORD_FILE: Final = "job.json"


@dataclass(frozen=True, slots=True)
class JobPaths:
    """The folder of one job.

    Attributes:
        folder: Named by the job's id.
    """

    folder: Path

    @property
    def record(self) -> Path:
        """What is known of the job; a folder without it is what a kill left of none."""
        return self.folder / _RECORD_FILE

    @property
    def inline(self) -> Path:
        """The conversations that came with the request, until the job has ended."""
        return self.folder / "inline.binpb"

    @property
    def files(self) -> Path:
        """The names of its files, until the job has ended."""
        return self.folder / "files.json"

    @property
    def results(self) -> Path:
        """Its output, once it has ended; until then its parts are beside it."""
        return self.folder / "results"

    @property
    def result_lines(self) -> Path:
        """The results of a job that has ended, one line each."""
        return self.results / RESULTS_FILE

    @property
    def parts(self) -> Path:
        """What is scored so far, by part, with the journal of `moodline.jobs.folder`."""
        return job_folder_path(self.results)

    @property
    def errors(self) -> Path:
        """What went wrong with which items, once it has ended; missing if nothing did."""
        return self.folder / ERRORS_FILE

    def save(self, path: Path, content: bytes) -> None:
        """Write a file of the job, whole or not at all, and to the disk."""
        draft = path.with_suffix(".tmp")
        draft.write_bytes(content)
        flush_to_disk(draft)
        draft.replace(path)
        flush_to_disk(self.folder)

    def drop_inputs(self) -> None:
        """Remove what only a job that has not ended needs."""
        self.inline.unlink(missing_ok=True)
        self.files.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the job; killed in between, the rest goes at the next start."""
        self.record.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
