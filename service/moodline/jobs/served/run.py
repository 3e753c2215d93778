"""The work on one job, in a thread of its own: score what is left, then put the parts together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Final

import structlog

from moodline.errors import MoodlineError
from moodline.jobs.errors import JobError
from moodline.jobs.folder import JobCounts, JobFolder, open_job_folder
from moodline.jobs.items import Item, Reading, SourceEnd, read_items
from moodline.jobs.outputs.output import ERRORS_FILE
from moodline.jobs.run import OutcomeListener, run_job
from moodline.jobs.served.engine import ServerEngine
from moodline.jobs.served.inputs import files_from_json, inline_items
from moodline.jobs.served.outputs import ServedOutput
from moodline.jobs.served.paths import JobPaths
from moodline.jobs.served.record import (
    MAX_PARTIAL_ERRORS,
    FailureReason,
    ItemFailure,
    JobFailure,
    JobRecord,
    JobState,
)
from moodline.transcripts import TranscriptFormat
from moodline.v1.scoring_job_service_pb2 import InlineInput

PART_ITEMS: Final = 100
"""Items of a part: a page of results, and what a kill may cost."""

_log = structlog.get_logger(__name__)


class JobRun:
    """One run of one job. `score` and `conclude` work in a thread; the rest may be asked meanwhile.

    Attributes:
        engine: Where conversations are analysed.
    """

    def __init__(
        self,
        paths: JobPaths,
        engine: ServerEngine,
        *,
        formats: tuple[TranscriptFormat, ...],
        input_root: Path | None,
        listener: OutcomeListener,
    ) -> None:
        """Take what is needed.

        Args:
            paths: Of the job.
            engine: Stopping it ends the run.
            formats: That files may be in.
            input_root: What the names of files count from.
            listener: Told of each outcome, in the thread of `score`.
        """
        self.engine = engine
        self._listener = listener
        self._paths = paths
        self._formats = formats
        self._input_root = input_root
        self._folder: JobFolder | None = None
        self._output: ServedOutput | None = None

    def told(self, record: JobRecord) -> JobRecord:
        """Return the job with what this run has finished so far."""
        if self._folder is None or self._output is None:
            return record
        return _counted(record, self._folder.counts, self._output.failures)

    def score(self, record: JobRecord) -> JobRecord | None:
        """Score what is left of a job.

        Returns:
            The job on its way to its end; None if it shall go on at the next start.
        """
        error: JobFailure | None = None
        try:
            self._score(record)
        except CancelledError:
            return None
        except JobError:
            error = JobFailure(
                reason=FailureReason.INPUT_CHANGED,
                message="A file is not what it was when a part of it was scored; what was scored "
                "stands. Create a new job for the files as they are now.",
            )
        except OSError as failure:
            error = storage_failure(failure)
        except MoodlineError:
            # The server is shutting down, or its engine has died, which ends it.
            return None
        except Exception as failure:  # noqa: BLE001 - a bug must not leave the job hanging
            _log.exception("scoring_job_failed", job_id=record.job_id)
            error = internal_failure(failure)
        record = self.told(record)
        if error is not None:
            return record.changed(ending=JobState.FAILED, error=error)
        total_count = record.scored_count + record.failed_count
        return record.changed(ending=JobState.SUCCEEDED, total_count=total_count)

    def _score(self, record: JobRecord) -> None:
        output = ServedOutput(record.table_formats)
        with open_job_folder(self._paths.results, record.terms) as folder:
            output.failures = _failures(folder.parts())
            self._folder, self._output = folder, output
            run_job(
                self._until_stopped(self._items(record, folder)),
                self.engine,
                output,
                folder,
                max_part_items=PART_ITEMS,
                listener=self._listener,
            )

    def _items(self, record: JobRecord, folder: JobFolder) -> Iterator[Item | SourceEnd]:
        if self._paths.inline.exists():
            request = InlineInput.FromString(self._paths.inline.read_bytes())
            return inline_items(request.conversations, folder.sources)
        if self._input_root is None:
            raise FileNotFoundError(0, "the server has no jobs.input_root any more")
        files = files_from_json(self._paths.files.read_bytes(), self._input_root)
        reading = Reading(
            self._formats,
            format_name=record.format_name,
            are_roles_corrected=record.are_roles_corrected,
        )
        return read_items(files, reading, folder.sources)

    def _until_stopped(self, items: Iterator[Item | SourceEnd]) -> Iterator[Item | SourceEnd]:
        # Items that are refused do not reach the engine, which would tell.
        for item in items:
            if self.engine.is_stopped:
                raise CancelledError
            yield item


def conclude(paths: JobPaths, record: JobRecord) -> JobRecord:
    """Put the results of a job together, after which its parts are gone.

    Killed at any moment, it does the rest when it is called again.

    Args:
        paths: Of the job.
        record: On its way to its end, and so on the disk.

    Returns:
        The job with the counts of what stands among its results.

    Raises:
        OSError: If the disk does not allow it; the parts stay and can be read.
    """
    if paths.results.exists():
        # It got its name when it was whole; only its parts may be left over.
        shutil.rmtree(paths.parts, ignore_errors=True)
        return record
    output = ServedOutput(record.table_formats)
    with open_job_folder(paths.results, record.terms) as folder:
        record = _counted(record, folder.counts, _failures(folder.parts()))
        # Before the parts go, which alone could tell the counts.
        paths.save(paths.record, record.model_dump_json().encode())
        folder.finish(output.assemble, paths.results, side_files={ERRORS_FILE: paths.errors})
    return record


def storage_failure(error: OSError) -> JobFailure:
    """Return why a job ended whose results cannot be written."""
    return JobFailure(
        reason=FailureReason.STORAGE_FAILED,
        message=f"The server cannot use the files of this job: {error.strerror or 'I/O error'}. "
        "What was scored stands; have its operator look at jobs.folder, then create a new job.",
    )


def internal_failure(error: Exception) -> JobFailure:
    """Return why a job ended by a bug of ours."""
    return JobFailure(
        reason=FailureReason.INTERNAL,
        message=f"moodline failed on this job with {type(error).__name__}; report it. What was "
        "scored stands.",
    )


def _counted(record: JobRecord, counts: JobCounts, failures: tuple[ItemFailure, ...]) -> JobRecord:
    return record.changed(
        scored_count=counts.scored_count,
        failed_count=counts.failed_count,
        turn_count=counts.turn_count,
        partial_errors=failures,
    )


def _failures(parts: list[Path]) -> tuple[ItemFailure, ...]:
    """Return the first failures of parts that earlier runs have finished."""
    failures: list[ItemFailure] = []
    for part in parts:
        file = part / ERRORS_FILE
        if not file.exists():
            continue
        with file.open("rb") as lines:
            for line in lines:
                failures.append(ItemFailure.model_validate(json.loads(line)))
                if len(failures) == MAX_PARTIAL_ERRORS:
                    return tuple(failures)
    return tuple(failures)
