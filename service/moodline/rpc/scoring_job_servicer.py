"""ScoringJobService: reads requests, asks the jobs of the server, writes what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import grpc

from moodline.errors import InvalidRequestError, NoJobsError
from moodline.jobs.served.record import JobRecord
from moodline.jobs.served.results import ResultLine
from moodline.jobs.served.scoring_jobs import ScoringJobs
from moodline.limits import Limits
from moodline.rpc import convert_jobs
from moodline.rpc.auth import current_principal
from moodline.rpc.tokens import jobs_token, read_jobs_token, read_results_token, results_token
from moodline.rpc.validation import RequestValidator
from moodline.v1.scoring_job_pb2 import ScoringJob, ScoringResult
from moodline.v1.scoring_job_service_pb2 import (
    CancelScoringJobRequest,
    CancelScoringJobResponse,
    CreateScoringJobRequest,
    CreateScoringJobResponse,
    DeleteScoringJobRequest,
    DeleteScoringJobResponse,
    GetScoringJobRequest,
    GetScoringJobResponse,
    ListScoringJobsRequest,
    ListScoringJobsResponse,
    ListScoringResultsRequest,
    ListScoringResultsResponse,
)
from moodline.v1.scoring_job_service_pb2_grpc import ScoringJobServiceServicer

DEFAULT_PAGE_SIZE: Final = 100
PAGE_SHARE: Final = 7 / 8
"""Part of a message that results may fill; the rest is for what is around them."""

_Context = grpc.aio.ServicerContext[Any, Any]


class ScoringJobServicer(ScoringJobServiceServicer):
    """Serves the methods; every error leaves as an exception, for the interceptor to map."""

    def __init__(self, *, jobs: ScoringJobs | None, limits: Limits) -> None:
        """Take what is needed.

        Args:
            jobs: Of the server; None if it keeps none.
            limits: What a message may carry.
        """
        self._jobs = jobs
        self._max_page_bytes = int(limits.max_message_bytes * PAGE_SHARE)
        self._validator = RequestValidator(limits)

    async def CreateScoringJob(  # noqa: N802 - named by the proto
        self, request: CreateScoringJobRequest, context: _Context
    ) -> CreateScoringJobResponse:
        """Take a job."""
        jobs = self._checked(request)
        record = await jobs.create(current_principal().tenant, request)
        return CreateScoringJobResponse(job=self._job(jobs, record))

    async def GetScoringJob(  # noqa: N802 - named by the proto
        self, request: GetScoringJobRequest, context: _Context
    ) -> GetScoringJobResponse:
        """Tell how a job stands."""
        jobs = self._checked(request)
        record = jobs.get(current_principal().tenant, request.job_id)
        return GetScoringJobResponse(job=self._job(jobs, record))

    async def ListScoringJobs(  # noqa: N802 - named by the proto
        self, request: ListScoringJobsRequest, context: _Context
    ) -> ListScoringJobsResponse:
        """List jobs, newest first."""
        jobs, tenant = self._checked(request), current_principal().tenant
        records = [
            record
            for record in jobs.newest_first(tenant)
            if request.state in ("", record.state.value)
        ]
        if request.page_token:
            after = read_jobs_token(request.page_token, tenant=tenant, state=request.state)
            records = [record for record in records if record.sort_key < after]
        page = records[: request.page_size or DEFAULT_PAGE_SIZE]
        token = ""
        if len(page) < len(records):
            token = jobs_token(tenant, request.state, *page[-1].sort_key)
        response = ListScoringJobsResponse(next_page_token=token)
        for record in page:
            # Twenty errors of a thousand jobs would not fit into a message.
            response.jobs.append(self._job(jobs, record.changed(partial_errors=())))
        return response

    async def CancelScoringJob(  # noqa: N802 - named by the proto
        self, request: CancelScoringJobRequest, context: _Context
    ) -> CancelScoringJobResponse:
        """End a job."""
        jobs = self._checked(request)
        record = await jobs.cancel(current_principal().tenant, request.job_id)
        return CancelScoringJobResponse(job=self._job(jobs, record))

    async def DeleteScoringJob(  # noqa: N802 - named by the proto
        self, request: DeleteScoringJobRequest, context: _Context
    ) -> DeleteScoringJobResponse:
        """Remove a job that has ended."""
        jobs = self._checked(request)
        await jobs.delete(current_principal().tenant, request.job_id)
        return DeleteScoringJobResponse()

    async def ListScoringResults(  # noqa: N802 - named by the proto
        self, request: ListScoringResultsRequest, context: _Context
    ) -> ListScoringResultsResponse:
        """List what became of the items of a job."""
        jobs, tenant, job_id = self._checked(request), current_principal().tenant, request.job_id
        begin = 0
        if request.page_token:
            begin = read_results_token(request.page_token, job_id=job_id)
        # Asked first: if it has ended by then, nothing comes after what is read now.
        has_ended = jobs.get(tenant, job_id).state.is_final
        page = await jobs.results(
            tenant,
            job_id,
            begin=begin,
            max_items=request.page_size or DEFAULT_PAGE_SIZE,
            max_bytes=self._max_page_bytes,
        )
        results = await asyncio.to_thread(_what_fits, page.lines, self._max_page_bytes)
        is_last = has_ended and page.is_end and len(results) == len(page.lines)
        end = page.lines[len(results) - 1].end if results else begin
        return ListScoringResultsResponse(
            results=results, next_page_token="" if is_last else results_token(job_id, end)
        )

    def _checked(self, request: Any) -> ScoringJobs:
        """Return the jobs, if the request is one that they can be asked.

        Raises:
            NoJobsError: If the server keeps none.
            InvalidRequestError: If it is not valid.
        """
        if self._jobs is None:
            raise NoJobsError(
                "This server keeps no jobs; set MOODLINE_JOBS__FOLDER where it is started, or use "
                "BatchAnalyzeConversations."
            )
        violations = self._validator.collect_violations(request)
        if violations:
            raise InvalidRequestError(violations)
        return self._jobs

    def _job(self, jobs: ScoringJobs, record: JobRecord) -> ScoringJob:
        return convert_jobs.job_to_proto(record, expire_time=jobs.expire_time(record))


def _what_fits(lines: Sequence[ResultLine], max_bytes: int) -> list[ScoringResult]:
    """Read as many lines as fit into a message, at least one."""
    results: list[ScoringResult] = []
    room = max_bytes
    for line in lines:
        result = convert_jobs.result_to_proto(line.content)
        byte_count = result.ByteSize()
        if byte_count > max_bytes:
            result = convert_jobs.too_long_to_proto(result, max_bytes=max_bytes)
            byte_count = result.ByteSize()
        if results and byte_count > room:
            break
        results.append(result)
        room -= byte_count
    return results
