"""What an operator reads of signals, actions, the store and jobs, at the endpoint of a server."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from moodline import app
from moodline.client import AsyncMoodlineClient
from moodline.rules.model import Reason, Severity
from moodline.settings import ActionSettings, JobsSettings, ServerSettings, StoreSettings
from moodline.signals.domain import Outcome, SignalEventKind
from moodline.v1.analysis_service_pb2 import StreamConversationResponse
from moodline.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from moodline.v1.conversation_pb2 import Conversation
from moodline.v1.signal_pb2 import Signal
from moodline.v1.signal_service_pb2 import (
    AcknowledgeSignalRequest,
    ListSignalsRequest,
    ResolveSignalRequest,
    WatchSignalsRequest,
)
from moodline.v1.signal_service_pb2_grpc import SignalServiceStub
from tests.integration.action_receiver import SECRET, Receiver, receiver
from tests.integration.harness import converse, refusal, settings, turn
from tests.integration.signal_harness import ANGRY, FRAUD, SAMPLES, messages_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True)
class Watched:
    """A process as an operator sees it.

    Attributes:
        address: Of its ports.
        channel: To it.
        store_file: Its SQLite file.
        hook: Where its actions go.
    """

    address: app.ServerAddress
    channel: grpc.aio.Channel
    store_file: Path
    hook: Receiver

    async def talk(self, conversation_id: str, **fields: Any) -> list[StreamConversationResponse]:
        call = AnalysisServiceStub(self.channel).StreamConversation()
        return await converse(call, messages_of(SAMPLES[conversation_id], **fields))

    async def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """What the endpoint exposes, by name and labels."""
        url = f"http://{self.address.host}:{self.address.metrics_port}/metrics"
        exposed = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(exposed)
            for sample in family.samples
        }

    async def value(self, name: str, **labels: str) -> float:
        return (await self.samples()).get((name, frozenset(labels.items())), 0.0)

    async def until(self, holds: Callable[[float], bool], name: str, **labels: str) -> None:
        async with asyncio.timeout(60):
            while not holds(await self.value(name, **labels)):
                pass


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiver() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def watched(
    tmp_path_factory: pytest.TempPathFactory, hook: Receiver
) -> AsyncIterator[Watched]:
    """A whole process, but for its command line."""
    folder = tmp_path_factory.mktemp("watched")
    endpoints = folder / "endpoints.yaml"
    endpoint = {"kind": "route", "target": "*", "url": hook.url, "secrets": [SECRET]}
    endpoints.write_text(json.dumps({"endpoints": [{**endpoint, "allow_private": True}]}))
    store_file = folder / "moodline.db"
    stop = asyncio.Event()
    ready: asyncio.Future[app.ServerAddress] = asyncio.get_running_loop().create_future()
    serve = asyncio.ensure_future(
        app.serve(
            settings(
                server=ServerSettings(port=0, metrics_port=0, grace_s=5),
                store=StoreSettings(url=SecretStr(f"sqlite:///{store_file}")),
                actions=ActionSettings(endpoints_file=endpoints),
                jobs=JobsSettings(folder=folder / "jobs"),
            ),
            stop=stop,
            on_ready=ready.set_result,
        )
    )
    await asyncio.wait((serve, ready), return_when=asyncio.FIRST_COMPLETED)
    address = ready.result()
    async with grpc.aio.insecure_channel(f"{address.host}:{address.port}") as channel:
        yield Watched(address, channel, store_file, hook)
    stop.set()
    await serve


def labels_of(signal: Signal) -> dict[str, str]:
    return {"reason": signal.reason, "severity": signal.severity}


async def test_signals_are_counted_once_by_what_happened_reason_and_severity(
    watched: Watched,
) -> None:
    told = [
        event
        for answer in await watched.talk(ANGRY)
        if answer.HasField("signals")
        for event in answer.signals.events
    ]
    assert {event.kind for event in told} > {"RAISED"}
    # What is sent again is neither kept nor counted again.
    await watched.talk(ANGRY)
    for wanted in told:
        labels = {"event": wanted.kind, **labels_of(wanted.signal)}
        same = [e for e in told if {"event": e.kind, **labels_of(e.signal)} == labels]
        assert await watched.value("moodline_signal_events_total", **labels) == len(same)


async def test_rules_are_timed_turn_by_turn(watched: Watched) -> None:
    before = await watched.value("moodline_rules_duration_seconds_count")
    await watched.talk(FRAUD, discard_signals=True)
    after = await watched.value("moodline_rules_duration_seconds_count")
    assert after - before == len(SAMPLES[FRAUD].turns)


async def test_what_people_do_is_counted_once_with_what_the_signal_was_worth(
    watched: Watched,
) -> None:
    stub = SignalServiceStub(watched.channel)
    await watched.talk(ANGRY)
    listed = (await stub.ListSignals(ListSignalsRequest())).signals
    open_signal = next(signal for signal in listed if signal.state == "RAISED")
    labels = labels_of(open_signal)
    signal_id = open_signal.signal_id
    for _ in range(2):
        await stub.AcknowledgeSignal(AcknowledgeSignalRequest(signal_id=signal_id))
    for _ in range(2):
        await stub.ResolveSignal(ResolveSignalRequest(signal_id=signal_id, outcome="WRONG"))
    for event in ("ACKNOWLEDGED", "RESOLVED"):
        assert await watched.value("moodline_signal_events_total", event=event, **labels) == 1
    outcome = {"reason": open_signal.reason, "outcome": "WRONG"}
    assert await watched.value("moodline_signal_outcomes_total", **outcome) == 1


async def test_open_watches_are_counted(watched: Watched) -> None:
    call = SignalServiceStub(watched.channel).WatchSignals(WatchSignalsRequest())
    await call.read()
    await watched.until(lambda value: value == 1, "moodline_signal_watches")
    call.cancel()
    await watched.until(lambda value: value == 0, "moodline_signal_watches")


async def test_actions_are_counted_by_kind_and_outcome(watched: Watched) -> None:
    labels = {"kind": "route", "target": "*", "outcome": "delivered"}
    before = await watched.value("moodline_actions_total", **labels)
    await watched.talk(FRAUD)
    await watched.until(lambda value: value > before, "moodline_actions_total", **labels)
    assert await watched.value("moodline_actions_total", **{**labels, "outcome": "dead"}) == 0


async def test_conversations_of_jobs_are_counted_by_outcome_and_jobs_by_how_they_ended(
    watched: Watched,
) -> None:
    empty = Conversation(conversation_id="empty", turns=[turn("")])
    good = [Conversation(conversation_id=f"c{i}", turns=[turn()]) for i in range(3)]
    target = f"{watched.address.host}:{watched.address.port}"
    async with AsyncMoodlineClient(target) as client:
        job = await client.jobs.create([*good, empty], request_id="metrics")
        job = await client.jobs.wait(job.job_id)
    assert (job.completed_count, job.failed_count) == (3, 1)
    samples = await watched.samples()

    def value(name: str, **labels: str) -> float:
        return samples[name, frozenset(labels.items())]

    assert value("moodline_scoring_job_conversations_total", outcome="scored") == 3
    assert value("moodline_scoring_job_conversations_total", outcome="failed") == 1
    assert value("moodline_scoring_jobs_ended_total", state="SUCCEEDED", reason="") == 1
    assert value("moodline_scoring_jobs_ended_total", state="FAILED", reason="INTERNAL") == 0
    assert value("moodline_scoring_jobs", state="QUEUED") == 0
    await watched.until(lambda value: value == 0, "moodline_scoring_jobs", state="RUNNING")


async def test_labels_are_words_of_ours(watched: Watched) -> None:
    """Whatever callers name things, the number of series stays what it is."""
    await watched.talk(ANGRY)
    labels = [
        label
        for name, labels in await watched.samples()
        if name.startswith("moodline_signal")
        for label in labels
        if label[0] != "le"
    ]
    words = {*Reason, *Severity, *SignalEventKind, *Outcome}
    assert {name for name, _ in labels} <= {"event", "reason", "severity", "outcome"}
    assert {word for _, word in labels} <= words


async def test_transactions_are_timed_and_what_the_database_fails_is_counted(
    watched: Watched,
) -> None:
    """The last of this file: the store is broken then."""
    name = "moodline_store_transaction_duration_seconds_count"
    read, write = [await watched.value(name, kind=kind) for kind in ("read", "write")]
    assert read > 0
    assert write > 0
    failures = "moodline_store_failures_total"
    assert await watched.value(failures, kind="read") == 0
    with sqlite3.connect(watched.store_file, timeout=60) as database:
        database.execute("DROP TABLE signal_events")
        database.execute("DROP TABLE signals")
    database.close()
    listing = SignalServiceStub(watched.channel).ListSignals(ListSignalsRequest())
    assert (await refusal(listing)).reason == "STORE_UNAVAILABLE"
    assert await watched.value(failures, kind="read") >= 1
    assert await watched.value(name, kind="read") > read
