"""Kills a server under load, again and again, and looks for signals that were lost or doubled.

Many live streams send conversations. When the server dies, each sends its conversation again from
the start, under the same id, as the API says. All the time somebody watches signals, coming again
with the last token, and a receiver takes actions. At the end three accounts must agree: what the
model and the rules alone say, what a new watcher is told from the beginning on (the store), and
what the watcher was told who was there all the time.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc

from benchmarks.signals.expectation import Expectation, effects, expect
from benchmarks.signals.receiver import ActionReceiver, Effect, action_receiver
from benchmarks.signals.server import ServerProcess
from moodline.v1.analysis_service_pb2 import StreamConfiguration, StreamConversationRequest
from moodline.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from moodline.v1.conversation_pb2 import Conversation
from moodline.v1.signal_pb2 import SignalEvent
from moodline.v1.signal_service_pb2 import WatchSignalsRequest
from moodline.v1.signal_service_pb2_grpc import SignalServiceStub

if TYPE_CHECKING:
    # They exist for type checkers alone.
    from moodline.v1.analysis_service_pb2_grpc import AnalysisServiceAsyncStub
    from moodline.v1.signal_service_pb2_grpc import SignalServiceAsyncStub

SETTLE_LIMIT_S: Final = 240.0
"""How long actions that a killed server held may take to come; their leases last 40 s."""
_CALL_LIMIT_S: Final = 300.0
_POLL_S: Final = 0.5
_NO_CHANNEL_CACHE: Final = (
    # A channel of its own for each server: it would wait long before it looks again.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Load:
    """How the server is pressed.

    Attributes:
        kill_count: How often it is killed.
        stream_count: Live streams at a time.
        max_turns: Each server is killed after a random number of turns, from 0 to this, so that a
            busy host changes nothing.
        turn_pause_s: Mean time between two turns of a stream, in seconds.
    """

    kill_count: int
    stream_count: int
    max_turns: int
    turn_pause_s: float


@dataclass(slots=True)
class Accounts:
    """What was seen while the server came and went.

    Attributes:
        finished: Number and id of each conversation that came to its end.
        begun_count: Streams that were opened.
        broken_counts: Streams that broke, by status.
        turn_count: Turns that were answered.
        on_streams: How often streams told each event.
        watched: How often the watcher was told of each event.
        watch_count: How often the watcher came (again).
    """

    finished: list[tuple[int, str]] = field(default_factory=list)
    begun_count: int = 0
    broken_counts: Counter[str] = field(default_factory=Counter)
    turn_count: int = 0
    on_streams: Counter[str] = field(default_factory=Counter)
    watched: Counter[str] = field(default_factory=Counter)
    watch_count: int = 0


class Generation:
    """The server that runs now; clients of a dead one wait for the next."""

    def __init__(self) -> None:
        """Begin without a server."""
        self._channel: grpc.aio.Channel | None = None
        self._is_up = asyncio.Event()

    async def begin(self, address: str) -> None:
        """Let clients at a server that serves."""
        self._channel = grpc.aio.insecure_channel(address, options=_NO_CHANNEL_CACHE)
        self._is_up.set()

    async def end(self) -> None:
        """Keep clients away."""
        self._is_up.clear()
        if self._channel is not None:
            await self._channel.close()

    async def channel(self) -> grpc.aio.Channel:
        """Wait until a server serves."""
        await self._is_up.wait()
        assert self._channel is not None
        return self._channel


async def play(
    channel: grpc.aio.Channel,
    conversation: Conversation,
    conversation_id: str,
    accounts: Accounts,
    *,
    pauses_s: Sequence[float],
) -> bool:
    """Send a conversation, turn by turn, and take what comes back.

    Returns:
        Whether it came to its end.

    Raises:
        grpc.aio.AioRpcError: If the stream broke.
    """
    stub: AnalysisServiceAsyncStub = AnalysisServiceStub(channel)

    async def requests() -> AsyncIterator[StreamConversationRequest]:
        yield StreamConversationRequest(
            configuration=StreamConfiguration(
                conversation_id=conversation_id, language=conversation.language
            )
        )
        for turn, pause_s in zip(conversation.turns, pauses_s, strict=True):
            await asyncio.sleep(pause_s)
            yield StreamConversationRequest(turn=turn)

    is_finished = False
    async for response in stub.StreamConversation(requests(), timeout=_CALL_LIMIT_S):
        accounts.turn_count += response.HasField("turn_result")
        accounts.on_streams.update(event.event_id for event in response.signals.events)
        is_finished |= response.HasField("summary")
    return is_finished


async def keep_streaming(
    generation: Generation,
    conversations: Sequence[Conversation],
    numbers: itertools.count[int],
    accounts: Accounts,
    stop: asyncio.Event,
    *,
    turn_pause_s: float,
    rng: random.Random,
) -> None:
    """Bring one conversation after the other to its end, whatever happens to the server."""
    while not stop.is_set():
        serial = next(numbers)
        number, conversation_id = serial % len(conversations), f"kill-{serial}"
        conversation = conversations[number]
        is_finished = False
        while not is_finished:
            channel = await generation.channel()
            accounts.begun_count += 1
            pauses_s = [rng.expovariate(1 / turn_pause_s) for _ in conversation.turns]
            try:
                is_finished = await play(
                    channel, conversation, conversation_id, accounts, pauses_s=pauses_s
                )
            except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.CancelledError) as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # A channel that is closed under a call cancels it.
                name = error.code().name if isinstance(error, grpc.aio.AioRpcError) else "CLOSED"
                accounts.broken_counts[name] += 1
                await asyncio.sleep(_POLL_S * rng.random())
        accounts.finished.append((number, conversation_id))


async def watch(
    channel: grpc.aio.Channel, token: str, *, timeout_s: float
) -> AsyncIterator[tuple[str, SignalEvent | None]]:
    """Yield tokens and events; the first comes without an event."""
    stub: SignalServiceAsyncStub = SignalServiceStub(channel)
    async for answer in stub.WatchSignals(
        WatchSignalsRequest(resume_token=token), timeout=timeout_s
    ):
        yield answer.resume_token, answer.event if answer.HasField("event") else None


async def keep_watching(
    generation: Generation, accounts: Accounts, first_token: asyncio.Future[str]
) -> None:
    """Take every event, coming again with the last token."""
    token = ""
    while True:
        channel = await generation.channel()
        accounts.watch_count += 1
        try:
            async for at, event in watch(channel, token, timeout_s=_CALL_LIMIT_S):
                token = at
                if not first_token.done():
                    first_token.set_result(token)
                if event is not None:
                    accounts.watched[event.event_id] += 1
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            await asyncio.sleep(_POLL_S / 5)


async def read_store(channel: grpc.aio.Channel, token: str, last_token: str) -> Counter[str]:
    """Return how often the store tells of each event between two tokens."""
    told: Counter[str] = Counter()
    if token == last_token:
        return told
    async for at, event in watch(channel, token, timeout_s=_CALL_LIMIT_S):
        if event is not None:
            told[event.event_id] += 1
        if at == last_token:
            break
    return told


async def current_token(channel: grpc.aio.Channel) -> str:
    """Return the token that stands for all that has happened."""
    async for token, _ in watch(channel, "", timeout_s=_CALL_LIMIT_S):
        return token
    raise SystemExit("a watch ended before its first answer")


async def press(
    server: ServerProcess,
    conversations: Sequence[Conversation],
    load: Load,
    receiver: ActionReceiver,
    expectation: Expectation,
    rng: random.Random,
) -> dict[str, Any]:
    """Run the load, kill, and compare the accounts."""
    generation, accounts, stop = Generation(), Accounts(), asyncio.Event()
    first_token: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    numbers = itertools.count()
    began_s = time.monotonic()
    await server.start()
    await generation.begin(server.address)
    watcher = asyncio.create_task(keep_watching(generation, accounts, first_token))
    token = await first_token
    streams = [
        asyncio.create_task(
            keep_streaming(
                generation,
                conversations,
                numbers,
                accounts,
                stop,
                turn_pause_s=load.turn_pause_s,
                rng=random.Random(rng.random()),
            )
        )
        for _ in range(load.stream_count)
    ]
    for _ in range(load.kill_count):
        await _reach(accounts, accounts.turn_count + rng.randint(0, load.max_turns))
        await server.kill()
        await generation.end()
        await server.start()
        await generation.begin(server.address)
    stop.set()
    await asyncio.gather(*streams)
    duration_s = time.monotonic() - began_s
    wanted_events: Counter[str] = Counter()
    wanted_effects: set[Effect] = set()
    for number, conversation_id in accounts.finished:
        events = expectation.events(number, conversation_id)
        wanted_events.update(event.event_id for event in events)
        wanted_effects |= effects(events)
    channel = await generation.channel()
    stored = await read_store(channel, token, await current_token(channel))
    await _settle(lambda: accounts.watched.keys() >= stored.keys())
    await _settle(lambda: set(receiver.effects.values()) >= wanted_effects)
    watcher.cancel()
    await asyncio.gather(watcher, return_exceptions=True)
    await generation.end()
    return {
        "duration_s": round(duration_s),
        "kills": load.kill_count,
        "streams_at_a_time": load.stream_count,
        "streams_begun": accounts.begun_count,
        "streams_broken": dict(accounts.broken_counts),
        "conversations_finished": len(accounts.finished),
        "turns_answered": accounts.turn_count,
        "events_expected": len(wanted_events),
        "events_seen_on_streams": len(accounts.on_streams),
        "events_told_again_on_streams": accounts.on_streams.total() - len(accounts.on_streams),
        "watches": accounts.watch_count,
        "store": _against(wanted_events, stored),
        "watcher": _against(wanted_events, accounts.watched),
        "told_on_streams_but_not_stored": sorted(accounts.on_streams.keys() - stored.keys()),
        "actions": _actions(wanted_effects, receiver),
    }


def _against(wanted: Counter[str], told: Counter[str]) -> dict[str, Any]:
    return {
        "events": told.total(),
        "lost": sorted(wanted.keys() - told.keys()),
        "doubled": sorted(event_id for event_id, count in told.items() if count > 1),
        "unexpected": sorted(told.keys() - wanted.keys()),
    }


def _actions(wanted: set[Effect], receiver: ActionReceiver) -> dict[str, Any]:
    keys_of = Counter(receiver.effects.values())
    return {
        "expected": len(wanted),
        "idempotency_keys": len(receiver.deliveries),
        "deliveries": receiver.deliveries.total(),
        "delivered_again_under_the_same_key": sum(
            count - 1 for count in receiver.deliveries.values()
        ),
        "lost": sorted(map(list, wanted - keys_of.keys())),
        "doubled_in_effect": sorted(list(e) for e, count in keys_of.items() if count > 1),
        "unexpected": sorted(map(list, keys_of.keys() - wanted)),
    }


async def _reach(accounts: Accounts, turn_count: int) -> None:
    """Wait until so many turns were answered."""
    while accounts.turn_count < turn_count:  # noqa: ASYNC110 - exact enough
        await asyncio.sleep(_POLL_S / 50)


async def _settle(is_done: Callable[[], bool]) -> None:
    """Wait until what is under way has come, or will not."""
    for _ in range(int(SETTLE_LIMIT_S / _POLL_S)):
        if is_done():
            break
        await asyncio.sleep(_POLL_S)
    # What would be doubled has a moment to come as well.
    await asyncio.sleep(4 * _POLL_S)


@asynccontextmanager
async def store_url(store: str, folder: Path) -> AsyncIterator[str]:
    """Yield the URL of an empty store of a kind."""
    if store == "sqlite":
        yield f"sqlite:///{folder / 'signals.db'}"
        return
    from tests.integration.postgres import running_postgres

    with running_postgres() as postgres:
        yield await postgres.create_database()


async def measure_kills(
    conversations: Sequence[Conversation], *, store: str, load: Load, seed: int, log: Path
) -> dict[str, Any]:
    """Press one kind of store."""
    rng = random.Random(seed)
    expectation = await expect(conversations)
    with tempfile.TemporaryDirectory() as name, action_receiver() as receiver:
        endpoints = Path(name) / "endpoints.yaml"
        endpoints.write_text(receiver.endpoints_yaml(), encoding="utf-8")
        async with store_url(store, Path(name)) as url:
            server = ServerProcess(
                {"STORE__URL": url, "ACTIONS__ENDPOINTS_FILE": str(endpoints)}, log=log
            )
            try:
                return await press(server, conversations, load, receiver, expectation, rng)
            finally:
                await server.stop()
