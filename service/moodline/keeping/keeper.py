"""Keeps signals before anybody is told of them, without holding the results of turns up.

Each conversation has a task of its own, which begins the contact, evaluates the turns in order and
records what they do. While the store does not answer, turns wait there. A conversation whose caller
has gone is kept to its last turn all the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import structlog

from moodline.domain import TurnResult
from moodline.errors import StoreUnavailableError
from moodline.keeping.feed import PeopleFeed
from moodline.keeping.live import LiveSignals, ToldSignals
from moodline.keeping.patience import Patience, store_unavailable
from moodline.limits import Limits
from moodline.masking.policy import MaskingPolicy
from moodline.masking.signals import mask_signal
from moodline.rules.history import CustomerPast
from moodline.signals.domain import Signal, SignalEvent, SignalEventKind, SignalState
from moodline.signals.engine import SignalSession
from moodline.store.signals import Contact, SignalFilter, SignalStore
from moodline.telemetry.metrics import Metrics

END_PATIENCE_S: Final = 30.0
"""How long the store may take to come back once a conversation has ended or its caller has gone."""
PAST_TIMEOUT_S: Final = 1.0
"""How long a call that keeps nothing waits for the past of a customer."""
UNKNOWN_LANGUAGE: Final = "und"
_MAX_PAGE: Final = 200
_OUTCOME_TAGS: Final = ("resolved", "unresolved")

_log = structlog.get_logger(__name__)

OpenSession = Callable[[CustomerPast | None], SignalSession]


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


class SignalKeeper:
    """Keeps the signals of all live conversations of a process."""

    def __init__(
        self,
        store: SignalStore,
        *,
        limits: Limits,
        masking: MaskingPolicy,
        metrics: Metrics,
        on_kept: Callable[[], None] = lambda: None,
        end_patience_s: float = END_PATIENCE_S,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Take where they are kept.

        Args:
            store: An open one.
            limits: How many turns of a conversation may wait for it.
            masking: Which personal data of quotes and comments is masked before it is kept.
            metrics: Where counts and durations go.
            on_kept: Called whenever events were kept, so that their actions leave at once.
            end_patience_s: See `END_PATIENCE_S`.
            now: The time of day, in UTC.
        """
        self.store = store
        self.masking = masking
        self._limits = limits
        self._metrics = metrics
        self._on_kept = on_kept
        self._end_patience_s = end_patience_s
        self._now = now
        self._feed = PeopleFeed(store)
        self._kept: dict[asyncio.Task[None], _KeptSignals] = {}
        # Asked in another thread, hence the copy.
        metrics.turns_awaiting_store.set_function(
            lambda: sum(kept.awaiting_count for kept in tuple(self._kept.values()))
        )

    @asynccontextmanager
    async def keeping(
        self,
        open_session: OpenSession,
        *,
        tenant: str,
        conversation_id: str,
        customer_id: str,
        channel: str,
        language: str,
    ) -> AsyncIterator[LiveSignals]:
        """Keep the signals of a live conversation; what was added is kept also after the block.

        Args:
            open_session: Opens its rules with what is known of its customer.
            tenant: Whose it is.
            conversation_id: As `Conversation.conversation_id`.
            customer_id: As `Conversation.customer_id`.
            channel: As `Conversation.channel`.
            language: As `Conversation.language`.
        """
        contact = Contact(
            tenant, conversation_id, customer_id, channel, language, started_at=self._now()
        )
        kept = _KeptSignals(
            self.store,
            self._feed,
            contact,
            masking=self.masking,
            metrics=self._metrics,
            on_kept=self._on_kept,
            max_waiting_turns=self._limits.max_turns_awaiting_store,
            end_patience_s=self._end_patience_s,
            now=self._now,
        )
        task = asyncio.create_task(kept.run(open_session), name="moodline-signals")
        self._kept[task] = kept
        task.add_done_callback(self._kept.pop)
        try:
            yield kept
        finally:
            kept.leave()

    async def past(self, contact: Contact) -> CustomerPast | None:
        """What is known of the customer of a conversation that is not kept itself.

        Raises:
            StoreUnavailableError: If the store does not answer at once.
        """
        try:
            async with asyncio.timeout(PAST_TIMEOUT_S):
                return await self.store.past(contact)
        except (StoreUnavailableError, TimeoutError) as error:
            raise store_unavailable() from error

    async def close(self, grace_s: float) -> None:
        """Wait until all that was added is kept, at most so many seconds."""
        tasks = tuple(self._kept)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        if late:
            self._metrics.streams_not_kept_total.inc(len(late))
            _log.error("conversations_not_kept", conversation_count=len(late))
            await asyncio.wait(late)


