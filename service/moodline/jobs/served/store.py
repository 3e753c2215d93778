"""The folder of a server's jobs: their records, which job is which, what may go."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError

from moodline.errors import JobNotFoundError, SettingsError
from moodline.jobs.folder import flush_to_disk
from moodline.jobs.served.paths import JobPaths
from moodline.jobs.served.record import JobRecord

_LOCK_FILE: Final = "lock"
_FOLDER_VARIABLE: Final = "MOODLINE_JOBS__FOLDER"

_log = structlog.get_logger(__name__)


@contextmanager
def open_store(folder: Path) -> Iterator[JobStore]:
    """Own the folder, and read what it holds.

    Raises:
        SettingsError: If it cannot be used, or another process owns it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingsError(
            f"{_FOLDER_VARIABLE}: {folder}: {error.strerror}; name a folder that can be written."
        ) from error
    try:
        try:
            # Held until the process ends, whichever way.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"{_FOLDER_VARIABLE}: {folder} is in use by another process; give each server a "
                "folder of its own."
            ) from None
        yield JobStore(folder)
    finally:
        os.close(lock)


class JobStore:
    """All jobs by id, in memory and on the disk; made by `open_store` alone.

    What it holds in memory belongs to one thread. Methods that only touch the disk are static in
    effect: they may run in another one.
    """

    def __init__(self, folder: Path) -> None:
        """Read all jobs, and remove what a kill left of others."""
        self._folder = folder
        self._records: dict[str, JobRecord] = {}
        self._id_by_request: dict[tuple[str, str], str] = {}
        for entry in folder.iterdir():
            if entry.is_dir():
                self._load(JobPaths(entry))

    def _load(self, paths: JobPaths) -> None:
        try:
            record = JobRecord.model_validate_json(paths.record.read_bytes())
        except FileNotFoundError:
            shutil.rmtree(paths.folder, ignore_errors=True)
        except ValidationError as error:
            # Not removed: somebody may want to look at it.
            _log.error("scoring_job_unreadable", job_id=paths.folder.name, problem=error.title)
        else:
            self.put(record)

    def paths(self, job_id: str) -> JobPaths:
        """Return where a job's files are."""
        return JobPaths(self._folder / job_id)

    def get(self, tenant: str, job_id: str) -> JobRecord:
        """Return a job of a tenant.

        Raises:
            JobNotFoundError: If the tenant has no such job.
        """
        record = self._records.get(job_id)
        if record is None or record.tenant != tenant:
            raise JobNotFoundError(
                "There is no such job; it was never created here, or it was deleted or expired."
            )
        return record

    def by_id(self, job_id: str) -> JobRecord:
        """Return a job that is known to be there, whosever it is."""
        return self._records[job_id]

    def of_request(self, tenant: str, request_id: str) -> JobRecord | None:
        """Return the job that a request created, if it is kept."""
        job_id = self._id_by_request.get((tenant, request_id))
        return None if job_id is None else self._records[job_id]

    def newest_first(self, tenant: str) -> list[JobRecord]:
        """Return the jobs of a tenant."""
        records = [record for record in self._records.values() if record.tenant == tenant]
        return sorted(records, key=lambda record: record.sort_key, reverse=True)

    def unfinished(self) -> list[JobRecord]:
        """Return the jobs that have not ended, the oldest first: also the order of running."""
        records = [record for record in self._records.values() if not record.state.is_final]
        return sorted(records, key=lambda record: record.sort_key)

    def removable(
        self, *, now: datetime, retention: timedelta, max_job_count: int
    ) -> list[JobRecord]:
        """Return the jobs that have ended and expired, or are too many, the oldest first."""
        ended = sorted(
            (record for record in self._records.values() if record.state.is_final),
            key=lambda record: (record.end_time or record.create_time, record.job_id),
        )
        excess = len(self._records) - max_job_count
        return [
            record
            for index, record in enumerate(ended)
            if index < excess or (record.end_time or now) + retention <= now
        ]

    def put(self, record: JobRecord) -> None:
        """Remember a job as it stands now."""
        self._records[record.job_id] = record
        self._id_by_request[record.tenant, record.request_id] = record.job_id

    def forget(self, record: JobRecord) -> None:
        """Forget a job; its folder is for the caller to remove."""
        del self._records[record.job_id]
        del self._id_by_request[record.tenant, record.request_id]

    def write_new(self, record: JobRecord, inputs: Sequence[tuple[Path, bytes]]) -> None:
        """Write a job to the disk, whole or not at all.

        Raises:
            OSError: If it cannot be written; nothing is left of it.
        """
        paths = self.paths(record.job_id)
        paths.folder.mkdir()
        try:
            for path, content in inputs:
                paths.save(path, content)
            self.write(record)
            flush_to_disk(self._folder)
        except OSError:
            paths.remove()
            raise

    def write(self, record: JobRecord) -> None:
        """Write how a job stands to the disk.

        Raises:
            OSError: If it cannot be written.
        """
        paths = self.paths(record.job_id)
        paths.save(paths.record, record.model_dump_json().encode())
