"""All jobs of a server: takes them, runs them in order, answers for them."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import structlog

from moodline.errors import (
    FieldViolation,
    InvalidRequestError,
    JobNotFoundError,
    JobStateError,
    NoJobsError,
    OverloadedError,
    RequestIdReusedError,
    SettingsError,
)
from moodline.jobs.errors import JobError
from moodline.jobs.model import ModelIdentity
from moodline.jobs.served.engine import ServerEngine
from moodline.jobs.served.inputs import check_inline_size, files_to_json, find_files
from moodline.jobs.served.metrics import JobMetrics
from moodline.jobs.served.outputs import ServedOutput
from moodline.jobs.served.record import FailureReason, JobFailure, JobRecord, JobState
from moodline.jobs.served.results import ResultsPage, read_results
from moodline.jobs.served.run import JobRun, conclude, internal_failure, storage_failure
from moodline.jobs.served.store import JobStore, open_store
from moodline.transcripts import TranscriptFormat, load_formats
from moodline.transcripts.registry import format_named
from moodline.v1.analysis_pb2 import ConversationAnalysis
from moodline.v1.conversation_pb2 import Conversation
from moodline.v1.scoring_job_service_pb2 import CreateScoringJobRequest

SWEEP_INTERVAL_S: Final = 600.0
"""How often expired jobs are looked for, besides whenever one is created."""
QUEUE_RETRY_S: Final = 30.0
"""When to try again while the queue is full: jobs take minutes."""


class AnalyzeInJob(Protocol):
    """Validates and analyses a conversation behind live work. Raises `MoodlineError`."""

    def __call__(
        self, message: Conversation, *, tenant: str, omit_evidence: bool
    ) -> Awaitable[ConversationAnalysis]:
        """Analyse a conversation of a tenant, in a task of its own."""


_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What a server takes and keeps.

    Attributes:
        max_running_count: Jobs that run at a time.
        max_queued_count: Jobs that wait, at most.
        max_kept_count: All jobs, at most; of those that have ended the oldest go first.
        retention: How long a job is kept once it has ended.
        max_inline_bytes: Of the conversations of one request together.
    """

    max_running_count: int
    max_queued_count: int
    max_kept_count: int
    retention: timedelta
    max_inline_bytes: int


