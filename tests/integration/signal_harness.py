"""Servers that keep signals, and what tests ask of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.json_format import MessageToDict
from prometheus_client import CollectorRegistry

from moodline.analyzer import ConversationAnalyzer
from moodline.domain import Conversation
from moodline.errors import StoreUnavailableError
from moodline.keeping.keeper import SignalKeeper
from moodline.limits import Limits
from moodline.masking.policy import MaskingPolicy
from moodline.samples import load_samples
from moodline.signals.domain import SignalEvent
from moodline.store.database import Database
from moodline.store.signals import Contact, SignalStore, StoredEvent
from moodline.telemetry.metrics import Metrics
from moodline.v1.analysis_service_pb2 import StreamConversationRequest, StreamConversationResponse
from moodline.v1.signal_pb2 import Signal
from moodline.v1.signal_service_pb2 import WatchSignalsRequest, WatchSignalsResponse
from moodline.v1.signal_service_pb2_grpc import SignalServiceStub
from tests.integration.harness import (
    Served,
    Stream,
    configuration,
    converse,
    serving,
    streamed,
)

if TYPE_CHECKING:
    from moodline.v1.signal_service_pb2_grpc import SignalServiceAsyncStub

SAMPLES = {sample.conversation_id: sample for sample in load_samples()}
ANGRY, FRAUD = "sample-en-duplicate-charge", "sample-tr-stolen-card"


class FailingStore(SignalStore):
    """A store that fails when it shall.

    Attributes:
        is_down: Whether it fails.
        failure_count: How often it has.
    """

    is_down = False
    failure_count = 0

    def _fail(self) -> None:
        if self.is_down:
            self.failure_count += 1
            raise StoreUnavailableError("the database failed")

    async def record(self, contact: Contact, events: Iterable[SignalEvent], **options: Any) -> Any:
        self._fail()
        return await super().record(contact, tuple(events), **options)

    async def past(self, contact: Contact) -> Any:
        self._fail()
        return await super().past(contact)


@dataclass(frozen=True)
class Keeping:
    """A server that keeps signals.

    Attributes:
        served: The server.
        store: Where.
    """

    served: Served
    store: FailingStore

    @property
    def signals(self) -> SignalServiceAsyncStub:
        return SignalServiceStub(self.served.channel)

    async def talk(self, *messages: StreamConversationRequest) -> list[StreamConversationResponse]:
        """Send everything, and return all answers, signals too."""
        return await converse(self.served.stub.StreamConversation(), messages)

    def watch(
        self, **fields: Any
    ) -> grpc.aio.UnaryStreamCall[WatchSignalsRequest, WatchSignalsResponse]:
        return self.signals.WatchSignals(WatchSignalsRequest(**fields))


@asynccontextmanager
async def keeping(
    analyzer: ConversationAnalyzer,
    url: str,
    *,
    limits: Limits = Limits(),
    end_patience_s: float = 60.0,
    poll_s: float = 0.05,
    **options: Any,
) -> AsyncIterator[Keeping]:
    """Serve an analyzer and keep signals in a database."""
    database = await Database.open(url)
    store = FailingStore(database, poll_s=poll_s)
    metrics = Metrics(CollectorRegistry())
    keeper = SignalKeeper(
        store,
        limits=limits,
        masking=MaskingPolicy(),
        metrics=metrics,
        end_patience_s=end_patience_s,
    )
    try:
        async with serving(analyzer, keeper=keeper, metrics=metrics, **options) as served:
            yield Keeping(served, store)
        await keeper.close(60.0)
    finally:
        await database.close()


def messages_of(
    conversation: Conversation, *, conversation_id: str = "", **fields: Any
) -> list[StreamConversationRequest]:
    """What a stream of a conversation sends."""
    messages = [
        configuration(
            conversation_id or conversation.conversation_id,
            channel=conversation.channel,
            language=conversation.language,
            **fields,
        )
    ]
    for index, turn in enumerate(conversation.turns):
        message = streamed(f"t{index}", turn.text, role=turn.role)
        if turn.start_ms is not None:
            message.turn.start_offset.FromMilliseconds(turn.start_ms)
        messages.append(message)
    return messages


def told(answers: Iterable[StreamConversationResponse]) -> list[tuple[int, str, str]]:
    """Turn, event and id of all signals that a stream told."""
    return [
        (answer.signals.turn_index, event.kind, event.event_id)
        for answer in answers
        if answer.HasField("signals")
        for event in answer.signals.events
    ]


async def rest_of(call: Stream) -> list[StreamConversationResponse]:
    """All messages that are still to come."""
    rest: list[StreamConversationResponse] = []
    while isinstance(answer := await call.read(), StreamConversationResponse):
        rest.append(answer)
    return rest


async def next_message(watch: Any) -> WatchSignalsResponse:
    """The next message of a watch."""
    message = await watch.read()
    assert isinstance(message, WatchSignalsResponse), "the watch has ended"
    return message


async def next_event(watch: Any) -> WatchSignalsResponse:
    """The next message of a watch that is no heart-beat."""
    while not (message := await next_message(watch)).HasField("event"):
        pass
    return message


def as_dict(signal: Signal) -> dict[str, Any]:
    """A signal as JSON."""
    return MessageToDict(signal, preserving_proto_field_name=True)


async def all_events(store: SignalStore, tenant: str = "default") -> list[StoredEvent]:
    return list(await store.events_after(tenant, 0, limit=1_000))
