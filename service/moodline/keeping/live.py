"""The signals of one live conversation, told in order; with a keeper, when they are kept."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from moodline.domain import TurnResult
from moodline.signals.domain import Signal, SignalEvent
from moodline.signals.engine import SignalSession
from moodline.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class ToldSignals:
    """What a turn, or the end of the conversation, did to signals.

    Attributes:
        turn_index: The turn; at the end the last one.
        events: At least one.
    """

    turn_index: int
    events: tuple[SignalEvent, ...]


class LiveSignals(Protocol):
    """Takes the results of final turns in order and tells what they did to signals."""

    @property
    def is_done(self) -> bool:
        """Whether the conversation has ended and all was told."""
        ...

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Every signal as it stands, in the order of their raising."""
        ...

    def add(self, result: TurnResult) -> None:
        """Take the result of the next final turn, evidence included.

        Raises:
            StoreUnavailableError: If too many wait for the store.
        """
        ...

    def finish(self) -> None:
        """Take the end of the conversation."""
        ...

    def take(self) -> Sequence[ToldSignals]:
        """Return what can be told since the last time, in order.

        Raises:
            StoreUnavailableError: If the store did not come back in time.
        """
        ...

    async def changed(self) -> None:
        """Wait until there is something to take, or all was told."""
        ...


class UnkeptSignals:
    """Signals that are told at once and forgotten with the conversation."""

    def __init__(self, session: SignalSession, metrics: Metrics) -> None:
        """Take a session that has had no turn, and where counts and durations go."""
        self._session = session
        self._metrics = metrics
        self._told: deque[ToldSignals] = deque()
        self._last_turn_index = 0
        self._is_finished = False

    @property
    def is_done(self) -> bool:
        """See `LiveSignals`."""
        return self._is_finished and not self._told

    @property
    def signals(self) -> tuple[Signal, ...]:
        """See `LiveSignals`."""
        return self._session.signals

    def add(self, result: TurnResult) -> None:
        """See `LiveSignals`."""
        self._last_turn_index = result.turn_index
        self._tell(self._metrics.evaluate(self._session.add, result))

    def finish(self) -> None:
        """See `LiveSignals`."""
        self._tell(self._session.finish())
        self._is_finished = True

    def take(self) -> Sequence[ToldSignals]:
        """See `LiveSignals`."""
        told = tuple(self._told)
        self._told.clear()
        return told

    async def changed(self) -> None:
        """See `LiveSignals`; whatever changes does so in `add` and `finish`."""
        await asyncio.get_running_loop().create_future()

    def _tell(self, events: tuple[SignalEvent, ...]) -> None:
        for event in events:
            signal = event.signal
            self._metrics.count_signal_event(event.kind, signal.reason, signal.severity)
        if events:
            self._told.append(ToldSignals(self._last_turn_index, events))


@asynccontextmanager
async def unkept(session: SignalSession, metrics: Metrics) -> AsyncIterator[LiveSignals]:
    """Tell the signals of a conversation without keeping them."""
    yield UnkeptSignals(session, metrics)
