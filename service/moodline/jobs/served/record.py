"""What is known of a job, as its folder keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from moodline.jobs.folder import JobTerms
from moodline.jobs.outcomes import Outcome

MAX_PARTIAL_ERRORS: Final = 20
"""Failed items that a job tells of by itself; all of them stand among its results."""


class JobState(StrEnum):
    """Where a job stands; what each means for callers stands in the proto."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether nothing changes any more."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class FailureReason(StrEnum):
    """Why a job failed; the reason of its `error`."""

    INPUT_CHANGED = "INPUT_CHANGED"
    MODEL_CHANGED = "MODEL_CHANGED"
    STORAGE_FAILED = "STORAGE_FAILED"
    INTERNAL = "INTERNAL"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class FieldProblem(_Frozen):
    """One thing that is wrong with an item; never customer text."""

    field: str
    problem: str


class ItemFailure(_Frozen):
    """An item without a result, as the lines of results tell it."""

    source: str
    number: int
    place: str
    conversation_id: str
    code: str
    errors: tuple[FieldProblem, ...]

    @classmethod
    def of(cls, outcome: Outcome) -> ItemFailure:
        """Return what became of a refused item."""
        return cls.model_validate(outcome.failure())


class JobFailure(_Frozen):
    """Why a job ended before all items had their turn; never customer text."""

    reason: FailureReason
    message: str


class JobRecord(_Frozen):
    """One job.

    Attributes:
        request_digest: SHA-256 of what was asked for, without the request's id.
        state: Where it stands.
        ending: The final state that it is on the way to; then nothing more is scored.
        total_count: All items, once they are known.
        file_count: 0 if the conversations came with the request.
        table_formats: Tables that are written beside the lines of results.
        partial_errors: The first `MAX_PARTIAL_ERRORS` items that failed.
        error: Present if and only if it failed.
    """

    job_id: str
    tenant: str
    request_id: str
    request_digest: str
    state: JobState = JobState.QUEUED
    ending: JobState | None = None
    scored_count: int = 0
    failed_count: int = 0
    turn_count: int = 0
    total_count: int | None = None
    file_count: int = 0
    format_name: str = ""
    are_roles_corrected: bool = False
    is_evidence_wanted: bool = True
    table_formats: tuple[str, ...] = ()
    partial_errors: tuple[ItemFailure, ...] = ()
    error: JobFailure | None = None
    create_time: datetime
    start_time: datetime | None = None
    end_time: datetime | None = None
    model_version: str = ""
    configuration_digest: str = ""
    rule_set_digest: str = ""

    @property
    def sort_key(self) -> tuple[datetime, str]:
        """Orders jobs by age, the oldest first."""
        return (self.create_time, self.job_id)

    @property
    def terms(self) -> JobTerms:
        """What must be the same when the job goes on."""
        return JobTerms(
            model_version=self.model_version,
            configuration_digest=self.configuration_digest,
            rule_set_digest=self.rule_set_digest,
            output_format="+".join(("jsonl", *self.table_formats)),
            reading=f"{self.format_name or 'detected'}, corrected {self.are_roles_corrected}",
        )

    def changed(self, **fields: Any) -> JobRecord:
        """Return the same job with some fields replaced."""
        return self.model_copy(update=fields)


def failure_of_line(line: Mapping[str, Any]) -> ItemFailure | None:
    """Return why a line of results holds no result; None if it does."""
    return ItemFailure.model_validate(line) if line["status"] == "failed" else None