@asynccontextmanager
async def open_scoring_jobs(
    folder: Path,
    *,
    limits: JobLimits,
    input_root: Path | None,
    table_formats: tuple[str, ...],
    metrics: JobMetrics,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AsyncIterator[ScoringJobs]:
    """Own the folder of the jobs; nothing runs before `start`. On leaving, all that runs stops.

    Args:
        folder: Where jobs and results are kept; made if it is missing.
        limits: What is taken and kept.
        input_root: Holds a folder for each tenant, below which it may name files; None if none
            may.
        table_formats: Tables that are written beside the lines of results.
        metrics: Where counts go.
        now: The time of day.

    Raises:
        SettingsError: If a folder cannot be used, or a package for the tables is missing.
    """
    try:
        ServedOutput(table_formats)
    except JobError as error:
        raise SettingsError(f"MOODLINE_JOBS__TABLE_FORMATS: {error}") from None
    if input_root is not None and not await asyncio.to_thread(input_root.is_dir):
        raise SettingsError(
            f"MOODLINE_JOBS__INPUT_ROOT: {input_root} is no folder; name one that exists."
        )
    with (
        open_store(folder) as store,
        ThreadPoolExecutor(limits.max_running_count, thread_name_prefix="moodline-job") as executor,
    ):
        jobs = ScoringJobs(
            store,
            executor,
            limits=limits,
            input_root=input_root,
            table_formats=table_formats,
            metrics=metrics,
            now=now,
        )
        try:
            yield jobs
        finally:
            await jobs.stop()


class ScoringJobs:
    """The jobs of a server; lives on its event loop. Made by `open_scoring_jobs` alone."""

    def __init__(
        self,
        store: JobStore,
        executor: ThreadPoolExecutor,
        *,
        limits: JobLimits,
        input_root: Path | None,
        table_formats: tuple[str, ...],
        metrics: JobMetrics,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._executor = executor
        self._limits = limits
        self._input_root = input_root
        self._table_formats = table_formats
        self._metrics = metrics
        self._now = now
        self._formats: tuple[TranscriptFormat, ...] = load_formats()
        self._waiting = deque(record.job_id for record in store.unfinished())
        self._runs: dict[str, JobRun] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changes: set[asyncio.Task[Any]] = set()
        self._creating = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._analyze: AnalyzeInJob | None = None
        self._identity = ModelIdentity("", "", "")
        self._sweeping: asyncio.Task[None] | None = None
        metrics.jobs.labels(state=JobState.QUEUED).set_function(lambda: len(self._waiting))
        metrics.jobs.labels(state=JobState.RUNNING).set_function(lambda: len(self._runs))

    def start(self, analyze: AnalyzeInJob, identity: ModelIdentity) -> None:
        """Run jobs from now on; those that a stop or a kill interrupted go first.

        Args:
            analyze: How a conversation is analysed.
            identity: By which model.
        """
        self._analyze = analyze
        self._identity = identity
        self._sweeping = asyncio.create_task(self._sweep_now_and_then(), name="moodline-sweep")
        self._run_next()

    async def stop(self) -> None:
        """Stop all that runs; it goes on behind its last part at the next start."""
        self._analyze = None
        if self._sweeping is not None:
            self._sweeping.cancel()
        for run in self._runs.values():
            run.engine.stop()
        tasks = [*self._tasks.values(), *self._changes]
        if self._sweeping is not None:
            tasks.append(self._sweeping)
        if tasks:
            await asyncio.wait(tasks)

    async def create(self, tenant: str, request: CreateScoringJobRequest) -> JobRecord:
        """Take a job, or return the one that the same request created.

        Args:
            tenant: Who creates it.
            request: Validated.

        Raises:
            InvalidRequestError: If its files or its format are none.
            NoJobsError: If it names files, and the server reads none.
            RequestIdReusedError: If its id created another job.
            OverloadedError: If too many jobs wait.
            OSError: If the folder cannot be written.
        """
        # Once begun it ends: a caller who leaves in the middle may come again and find the job.
        return await self._to_its_end(self._create(tenant, request))

    def get(self, tenant: str, job_id: str) -> JobRecord:
        """Return a job as it stands now.

        Raises:
            JobNotFoundError: If the tenant has no such job.
        """
        return self._told(self._store.get(tenant, job_id))

    def newest_first(self, tenant: str) -> list[JobRecord]:
        """Return the jobs of a tenant as they stand now."""
        return [self._told(record) for record in self._store.newest_first(tenant)]

    def expire_time(self, record: JobRecord) -> datetime | None:
        """Return when a job may be forgotten; None before it has ended."""
        return None if record.end_time is None else record.end_time + self._limits.retention

    async def cancel(self, tenant: str, job_id: str) -> JobRecord:
        """End a job, keeping what was scored; one that has ended stays as it is.

        Raises:
            JobNotFoundError: If the tenant has no such job.
            OSError: If the folder cannot be written.
        """
        record = self._store.get(tenant, job_id)
        if not record.state.is_final:
            await self._to_its_end(self._cancel(record))
        return self.get(tenant, job_id)

    async def delete(self, tenant: str, job_id: str) -> None:
        """Remove a job that has ended, with its results.

        Raises:
            JobNotFoundError: If the tenant has no such job.
            JobStateError: If it has not ended.
        """
        record = self._store.get(tenant, job_id)
        if not record.state.is_final:
            raise JobStateError(f"The job is {record.state}; cancel it first.")
        await self._to_its_end(self._remove(record))

    async def results(
        self, tenant: str, job_id: str, *, begin: int, max_items: int, max_bytes: int
    ) -> ResultsPage:
        """Return results of a job from a place on; see `read_results`.

        Raises:
            JobNotFoundError: If the tenant has no such job.
            InvalidRequestError: If no result begins there.
        """
        paths = self._store.paths(self._store.get(tenant, job_id).job_id)
        try:
            return await asyncio.to_thread(
                read_results, paths, begin=begin, max_items=max_items, max_bytes=max_bytes
            )
        except FileNotFoundError:
            raise JobNotFoundError("The job was deleted, or has expired, just now.") from None

    # Changes: each runs to its end even if its caller leaves

    async def _to_its_end(self, change: Coroutine[Any, Any, _T]) -> _T:
        task = asyncio.create_task(change, name="moodline-job-change")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        # Also where nobody waits for it any more.
        task.add_done_callback(lambda done: done.exception())
        return await asyncio.shield(task)

    async def _create(self, tenant: str, request: CreateScoringJobRequest) -> JobRecord:
        digest = _digest(request)
        async with self._creating:
            known = self._store.of_request(tenant, request.request_id)
            if known is not None:
                if known.request_digest != digest:
                    raise RequestIdReusedError(
                        f"request_id has created the job {known.job_id} of other content; choose "
                        "another id."
                    )
                return self._told(known)
            if len(self._waiting) >= self._limits.max_queued_count:
                raise OverloadedError(
                    f"{len(self._waiting)} jobs wait, at most {self._limits.max_queued_count} may; "
                    "try again after the suggested delay.",
                    retry_after_s=QUEUE_RETRY_S,
                )
            record = await asyncio.to_thread(self._write_new, tenant, request, digest)
            self._store.put(record)
            self._waiting.append(record.job_id)
        await self._sweep()
        self._run_next()
        return self._told(self._store.get(tenant, record.job_id))

    def _write_new(self, tenant: str, request: CreateScoringJobRequest, digest: str) -> JobRecord:
        """Look the input up and write the job to the disk; in a thread."""
        job_id = uuid.uuid4().hex
        paths = self._store.paths(job_id)
        is_inline = request.HasField("inline")
        files = []
        if is_inline:
            byte_count = request.inline.ByteSize()
            check_inline_size(byte_count, self._limits.max_inline_bytes)
            inputs = (paths.inline, request.inline.SerializeToString())
        else:
            files = find_files(self._root_of(tenant), request.files.paths)
            _check_format(request.files.format, self._formats)
            inputs = (paths.files, files_to_json(files))
        record = JobRecord(
            job_id=job_id,
            tenant=tenant,
            request_id=request.request_id,
            request_digest=digest,
            total_count=len(request.inline.conversations) if is_inline else None,
            file_count=len(files),
            format_name=request.files.format,
            are_roles_corrected=request.files.correct_roles,
            is_evidence_wanted=not request.options.omit_evidence,
            table_formats=self._table_formats,
            create_time=self._now(),
        )
        self._store.write_new(record, [inputs])
        return record

    def _root_of(self, tenant: str) -> Path:
        """Return what the paths of a tenant count from; no tenant reads the files of another."""
        # Both are names of tenants, and none of folders.
        if self._input_root is None or tenant in {".", ".."}:
            raise NoJobsError(
                "This server reads no files for this tenant; send the conversations with the "
                "request, or have its operator set jobs.input_root (MOODLINE_JOBS__INPUT_ROOT)."
            )
        return self._input_root / tenant

    async def _cancel(self, record: JobRecord) -> None:
        job_id = record.job_id
        if record.ending is None:
            # On the disk before anything stops, so that no kill lets it go on.
            await self._keep(record.changed(ending=JobState.CANCELLED))
        if job_id in self._waiting:
            self._waiting.remove(job_id)
            self._run(job_id)
        if job_id in self._runs:
            self._runs[job_id].engine.stop()
        if job_id in self._tasks:
            await asyncio.wait([self._tasks[job_id]])

    async def _remove(self, record: JobRecord) -> None:
        self._store.forget(record)
        await asyncio.to_thread(self._store.paths(record.job_id).remove)

    # Running

    def _run_next(self) -> None:
        while self._waiting and self._analyze and len(self._tasks) < self._limits.max_running_count:
            self._run(self._waiting.popleft())

    def _run(self, job_id: str) -> None:
        self._tasks[job_id] = asyncio.create_task(
            self._bring_to_end(job_id), name=f"moodline-job-{job_id}"
        )

    async def _bring_to_end(self, job_id: str) -> None:
        """Score a job, if that is still wanted, and conclude it, unless the server stops before."""
        try:
            record = self._store.by_id(job_id)
            if record.ending is None and self._analyze is not None:
                record = await self._score(record, self._analyze)
            if record.ending is None:
                await self._keep(record)
            else:
                await self._conclude(record)
        # Nobody awaits this task; the job goes on at the next start.
        except Exception:  # noqa: BLE001
            _log.exception("scoring_job_interrupted", job_id=job_id)
        finally:
            self._runs.pop(job_id, None)
            del self._tasks[job_id]
            self._run_next()

    async def _score(self, record: JobRecord, analyze: AnalyzeInJob) -> JobRecord:
        """Score what is left of a job; without an ending, it goes on at the next start."""
        run = self._runs[record.job_id] = self._new_run(record, analyze)
        record = self._begun(record)
        try:
            await self._keep(record)
        except OSError as error:
            return record.changed(ending=JobState.FAILED, error=storage_failure(error))
        if record.ending is not None:
            return record
        loop = asyncio.get_running_loop()
        scored = await loop.run_in_executor(self._executor, run.score, record)
        # None: stopped, by a caller who has cancelled it or by the end of the server.
        return run.told(self._store.by_id(record.job_id)) if scored is None else scored

    def _new_run(self, record: JobRecord, analyze: AnalyzeInJob) -> JobRun:
        engine = ServerEngine(
            partial(analyze, tenant=record.tenant, omit_evidence=not record.is_evidence_wanted),
            self._identity,
            loop=asyncio.get_running_loop(),
        )
        return JobRun(
            self._store.paths(record.job_id),
            engine,
            formats=self._formats,
            input_root=self._input_root and self._input_root / record.tenant,
            listener=self._metrics,
        )

    def _begun(self, record: JobRecord) -> JobRecord:
        """Return a job as it runs now, or fails to since the model is another one."""
        identity = self._identity
        before = ModelIdentity(
            record.model_version, record.configuration_digest, record.rule_set_digest
        )
        if record.model_version and identity != before:
            message = (
                f"The job was begun with {before}, and this server now has {identity}. What was "
                "scored stands; create a new job for the rest."
            )
            return record.changed(
                ending=JobState.FAILED,
                error=JobFailure(reason=FailureReason.MODEL_CHANGED, message=message),
            )
        return record.changed(
            state=JobState.RUNNING,
            start_time=record.start_time or self._now(),
            model_version=identity.model_version,
            configuration_digest=identity.configuration_digest,
            rule_set_digest=identity.rule_set_digest,
        )

    async def _conclude(self, record: JobRecord) -> None:
        """Bring a job to the end that it is on the way to."""
        paths = self._store.paths(record.job_id)
        try:
            await self._keep(record)
            record = await asyncio.to_thread(conclude, paths, record)
        except OSError as error:
            _log.exception("scoring_job_not_concluded", job_id=record.job_id)
            record = record.changed(ending=JobState.FAILED, error=storage_failure(error))
        # Writers of tables fail in their own ways.
        except Exception as error:  # noqa: BLE001
            _log.exception("scoring_job_not_concluded", job_id=record.job_id)
            record = record.changed(ending=JobState.FAILED, error=internal_failure(error))
        ended = record.changed(state=record.ending, ending=None, end_time=self._now())
        try:
            await self._keep(ended)
            await asyncio.to_thread(paths.drop_inputs)
        except OSError:
            # The next start does this again.
            _log.exception("scoring_job_not_kept", job_id=record.job_id)
        self._metrics.count_ended(ended)
        _log.info(
            "scoring_job_ended",
            job_id=ended.job_id,
            tenant=ended.tenant,
            state=ended.state.value,
            reason=ended.error.reason.value if ended.error else "",
            scored_count=ended.scored_count,
            failed_count=ended.failed_count,
            turn_count=ended.turn_count,
            model_version=ended.model_version,
        )

    def _told(self, record: JobRecord) -> JobRecord:
        run = self._runs.get(record.job_id)
        return record if run is None or record.state.is_final else run.told(record)

    async def _keep(self, record: JobRecord) -> None:
        """Remember how a job stands, here and on the disk."""
        self._store.put(record)
        async with self._writing:
            await asyncio.to_thread(self._store.write, self._store.by_id(record.job_id))

    # What goes

    async def _sweep_now_and_then(self) -> None:
        while True:
            await self._sweep()
            await asyncio.sleep(SWEEP_INTERVAL_S)

    async def _sweep(self) -> None:
        removable = self._store.removable(
            now=self._now(),
            retention=self._limits.retention,
            max_job_count=self._limits.max_kept_count,
        )
        for record in removable:
            self._store.forget(record)
        for record in removable:
            await asyncio.to_thread(self._store.paths(record.job_id).remove)


def _digest(request: CreateScoringJobRequest) -> str:
    content = CreateScoringJobRequest()
    content.CopyFrom(request)
    content.ClearField("request_id")
    return hashlib.sha256(content.SerializeToString(deterministic=True)).hexdigest()


def _check_format(name: str, formats: tuple[TranscriptFormat, ...]) -> None:
    if not name:
        return
    try:
        format_named(name, formats)
    except InvalidRequestError as error:
        description = error.violations[0].description
        raise InvalidRequestError([FieldViolation("files.format", description)]) from None
