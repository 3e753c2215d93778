"""Scoring jobs for code without asyncio."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import grpc

from moodline.client.signals import Caller
from moodline.v1.analysis_pb2 import AnalysisOptions
from moodline.v1.conversation_pb2 import Conversation
from moodline.v1.scoring_job_pb2 import ScoringJob, ScoringResult
from moodline.v1.scoring_job_service_pb2 import (
    CancelScoringJobRequest,
    CreateScoringJobRequest,
    DeleteScoringJobRequest,
    FilesInput,
    GetScoringJobRequest,
    InlineInput,
    ListScoringJobsRequest,
    ListScoringResultsRequest,
)
from moodline.v1.scoring_job_service_pb2_grpc import ScoringJobServiceStub

FINAL_STATES: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
"""States of a job that has ended."""
DEFAULT_POLL_S: Final = 2.0


def inline_request(
    conversations: Iterable[Conversation],
    *,
    request_id: str | None,
    options: AnalysisOptions | None,
) -> CreateScoringJobRequest:
    """Return the request for a job of conversations that come with it."""
    return CreateScoringJobRequest(
        request_id=request_id or uuid.uuid4().hex,
        inline=InlineInput(conversations=conversations),
        options=options,
    )


def files_request(
    paths: Sequence[str],
    *,
    format_name: str,
    correct_roles: bool,
    request_id: str | None,
    options: AnalysisOptions | None,
) -> CreateScoringJobRequest:
    """Return the request for a job of files that the server reads."""
    return CreateScoringJobRequest(
        request_id=request_id or uuid.uuid4().hex,
        files=FilesInput(paths=paths, format=format_name, correct_roles=correct_roles),
        options=options,
    )


class JobCalls:
    """The calls of `ScoringJobService`; the token needs the scope `jobs`.

    All of them raise `MoodlineRpcError` if the server refuses, or retries do not help. `timeout_s`
    is the deadline of a call, retries included, in seconds; None for that of the client.
    """

    def __init__(
        self, channel: grpc.Channel, *, metadata: tuple[tuple[str, str], ...], call: Caller
    ) -> None:
        """Made by `MoodlineClient` alone."""
        self._stub = ScoringJobServiceStub(channel)
        self._metadata = metadata
        self._call = call

    def create(
        self,
        conversations: Iterable[Conversation],
        *,
        request_id: str | None = None,
        options: AnalysisOptions | None = None,
        timeout_s: float | None = None,
    ) -> ScoringJob:
        """Create a job of conversations, all of which travel in this call.

        Args:
            conversations: 1 to 1,000, together at most half of `Limits.max_message_bytes`.
            request_id: Gives the same job again when it is used again; None for one that is new,
                and the same in all retries of this call.
            options: What every result should hold; None for the defaults.
            timeout_s: Deadline.
        """
        request = inline_request(conversations, request_id=request_id, options=options)
        return self._create(request, timeout_s)

    def create_from_files(
        self,
        paths: Sequence[str],
        *,
        format_name: str = "",
        correct_roles: bool = False,
        request_id: str | None = None,
        options: AnalysisOptions | None = None,
        timeout_s: float | None = None,
    ) -> ScoringJob:
        """Create a job of files that the server can read.

        Args:
            paths: Files, folders and globs below the server's input root.
            format_name: Of all files; empty to recognise each by its content.
            correct_roles: Scores by the roles that the words speak for.
            request_id: As of `create`.
            options: What every result should hold; None for the defaults.
            timeout_s: Deadline.
        """
        request = files_request(
            paths,
            format_name=format_name,
            correct_roles=correct_roles,
            request_id=request_id,
            options=options,
        )
        return self._create(request, timeout_s)

    def get(self, job_id: str, *, timeout_s: float | None = None) -> ScoringJob:
        """Ask how a job stands."""
        request = GetScoringJobRequest(job_id=job_id)
        return self._call(
            lambda left_s: self._stub.GetScoringJob(
                request, timeout=left_s, metadata=self._metadata
            ),
            timeout_s,
        ).job

    def wait(self, job_id: str, *, poll_s: float = DEFAULT_POLL_S) -> ScoringJob:
        """Return a job once it has ended, however long that takes.

        Args:
            job_id: The job.
            poll_s: Time between two looks, in seconds.
        """
        while (job := self.get(job_id)).state not in FINAL_STATES:
            time.sleep(poll_s)
        return job

    def list(self, *, state: str = "", timeout_s: float | None = None) -> Iterator[ScoringJob]:
        """Yield the jobs of the tenant, newest first.

        Args:
            state: Of this state alone; empty for all.
            timeout_s: Deadline of each page.
        """
        request = ListScoringJobsRequest(state=state)
        while True:
            page = self._call(
                lambda left_s: self._stub.ListScoringJobs(
                    request, timeout=left_s, metadata=self._metadata
                ),
                timeout_s,
            )
            yield from page.jobs
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def cancel(self, job_id: str, *, timeout_s: float | None = None) -> ScoringJob:
        """End a job, and return it as it ended; what was scored stays."""
        request = CancelScoringJobRequest(job_id=job_id)
        return self._call(
            lambda left_s: self._stub.CancelScoringJob(
                request, timeout=left_s, metadata=self._metadata
            ),
            timeout_s,
        ).job

    def delete(self, job_id: str, *, timeout_s: float | None = None) -> None:
        """Remove a job that has ended, with its results."""
        request = DeleteScoringJobRequest(job_id=job_id)
        self._call(
            lambda left_s: self._stub.DeleteScoringJob(
                request, timeout=left_s, metadata=self._metadata
            ),
            timeout_s,
        )

    def results(self, job_id: str, *, timeout_s: float | None = None) -> Iterator[ScoringResult]:
        """Yield the results that there are now, in the order of the input; page by page.

        Args:
            job_id: The job, which may still run.
            timeout_s: Deadline of each page.
        """
        request = ListScoringResultsRequest(job_id=job_id)
        while True:
            page = self._call(
                lambda left_s: self._stub.ListScoringResults(
                    request, timeout=left_s, metadata=self._metadata
                ),
                timeout_s,
            )
            yield from page.results
            request.page_token = page.next_page_token
            if not request.page_token or not page.results:
                return

    def _create(self, request: CreateScoringJobRequest, timeout_s: float | None) -> ScoringJob:
        return self._call(
            lambda left_s: self._stub.CreateScoringJob(
                request, timeout=left_s, metadata=self._metadata
            ),
            timeout_s,
        ).job
