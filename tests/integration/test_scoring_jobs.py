"""Scoring jobs of a server: results, idempotency, ends, restarts, limits, tenants, paths."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import math
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
import yaml
from google.protobuf.json_format import MessageToDict
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from moodline.analyzer import ConversationAnalyzer
from moodline.app import open_jobs
from moodline.artifact import Artifact
from moodline.client import AsyncMoodlineClient, MoodlineRpcError
from moodline.engine import OnnxEncoder
from moodline.errors import SettingsError
from moodline.inference import EncoderOutput
from moodline.jobs.served.record import JobRecord
from moodline.jobs.served.scoring_jobs import ScoringJobs
from moodline.settings import AuthSettings, JobsSettings, Settings
from moodline.telemetry.metrics import Metrics
from moodline.v1.analysis_service_pb2 import AnalyzeConversationRequest
from moodline.v1.conversation_pb2 import Conversation
from moodline.v1.scoring_job_pb2 import ScoringJob
from moodline.v1.scoring_job_service_pb2 import (
    CreateScoringJobRequest,
    DeleteScoringJobRequest,
    GetScoringJobRequest,
    ListScoringJobsRequest,
    ListScoringResultsRequest,
)
from tests.integration.harness import (
    HeldEngine,
    Served,
    analyzing,
    assert_same,
    eventually,
    read_status,
    refusal,
    settings,
    turn,
)
from tests.integration.job_server import (
    JobServer,
    files,
    inline,
    samples,
    serving_jobs,
    short,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRANSCRIPTS = Path(__file__).parents[1] / "data" / "transcripts"
SECRET = "4111 1111 1111"


def as_json(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


class StagedEngine(HeldEngine):
    """Computes so many rows, then holds every call back until it is released.

    Attributes:
        batches: The token ids of all calls.
    """

    def __init__(self, engine: OnnxEncoder) -> None:
        super().__init__(engine)
        self._row_limit = math.inf
        self.batches: list[NDArray[np.int64]] = []

    def hold_after(self, row_count: int) -> None:
        self._row_limit = self.row_count + row_count
        self.has_begun.clear()
        if not row_count:
            self.may_compute.clear()

    def release(self) -> None:
        self._row_limit = math.inf
        self.may_compute.set()

    def encode(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]
    ) -> EncoderOutput:
        if self.row_count >= self._row_limit:
            self.may_compute.clear()
        self.batches.append(input_ids)
        return super().encode(input_ids, attention_mask)


@dataclass(frozen=True)
class Held:
    """An analyzer whose engine obeys the test."""

    engine: StagedEngine
    analyzer: ConversationAnalyzer
    metrics: Metrics

    async def until_waiting(self, window_count: int) -> None:
        await eventually(
            lambda: self.metrics.registry.get_sample_value("moodline_queue_entries") == window_count
        )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def held_for_all(artifact: Artifact, onnx_encoder: OnnxEncoder) -> AsyncIterator[Held]:
    engine = StagedEngine(onnx_encoder)
    metrics = Metrics(CollectorRegistry())
    async with analyzing(artifact, engine, metrics=metrics) as analyzer:
        yield Held(engine, analyzer, metrics)


@pytest.fixture
def held(held_for_all: Held) -> Iterator[Held]:
    yield held_for_all
    held_for_all.engine.release()


async def test_results_are_those_of_unary_calls(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    async with serving_jobs(analyzer, tmp_path) as server:
        job = await server.create(inline(samples()))
        assert (job.state, job.total_count, job.file_count) in {
            ("QUEUED", len(samples()), 0),
            ("RUNNING", len(samples()), 0),
        }
        job = await server.ended(job)
        assert job.state == "SUCCEEDED"
        assert (job.completed_count, job.failed_count) == (len(samples()), 0)
        results = await server.results(job)
        for number, (conversation, result) in enumerate(zip(samples(), results, strict=True), 1):
            answer = await server.served.stub.AnalyzeConversation(
                AnalyzeConversationRequest(conversation=conversation)
            )
            assert_same(as_json(result.analysis), as_json(answer.analysis))
            assert (result.source, result.number) == ("", number)
            assert result.analysis.configuration_digest == job.configuration_digest
        assert job.turn_count == sum(len(one.turns) for one in samples())
        created, started, ended = (
            time.ToDatetime() for time in (job.create_time, job.start_time, job.end_time)
        )
        assert created <= started <= ended < job.expire_time.ToDatetime()


async def test_evidence_is_left_out_if_that_is_wanted(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    async with serving_jobs(analyzer, tmp_path) as server:
        request = inline(samples())
        request.options.omit_evidence = True
        results = await server.results(await server.ended(await server.create(request)))
        assert results
        assert not any(turn.evidence for one in results for turn in one.analysis.turns)


async def test_files_of_any_format_are_read_and_tables_written(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(TRANSCRIPTS, root / "default", ignore=shutil.ignore_patterns("expected"))
    folder = tmp_path / "jobs"
    async with serving_jobs(analyzer, folder, input_root=root, table_formats=("csv",)) as server:
        paths = ("vcon-*.json", "csv-many.csv", ".", "twilio.json")
        job = await server.ended(await server.create(files(*paths)))
        results = await server.results(job)
    assert (job.state, job.failed_count) == ("SUCCEEDED", 0), job.partial_errors
    names = [path.name for path in sorted((root / "default").iterdir())]
    assert job.file_count == len(names)
    sources = list(dict.fromkeys(result.source for result in results))
    vcons = [name for name in names if name.startswith("vcon-")]
    first = [*vcons, "csv-many.csv"]
    assert sources == [*first, *(name for name in names if name not in first)]
    assert job.total_count == job.completed_count == len(results)
    tables = folder / job.job_id / "results" / "csv"
    with (tables / "conversations.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["source"] for row in rows] == [result.source for result in results]
    for row, result in zip(rows, results, strict=True):
        if result.analysis.HasField("sentiment"):
            assert float(row["sentiment_score"]) == pytest.approx(result.analysis.sentiment.score)


async def test_items_that_fail_are_told_and_the_others_scored(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    good, bad = samples()[0], Conversation(conversation_id="bad", turns=[turn(role="nobody")])
    bad.turns.add(role="customer", text=" ")
    async with serving_jobs(analyzer, tmp_path) as server:
        job = await server.ended(await server.create(inline([bad, good])))
        failed, scored = await server.results(job)
        answer = await refusal(
            server.served.stub.AnalyzeConversation(AnalyzeConversationRequest(conversation=bad))
        )
    assert job.state == "SUCCEEDED"
    assert (job.completed_count, job.failed_count, job.total_count) == (1, 1, 2)
    assert scored.HasField("analysis")
    told = read_status(failed.status)
    assert (told.code, told.reason) == (answer.code, answer.reason)
    assert {f"conversation.{field}" for field in told.violations} == set(answer.violations)
    assert told.metadata == {"source": "", "number": "1", "place": "conversations[0]"}
    assert list(job.partial_errors) == [failed.status]
    assert job.omitted_partial_error_count == 0


async def test_more_failures_than_a_job_tells_are_counted(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    root = tmp_path / "root" / "default"
    root.mkdir(parents=True)
    lines = [f'{{"turns": "{SECRET}"}}' for _ in range(25)]
    (root / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    folder = tmp_path / "jobs"
    async with serving_jobs(analyzer, folder, input_root=root.parent) as server:
        job = await server.ended(await server.create(files("*.jsonl", format="jsonl")))
        results = await server.results(job, page_size=7)
    assert job.state == "SUCCEEDED"
    assert (job.completed_count, job.failed_count) == (0, 25)
    assert (len(job.partial_errors), job.omitted_partial_error_count) == (20, 5)
    places = [read_status(one.status).metadata["place"] for one in results]
    assert places == [f"line {number}" for number in range(1, 26)]
    assert [one.status for one in results[:20]] == list(job.partial_errors)
    assert SECRET not in str(job) + str(results)


async def test_a_request_that_comes_again_creates_no_second_job(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    async with serving_jobs(analyzer, tmp_path) as server:
        jobs = await asyncio.gather(*(server.create(inline(samples())) for _ in range(8)))
        assert len({job.job_id for job in jobs}) == 1
        job = await server.ended(jobs[0])
        assert await server.create(inline(samples())) == job
        listed = await server.stub.ListScoringJobs(ListScoringJobsRequest())
        assert list(listed.jobs) == [job]
        for other in (
            inline(samples()[:1]),
            files("a.json"),
            inline(samples(), options={"omit_evidence": True}),
        ):
            answer = await refusal(server.stub.CreateScoringJob(other))
            assert answer.code is grpc.StatusCode.ALREADY_EXISTS
            assert answer.reason == "REQUEST_ID_REUSED"


async def test_a_cancelled_job_keeps_what_was_scored(held: Held, tmp_path: Path) -> None:
    held.engine.hold_after(150)
    async with serving_jobs(held.analyzer, tmp_path) as server:
        job = await server.create(inline(short(220)))
        waiting = await server.create(inline(short(1), request_id="r2"))
        job = await server.until(job, lambda now: now.completed_count >= 100)
        early = await server.stub.ListScoringResults(
            ListScoringResultsRequest(job_id=job.job_id, page_size=1000)
        )
        assert len(early.results) == job.completed_count
        assert early.next_page_token

        assert (await server.cancel(waiting)).state == "CANCELLED"
        assert await server.results(waiting) == []
        cancelled = await server.cancel(job)
        assert cancelled.state == "CANCELLED"
        assert job.completed_count <= cancelled.completed_count < 220
        assert cancelled.total_count == 220
        results = await server.results(job)
        assert [one.conversation_id for one in results] == [
            f"c{index}" for index in range(cancelled.completed_count)
        ]
        # The page that came before it ended goes on where it was.
        late = await server.stub.ListScoringResults(
            ListScoringResultsRequest(
                job_id=job.job_id, page_size=1000, page_token=early.next_page_token
            )
        )
        assert [*early.results, *late.results] == results
        assert await server.cancel(job) == cancelled
    held.engine.release()
    async with serving_jobs(held.analyzer, tmp_path) as server:
        assert await server.get(job) == cancelled
        assert await server.results(job) == results


async def test_a_drain_stops_a_job_and_the_next_start_goes_on(held: Held, tmp_path: Path) -> None:
    held.engine.hold_after(150)
    async with serving_jobs(held.analyzer, tmp_path) as server:
        job = await server.create(inline(short(220)))
        later = await server.create(inline(short(3), request_id="r2"))
        job = await server.until(job, lambda now: now.completed_count >= 100)
    held.engine.release()
    rows_before = held.engine.row_count
    async with serving_jobs(held.analyzer, tmp_path) as server:
        ended = await server.ended(job)
        assert ended.state == "SUCCEEDED"
        assert (ended.completed_count, ended.total_count) == (220, 220)
        assert ended.start_time == job.start_time
        results = await server.results(job)
        assert [one.conversation_id for one in results] == [f"c{i}" for i in range(220)]
        assert (await server.ended(later)).completed_count == 3
    # Nothing of the parts that were whole was computed again, but what was held back may be.
    assert 0 < held.engine.row_count - rows_before <= 220 - 100 + 3 + 64


async def test_live_turns_go_before_a_job(held: Held, tmp_path: Path) -> None:
    live = "Somebody has to call me back within the hour!"
    long = [
        Conversation(
            conversation_id=f"c{index}",
            turns=[turn(f"This is line {line} of case {index}.") for line in range(20)],
        )
        for index in range(20)
    ]
    async with serving_jobs(held.analyzer, tmp_path) as server:
        await server.served.analyze(turn(live))
        wanted = held.engine.batches[-1]
        held.engine.batches.clear()
        held.engine.hold_after(0)
        job = await server.create(inline(long))
        await asyncio.to_thread(held.engine.has_begun.wait, 60)
        # All that the job has waits behind the call in flight, and behind that the live turn.
        waiting_count = 20 * 20 - len(held.engine.batches[0])
        await held.until_waiting(waiting_count)
        answering = asyncio.ensure_future(server.served.analyze(turn(live)))
        await held.until_waiting(waiting_count + 1)
        held.engine.release()
        await answering
        assert (await server.ended(job)).completed_count == 20
    batches = held.engine.batches
    first = next(number for number, batch in enumerate(batches) if holds(batch, wanted))
    assert first == 1
    assert len(batches) > 3


def holds(batch: NDArray[np.int64], row: NDArray[np.int64]) -> bool:
    width = min(batch.shape[1], row.shape[1])
    return bool((batch[:, :width] == row[:, :width]).all(axis=1).any())


async def test_results_and_jobs_come_in_pages(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    async with serving_jobs(analyzer, tmp_path) as server:
        jobs = [
            await server.ended(await server.create(inline(short(3), request_id=f"r{number}")))
            for number in range(5)
        ]
        listed: list[ScoringJob] = []
        token = ""
        while True:
            page = await server.stub.ListScoringJobs(
                ListScoringJobsRequest(page_size=2, page_token=token, state="SUCCEEDED")
            )
            listed += page.jobs
            # What is created meanwhile does not move the pages.
            await server.create(inline(short(1), request_id=f"new-{len(listed)}"))
            token = page.next_page_token
            if not token:
                break
            other = ListScoringJobsRequest(page_token=token, state="FAILED")
            answer = await refusal(server.stub.ListScoringJobs(other))
            assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
            assert set(answer.violations) == {"page_token"}
        assert listed == jobs[::-1]
        two = await server.stub.ListScoringResults(
            ListScoringResultsRequest(job_id=jobs[0].job_id, page_size=2)
        )
        assert len(two.results) == 2
        for job_id, token in (
            (jobs[1].job_id, two.next_page_token),
            (jobs[0].job_id, "nonsense"),
            (jobs[0].job_id, two.next_page_token[:-2]),
        ):
            answer = await refusal(
                server.stub.ListScoringResults(
                    ListScoringResultsRequest(job_id=job_id, page_token=token)
                )
            )
            assert set(answer.violations) == {"page_token"}
        assert len(await server.results(jobs[0], page_size=1)) == 3
        no_jobs = await server.stub.ListScoringJobs(ListScoringJobsRequest(state="FAILED"))
        assert not no_jobs.jobs


async def test_a_page_fits_into_a_message(analyzer: ConversationAnalyzer, tmp_path: Path) -> None:
    long = Conversation(
        conversation_id="long",
        turns=[turn(f"I have waited {number} days for it!") for number in range(200)],
    )
    small = settings().server.model_copy(update={"max_message_bytes": 100_000})
    async with serving_jobs(analyzer, tmp_path, server=small) as server:
        job = await server.ended(await server.create(inline([*samples(), long, *short(2)])))
        assert job.completed_count == len(samples()) + 3
        first = await server.stub.ListScoringResults(ListScoringResultsRequest(job_id=job.job_id))
        assert first.ByteSize() <= 100_000
        results = await server.results(job)
    assert [one.conversation_id for one in results] == [
        *(one.conversation_id for one in samples()),
        "long",
        "c0",
        "c1",
    ]
    assert {one.conversation_id for one in results if one.HasField("status")} == {"long"}
    assert read_status(results[-3].status).reason == "INPUT_TOO_LONG"


async def test_a_job_that_has_ended_can_be_deleted(held: Held, tmp_path: Path) -> None:
    held.engine.hold_after(0)
    async with serving_jobs(held.analyzer, tmp_path) as server:
        job = await server.create(inline(short(2)))
        delete = DeleteScoringJobRequest(job_id=job.job_id)
        answer = await refusal(server.stub.DeleteScoringJob(delete))
        assert (answer.code, answer.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "JOB_STATE",
        )
        await server.cancel(job)
        await server.stub.DeleteScoringJob(delete)
        assert not (tmp_path / job.job_id).exists()
        answer = await refusal(server.stub.DeleteScoringJob(delete))
        assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
        # Its request is forgotten with it.
        assert (await server.create(inline(short(2)))).job_id != job.job_id


def tokens_file(folder: Path, **tenants: str) -> Path:
    """Write a token for each tenant, with the scopes given; the token is the tenant's name."""
    entries = [
        {
            "name": tenant,
            "sha256": hashlib.sha256(tenant.encode()).hexdigest(),
            "tenant": tenant,
            "scopes": scopes.split(),
        }
        for tenant, scopes in tenants.items()
    ]
    path = folder / "tokens.yaml"
    path.write_text(yaml.safe_dump({"tokens": entries}), encoding="utf-8")
    return path


