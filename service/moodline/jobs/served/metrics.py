"""Prometheus metrics of scoring jobs."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from moodline.jobs.outcomes import Outcome
from moodline.jobs.run import JobProgress, OutcomeListener
from moodline.jobs.served.record import FailureReason, JobRecord, JobState


class ItemOutcome(StrEnum):
    """What became of a conversation; the label of `moodline_scoring_job_conversations_total`."""

    SCORED = "scored"
    FAILED = "failed"


_NO_REASON: Final = ""


class JobMetrics(OutcomeListener):
    """How the jobs of this server do.

    Attributes:
        jobs: Jobs that have not ended, by `state`: `QUEUED` or `RUNNING`.
        ended_total: Jobs that ended, by `state` and, of those that failed, `reason`.
        conversations_total: Conversations of jobs by `outcome`; what a kill has computed again
            counts again.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the metrics.

        Args:
            registry: A registry of the caller's own; the process-wide one is never used.
        """
        self.jobs = Gauge(
            "moodline_scoring_jobs", "Jobs that have not ended.", ["state"], registry=registry
        )
        self.ended_total = Counter(
            "moodline_scoring_jobs_ended_total",
            "Jobs that ended.",
            ["state", "reason"],
            registry=registry,
        )
        self.conversations_total = Counter(
            "moodline_scoring_job_conversations_total",
            "Conversations of jobs that got a result, or a status in its place.",
            ["outcome"],
            registry=registry,
        )
        # A counter that appears only with its first event cannot be alerted on.
        for outcome in ItemOutcome:
            self.conversations_total.labels(outcome=outcome)
        for state in (JobState.SUCCEEDED, JobState.CANCELLED):
            self.ended_total.labels(state=state, reason=_NO_REASON)
        for reason in FailureReason:
            self.ended_total.labels(state=JobState.FAILED, reason=reason)

    def take(self, outcome: Outcome, progress: JobProgress) -> None:
        """Count one more conversation."""
        became = ItemOutcome.SCORED if outcome.is_scored else ItemOutcome.FAILED
        self.conversations_total.labels(outcome=became).inc()

    def count_ended(self, record: JobRecord) -> None:
        """Count a job that has just ended."""
        reason = record.error.reason if record.error else _NO_REASON
        self.ended_total.labels(state=record.state, reason=reason).inc()
