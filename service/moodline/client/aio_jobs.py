"""Scoring jobs for asyncio; the same calls as the sync ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

import grpc.aio

from moodline.client.aio_signals import AsyncCaller
from moodline.client.jobs import DEFAULT_POLL_S, FINAL_STATES, files_request, inline_request
from moodline.v1.analysis_pb2 import AnalysisOptions
from moodline.v1.conversation_pb2 import Conversation
from moodline.v1.scoring_job_pb2 import ScoringJob, ScoringResult
from moodline.v1.scoring_job_service_pb2 import (
    CancelScoringJobRequest,
    CreateScoringJobRequest,
    DeleteScoringJobRequest,
    GetScoringJobRequest,
    ListScoringJobsRequest,
    ListScoringResultsRequest,
)
from moodline.v1.scoring_job_service_pb2_grpc import ScoringJobServiceStub


class AsyncJobCalls:
    """The calls of `ScoringJobService`; see `JobCalls`."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        metadata: tuple[tuple[str, str], ...],
        call: AsyncCaller,
    ) -> None:
        """Made by `AsyncMoodlineClient` alone."""
        self._stub = ScoringJobServiceStub(channel)
        self._metadata = metadata
        self._call = call

    async def create(
        self,
        conversations: Iterable[Conversation],
        *,
        request_id: str | None = None,
        options: AnalysisOptions | None = None,
        timeout_s: float | None = None,
    ) -> ScoringJob:
        """Create a job of conversations; see `JobCalls.create`."""
        request = inline_request(conversations, request_id=request_id, options=options)
        return await self._create(request, timeout_s)

    async def create_from_files(
        self,
        paths: Sequence[str],
        *,
        format_name: str = "",
        correct_roles: bool = False,
        request_id: str | None = None,
        options: AnalysisOptions | None = None,
        timeout_s: float | None = None,
    ) -> ScoringJob:
        """Create a job of files; see `JobCalls.create_from_files`."""
        request = files_request(
            paths,
            format_name=format_name,
            correct_roles=correct_roles,
            request_id=request_id,
            options=options,
        )
        return await self._create(request, timeout_s)

    async def get(self, job_id: str, *, timeout_s: float | None = None) -> ScoringJob:
        """Ask how a job stands."""
        request = GetScoringJobRequest(job_id=job_id)
        response = await self._call(
            lambda left_s: self._stub.GetScoringJob(
                request, timeout=left_s, metadata=self._metadata
            ),
            timeout_s,
        )
        return response.job

    async def wait(self, job_id: str, *, poll_s: float = DEFAULT_POLL_S) -> ScoringJob:
        """Return a job once it has ended; see `JobCalls.wait`."""
        while True:
            job = await self.get(job_id)
            if job.state in FINAL_STATES:
                return job
            await asyncio.sleep(poll_s)

    async def list(
        self, *, state: str = "", timeout_s: float | None = None
    ) -> AsyncIterator[ScoringJob]:
        """Yield the jobs of the tenant, newest first; see `JobCalls.list`."""
        request = ListScoringJobsRequest(state=state)
        while True:
            page = await self._call(
                lambda left_s: self._stub.ListScoringJobs(
                    request, timeout=left_s, metadata=self._metadata
                ),
                timeout_s,
            )
            for job in page.jobs:
                yield job
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def cancel(self, job_id: str, *, timeout_s: float | None = None) -> ScoringJob:
        """End a job, and return it as it ended; what was scored stays."""
        request = CancelScoringJobRequest(job_id=job_id)
        response = await self._call(
            lambda left_s: self._stub.CancelScoringJob(
                request, timeout=left_s, metadata=self._metadata
            ),
            timeout_s,
        )
        return response.job

    async def delete(self, job_id: str, *, timeout_s: float | None = None) -> None:
        """Remove a job that has ended, with its results."""
        request = DeleteScoringJobRequest(job_id=job_id)
        await self._call(
            lambda left_s: self._stub.DeleteScoringJob(
                request, timeout=left_s, metadata=self._metadata
            ),
            timeout_s,
        )

    async def results(
        self, job_id: str, *, timeout_s: float | None = None
    ) -> AsyncIterator[ScoringResult]:
        """Yield the results that there are now; see `JobCalls.results`."""
        request = ListScoringResultsRequest(job_id=job_id)
        while True:
            page = await self._call(
                lambda left_s: self._stub.ListScoringResults(
                    request, timeout=left_s, metadata=self._metadata
                ),
                timeout_s,
            )
            for result in page.results:
                yield result
            request.page_token = page.next_page_token
            if not request.page_token or not page.results:
                return

    async def _create(
        self, request: CreateScoringJobRequest, timeout_s: float | None
    ) -> ScoringJob:
        response = await self._call(
            lambda left_s: self._stub.CreateScoringJob(
                request, timeout=left_s, metadata=self._metadata
            ),
            timeout_s,
        )
        return response.job