async def test_tenants_see_their_own_jobs_and_files_alone(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    tokens = tokens_file(tmp_path, one="jobs", two="jobs", three="analysis")
    root = tmp_path / "root"
    shutil.copytree(TRANSCRIPTS, root / "one", ignore=shutil.ignore_patterns("expected"))
    (root / "two").mkdir()
    auth = AuthSettings(mode="token", tokens_file=tokens)
    one, two, three = ((("authorization", f"Bearer {name}"),) for name in ("one", "two", "three"))
    folder = tmp_path / "jobs"
    async with serving_jobs(analyzer, folder, auth=auth, input_root=root) as server:
        stub = server.stub
        own = (await stub.CreateScoringJob(files("twilio.json"), metadata=one)).job
        assert own.tenant == "one"
        by_id = GetScoringJobRequest(job_id=own.job_id)
        assert (await stub.GetScoringJob(by_id, metadata=one)).job.job_id == own.job_id
        for call in (
            stub.GetScoringJob(by_id, metadata=two),
            stub.ListScoringResults(ListScoringResultsRequest(job_id=own.job_id), metadata=two),
            stub.DeleteScoringJob(DeleteScoringJobRequest(job_id=own.job_id), metadata=two),
        ):
            answer = await refusal(call)
            assert (answer.code, answer.reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
        listed = await stub.ListScoringJobs(ListScoringJobsRequest(), metadata=two)
        assert not listed.jobs
        # The id of a request is the tenant's own.
        other = (await stub.CreateScoringJob(inline(short(1)), metadata=two)).job
        assert other.job_id != own.job_id
        for path in ("twilio.json", "../one/twilio.json"):
            request = files(path, request_id="r2")
            answer = await refusal(stub.CreateScoringJob(request, metadata=two))
            assert set(answer.violations) == {"files.paths[0]"}
        answer = await refusal(stub.GetScoringJob(by_id, metadata=three))
        assert answer.code is grpc.StatusCode.PERMISSION_DENIED
        answer = await refusal(stub.GetScoringJob(by_id))
        assert answer.code is grpc.StatusCode.UNAUTHENTICATED


async def test_no_path_leaves_the_input_root(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    root = tmp_path / "root" / "default"
    (root / "in").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    for place in (root / "in" / "a.jsonl", outside / "b.jsonl"):
        shutil.copy(TRANSCRIPTS / "jsonl.jsonl", place)
    (root / "out").symlink_to(outside)
    (root / "b.jsonl").symlink_to(outside / "b.jsonl")
    (root / "inside.jsonl").symlink_to(root / "in" / "a.jsonl")
    folder = tmp_path / "jobs"
    async with serving_jobs(analyzer, folder, input_root=root.parent) as server:
        for path in (
            "../outside/b.jsonl",
            "in/../../../outside/b.jsonl",
            str(outside / "b.jsonl"),
            "out/b.jsonl",
            "out",
            "out/*",
            "**/b.jsonl",
            "b.jsonl",
            "*.jsonl",
            "missing.jsonl",
            "/",
            "..",
            "a\0b",
        ):
            answer = await refusal(server.stub.CreateScoringJob(files("in", path)))
            assert answer.code is grpc.StatusCode.INVALID_ARGUMENT, path
            assert set(answer.violations) == {"files.paths[1]"}, path
            assert str(tmp_path) not in answer.raw.replace(path, "")
        job = await server.ended(await server.create(files("in/*", "inside.jsonl")))
        assert job.file_count == 1
        assert {one.source for one in await server.results(job)} == {"in/a.jsonl"}
        answer = await refusal(
            server.stub.CreateScoringJob(files("in", request_id="r2", format="nonsense"))
        )
        assert set(answer.violations) == {"files.format"}


async def test_a_file_that_becomes_a_link_to_the_outside_is_not_read(
    held: Held, tmp_path: Path
) -> None:
    root = tmp_path / "root" / "default"
    root.mkdir(parents=True)
    for name in ("a.jsonl", "z.jsonl"):
        shutil.copy(TRANSCRIPTS / "jsonl.jsonl", root / name)
    shutil.copy(TRANSCRIPTS / "jsonl.jsonl", tmp_path / "outside.jsonl")
    folder = tmp_path / "jobs"
    held.engine.hold_after(0)
    async with serving_jobs(held.analyzer, folder, input_root=root.parent) as server:
        first = await server.create(inline(short(1)))
        job = await server.create(files("a.jsonl", "z.jsonl", request_id="r2"))
        (root / "z.jsonl").unlink()
        (root / "z.jsonl").symlink_to(tmp_path / "outside.jsonl")
        held.engine.release()
        await server.ended(first)
        job = await server.ended(job)
        assert (job.state, job.failed_count) == ("SUCCEEDED", 1)
        (status,) = job.partial_errors
        assert read_status(status).reason == "UNREADABLE"
        assert read_status(status).metadata["source"] == "z.jsonl"


async def test_what_exceeds_a_limit_is_refused(held: Held, tmp_path: Path) -> None:
    held.engine.hold_after(0)
    small = settings().server.model_copy(update={"max_message_bytes": 100_000})
    async with serving_jobs(
        held.analyzer, tmp_path, server=small, max_queued=1, max_kept=3
    ) as server:
        large = inline([Conversation(conversation_id="c", turns=[turn("a" * 1000)] * 60)])
        answer = await refusal(server.stub.CreateScoringJob(large))
        assert (answer.code, answer.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "INPUT_TOO_LONG",
        )
        for request, field in (
            (inline([]), "inline.conversations"),
            (inline([Conversation()] * 1001), "inline.conversations"),
            (files(), "files.paths"),
            (files(*["a"] * 101), "files.paths"),
            (inline(short(1), request_id=""), "request_id"),
            (inline(short(1), request_id="a b"), "request_id"),
            (CreateScoringJobRequest(request_id="r"), "input"),
        ):
            answer = await refusal(server.stub.CreateScoringJob(request))
            assert set(answer.violations) == {field}
        for size in (-1, 1001):
            answer = await refusal(
                server.stub.ListScoringJobs(ListScoringJobsRequest(page_size=size))
            )
            assert set(answer.violations) == {"page_size"}
        answer = await refusal(server.stub.CreateScoringJob(files("a")))
        assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_JOBS")

        running = await server.create(inline(short(1)))
        await server.until(running, lambda now: now.state == "RUNNING")
        await server.create(inline(short(1), request_id="r2"))
        answer = await refusal(server.stub.CreateScoringJob(inline(short(1), request_id="r3")))
        assert (answer.code, answer.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "OVERLOADED",
        )
        assert answer.retry_after_s
        # What was created already is no new job.
        assert (await server.create(inline(short(1)))).job_id == running.job_id


async def test_jobs_beyond_the_number_that_is_kept_make_room(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    async with serving_jobs(analyzer, tmp_path, max_queued=1, max_kept=3) as server:
        jobs = [
            await server.ended(await server.create(inline(short(1), request_id=f"r{number}")))
            for number in range(5)
        ]
        listed = await server.stub.ListScoringJobs(ListScoringJobsRequest())
        assert list(listed.jobs) == jobs[:1:-1]
        assert not (tmp_path / jobs[0].job_id).exists()


async def test_expired_jobs_are_gone_after_a_start(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    async with serving_jobs(analyzer, tmp_path, retention_days=2) as server:
        old, new = [
            await server.ended(await server.create(inline(short(1), request_id=request_id)))
            for request_id in ("old", "new")
        ]
    path = tmp_path / old.job_id / "job.json"
    record = JobRecord.model_validate_json(path.read_bytes())
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    path.write_text(record.changed(end_time=long_ago).model_dump_json(), encoding="utf-8")
    (tmp_path / "left-by-a-kill").mkdir()
    async with serving_jobs(analyzer, tmp_path, retention_days=2) as server:
        await eventually(lambda: not (tmp_path / old.job_id).exists())
        assert await server.get(new) == new
        answer = await refusal(server.stub.GetScoringJob(GetScoringJobRequest(job_id=old.job_id)))
        assert answer.reason == "JOB_NOT_FOUND"
    assert not (tmp_path / "left-by-a-kill").exists()


async def test_a_job_of_another_model_fails_and_keeps_its_results(
    held: Held, tmp_path: Path
) -> None:
    held.engine.hold_after(150)
    async with serving_jobs(held.analyzer, tmp_path) as server:
        job = await server.create(inline(short(220)))
        await server.until(job, lambda now: now.completed_count >= 100)
    held.engine.release()
    path = tmp_path / job.job_id / "job.json"
    record = JobRecord.model_validate_json(path.read_bytes())
    path.write_text(record.changed(model_version="older 1").model_dump_json(), encoding="utf-8")
    terms = path.parent / "results.job" / "job.json"
    terms.write_text(
        terms.read_text("utf-8").replace(record.model_version, "older 1"), encoding="utf-8"
    )
    async with serving_jobs(held.analyzer, tmp_path) as server:
        job = await server.ended(job)
        assert job.state == "FAILED"
        assert read_status(job.error).reason == "MODEL_CHANGED"
        assert 100 <= job.completed_count < 220
        assert len(await server.results(job)) == job.completed_count


async def test_a_file_that_changes_under_a_job_fails_it(held: Held, tmp_path: Path) -> None:
    root = tmp_path / "root" / "default"
    root.mkdir(parents=True)
    lines = [
        f'{{"conversation_id": "c{i}", "turns": [{{"role": "customer", "text": "Case {i}"}}]}}'
        for i in range(220)
    ]
    (root / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    folder = tmp_path / "jobs"
    held.engine.hold_after(150)
    async with serving_jobs(held.analyzer, folder, input_root=root.parent) as server:
        job = await server.create(files("a.jsonl"))
        job = await server.until(job, lambda now: now.completed_count >= 100)
        assert not job.HasField("total_count")
    held.engine.release()
    (root / "a.jsonl").write_text("\n".join(lines[1:]), encoding="utf-8")
    async with serving_jobs(held.analyzer, folder, input_root=root.parent) as server:
        job = await server.ended(job)
        assert job.state == "FAILED"
        assert read_status(job.error).reason == "INPUT_CHANGED"
        assert len(await server.results(job)) == job.completed_count >= 100


def opening(with_settings: Settings) -> AbstractAsyncContextManager[ScoringJobs | None]:
    return open_jobs(with_settings, metrics=Metrics(CollectorRegistry()))


async def test_a_folder_belongs_to_one_server(tmp_path: Path) -> None:
    with_settings = settings(jobs=JobsSettings(folder=tmp_path))
    async with opening(with_settings):
        with pytest.raises(SettingsError, match="in use by another process"):
            async with opening(with_settings):
                pass
    async with opening(with_settings):
        pass


async def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for jobs in (
        JobsSettings(folder=tmp_path / "file" / "jobs"),
        JobsSettings(folder=tmp_path / "jobs", input_root=tmp_path / "missing"),
    ):
        with pytest.raises(SettingsError, match="MOODLINE_JOBS__"):
            async with opening(settings(jobs=jobs)):
                pass


async def test_a_server_without_a_folder_says_how_to_get_jobs(served: Served) -> None:
    answer = await refusal(JobServer(served).stub.CreateScoringJob(inline(short(1))))
    assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_JOBS")
    assert "MOODLINE_JOBS__FOLDER" in answer.message


async def test_the_async_client_creates_waits_and_reads(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(TRANSCRIPTS, root / "default", ignore=shutil.ignore_patterns("expected"))
    folder = tmp_path / "jobs"
    async with (
        serving_jobs(analyzer, folder, input_root=root) as server,
        AsyncMoodlineClient(f"127.0.0.1:{server.served.rpc.port}") as client,
    ):
        inline_job = await client.jobs.create(short(3), request_id="r1")
        assert await client.jobs.create(short(3), request_id="r1") == await client.jobs.get(
            inline_job.job_id
        )
        job = await client.jobs.create_from_files(["csv-many.csv"], format_name="csv")
        job = await client.jobs.wait(job.job_id, poll_s=0.02)
        assert (job.state, job.failed_count) == ("SUCCEEDED", 0)
        results = [result async for result in client.jobs.results(job.job_id)]
        assert len(results) == job.completed_count > 1
        listed = [one.job_id async for one in client.jobs.list(state="SUCCEEDED")]
        assert listed == [job.job_id, inline_job.job_id]
        assert (await client.jobs.cancel(job.job_id)).state == "SUCCEEDED"
        await client.jobs.delete(job.job_id)
        with pytest.raises(MoodlineRpcError) as caught:
            await client.jobs.get(job.job_id)
        assert caught.value.reason == "JOB_NOT_FOUND"
