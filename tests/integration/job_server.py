"""A server that takes scoring jobs, and what tests ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from moodline.analyzer import ConversationAnalyzer
from moodline.app import open_jobs
from moodline.cli.conversation_lines import LineParser
from moodline.limits import Limits
from moodline.rpc.validation import RequestValidator
from moodline.samples import read_samples
from moodline.settings import AuthSettings, JobsSettings, ServerSettings
from moodline.telemetry.metrics import Metrics
from moodline.v1.conversation_pb2 import Conversation
from moodline.v1.scoring_job_pb2 import ScoringJob, ScoringResult
from moodline.v1.scoring_job_service_pb2 import (
    CancelScoringJobRequest,
    CreateScoringJobRequest,
    FilesInput,
    GetScoringJobRequest,
    InlineInput,
    ListScoringResultsRequest,
)
from moodline.v1.scoring_job_service_pb2_grpc import ScoringJobServiceStub
from tests.integration.harness import LOCAL, OPEN, Served, serving, settings, turn

if TYPE_CHECKING:
    # It exists for type checkers alone.
    from moodline.v1.scoring_job_service_pb2_grpc import ScoringJobServiceAsyncStub

POLL_S = 0.02
TIMEOUT_S = 120
FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


def samples() -> list[Conversation]:
    parser = LineParser(RequestValidator(Limits()))
    return [parser.parse(line.encode()).conversation for line in read_samples().splitlines()]


def short(count: int) -> list[Conversation]:
    """Conversations of one turn; no two are the same."""
    return [
        Conversation(
            conversation_id=f"c{index}", turns=[turn(f"Where is my parcel number {index}?")]
        )
        for index in range(count)
    ]


def inline(
    conversations: Iterable[Conversation], *, request_id: str = "r1", **fields: Any
) -> CreateScoringJobRequest:
    return CreateScoringJobRequest(
        request_id=request_id, inline=InlineInput(conversations=conversations), **fields
    )


def files(*paths: str, request_id: str = "r1", **fields: Any) -> CreateScoringJobRequest:
    return CreateScoringJobRequest(request_id=request_id, files=FilesInput(paths=paths, **fields))


@dataclass(frozen=True)
class JobServer:
    """A server, and calls to its jobs."""

    served: Served

    @property
    def stub(self) -> ScoringJobServiceAsyncStub:
        return ScoringJobServiceStub(self.served.channel)

    async def create(self, request: CreateScoringJobRequest) -> ScoringJob:
        return (await self.stub.CreateScoringJob(request)).job

    async def get(self, job: ScoringJob) -> ScoringJob:
        return (await self.stub.GetScoringJob(GetScoringJobRequest(job_id=job.job_id))).job

    async def cancel(self, job: ScoringJob) -> ScoringJob:
        return (await self.stub.CancelScoringJob(CancelScoringJobRequest(job_id=job.job_id))).job

    async def until(self, job: ScoringJob, holds: Callable[[ScoringJob], bool]) -> ScoringJob:
        async with asyncio.timeout(TIMEOUT_S):
            while not holds(job := await self.get(job)):
                assert job.state not in FINAL, job
                await asyncio.sleep(POLL_S)
        return job

    async def ended(self, job: ScoringJob) -> ScoringJob:
        return await self.until(job, lambda now: now.state in FINAL)

    async def results(self, job: ScoringJob, *, page_size: int = 0) -> list[ScoringResult]:
        """All results of a job that has ended."""
        results: list[ScoringResult] = []
        token = ""
        while True:
            page = await self.stub.ListScoringResults(
                ListScoringResultsRequest(job_id=job.job_id, page_size=page_size, page_token=token)
            )
            results += page.results
            token = page.next_page_token
            if not token:
                return results


@asynccontextmanager
async def serving_jobs(
    analyzer: ConversationAnalyzer,
    folder: Path,
    *,
    auth: AuthSettings = OPEN,
    server: ServerSettings = LOCAL,
    **jobs: Any,
) -> AsyncIterator[JobServer]:
    """Serve, and drain in the end as `moodline serve` does."""
    with_settings = settings(auth=auth, server=server, jobs=JobsSettings(folder=folder, **jobs))
    metrics = Metrics(CollectorRegistry())
    async with (
        open_jobs(with_settings, metrics=metrics) as opened,
        serving(analyzer, with_settings=with_settings, metrics=metrics, jobs=opened) as served,
    ):
        yield JobServer(served)
        await served.rpc.drain()