class _KeptSignals:
    """See `LiveSignals`; made by `SignalKeeper.keeping` alone."""

    def __init__(
        self,
        store: SignalStore,
        feed: PeopleFeed,
        contact: Contact,
        *,
        masking: MaskingPolicy,
        metrics: Metrics,
        on_kept: Callable[[], None],
        max_waiting_turns: int,
        end_patience_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._feed = feed
        self._contact = contact
        self._masking = masking
        self._metrics = metrics
        self._on_kept = on_kept
        self._max_waiting_turns = max_waiting_turns
        self._end_patience_s = end_patience_s
        self._now = now
        self._patience = Patience()
        # None stands for the end of the conversation.
        self._waiting: asyncio.Queue[tuple[TurnResult, datetime] | None] = asyncio.Queue()
        self._told: deque[ToldSignals] = deque()
        self._has_changed = asyncio.Event()
        self._session: SignalSession | None = None
        self._last_turn_index = 0
        self._added_count = self._kept_count = 0
        self._outcome = ""
        self._is_over = False
        self._is_finished = False
        self._is_recorded = False
        self._failure: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self._is_recorded and not self._told

    @property
    def awaiting_count(self) -> int:
        """Turns that were added and whose signals are still to be kept."""
        return self._added_count - self._kept_count

    @property
    def signals(self) -> tuple[Signal, ...]:
        return () if self._session is None else self._session.signals

    def add(self, result: TurnResult) -> None:
        if self._waiting.qsize() >= self._max_waiting_turns:
            raise store_unavailable()
        self._waiting.put_nowait((result, self._now()))
        self._added_count += 1

    def finish(self) -> None:
        self._is_finished = True
        self._stop()

    def leave(self) -> None:
        """Take that the caller has gone, with or without the end of the conversation."""
        self._stop()

    def take(self) -> Sequence[ToldSignals]:
        told = tuple(self._told)
        self._told.clear()
        self._has_changed.clear()
        if not told and self._failure is not None:
            raise self._failure
        return told

    async def changed(self) -> None:
        await self._has_changed.wait()

    async def run(self, open_session: OpenSession) -> None:
        """Keep everything that comes until the end."""
        try:
            await self._keep(open_session)
        except StoreUnavailableError as error:
            _log.error("signals_not_kept", tenant=self._contact.tenant)
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - the caller's stream tells of it
            _log.error("keeping_signals_failed", exc_info=error)
            self._fail(error)
        finally:
            self._is_recorded = True
            self._has_changed.set()

    def _fail(self, error: Exception) -> None:
        self._metrics.streams_not_kept_total.inc()
        self._failure = error

    def _stop(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._patience.limit(self._end_patience_s)
            self._waiting.put_nowait(None)

    async def _keep(self, open_session: OpenSession) -> None:
        contact, patience = self._contact, self._patience
        begun = await patience.call(lambda: self._store.begin(contact))
        session = self._session = open_session(begun.past)
        async with self._feed.listening(
            contact.tenant, contact.conversation_id, session.apply, patience=patience
        ):
            changed_by_people = {} if begun.is_new else await self._changed_by_people()
            while (item := await self._waiting.get()) is not None:
                result, at = item
                self._note(result)
                await self._record(self._metrics.evaluate(session.add, result), at)
                self._kept_count += 1
                _apply_again(session, changed_by_people, result.turn_index)
            if self._is_finished:
                await self._record(session.finish(), self._now())
                await patience.call(
                    lambda: self._store.end(self._contact, outcome=self._outcome, at=self._now())
                )

    def _note(self, result: TurnResult) -> None:
        self._last_turn_index = result.turn_index
        if result.language != UNKNOWN_LANGUAGE:
            self._contact = replace(self._contact, language=result.language)
        for tag in result.scores.tags if result.scores else ():
            if tag.name in _OUTCOME_TAGS:
                self._outcome = tag.name

    async def _record(self, events: tuple[SignalEvent, ...], at: datetime) -> None:
        """Keep events, then tell them as the caller's own text."""
        if not events:
            return
        masked = [
            replace(event, signal=mask_signal(event.signal, self._masking)) for event in events
        ]
        new = await self._patience.call(lambda: self._store.record(self._contact, masked, at=at))
        for stored in new:
            signal = stored.signal.signal
            self._metrics.count_signal_event(stored.kind, signal.reason, signal.severity)
        self._on_kept()
        self._told.append(ToldSignals(self._last_turn_index, events))
        self._has_changed.set()

    async def _changed_by_people(self) -> dict[str, Signal]:
        """What people did before, where this conversation is being sent again."""
        wanted = SignalFilter(
            states=frozenset({SignalState.ACKNOWLEDGED, SignalState.RESOLVED}),
            conversation_id=self._contact.conversation_id,
        )
        page = await self._patience.call(
            lambda: self._store.list(self._contact.tenant, wanted, page_size=_MAX_PAGE)
        )
        return {stored.signal.signal_id: stored.signal for stored in page.signals}


def _apply_again(
    session: SignalSession, changed_by_people: dict[str, Signal], turn_index: int
) -> None:
    """Apply, once each, what people did in that part of the conversation that has come again."""
    for signal in session.signals:
        changed = changed_by_people.get(signal.signal_id)
        if changed is None or (changed.ended and changed.ended.turn_index > turn_index):
            continue
        del changed_by_people[signal.signal_id]
        session.apply(SignalEvent(SignalEventKind(changed.state.value), changed))
