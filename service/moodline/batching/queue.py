"""Admission, accounting and order of the windows that wait for the engine.

Everything here lives on the event loop and needs no locks.

Source: docs/batching.md, "Admission".
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from moodline.batching.padding import Window
from moodline.batching.planner import BatchPlan, BatchPolicy, Priority, plan_batch
from moodline.errors import FieldViolation, InputTooLongError, OverloadedError
from moodline.inference import WindowEncoding

_DRAIN_MEMORY_S = 10.0
"""Time over which the observed drain rate forgets: some hundred batches, and as long as the load
of a contact centre stays alike."""
_MIN_RETRY_AFTER_S = 0.1
_MAX_RETRY_AFTER_S = 30.0
_UNKNOWN_RETRY_AFTER_S = 1.0


class TokenLedger:
    """The one bound on pending work: tokens being tokenized, waiting or computed.

    Admission never waits; it succeeds or raises. A part is kept for LIVE callers, so that a batch
    job cannot make a live stream bounce.
    """

    def __init__(
        self,
        max_pending_tokens: int,
        *,
        live_reserved_tokens: int = 0,
        clock: Callable[[], float],
    ) -> None:
        """Create an empty ledger.

        Args:
            max_pending_tokens: Most tokens pending at once, over all callers.
            live_reserved_tokens: The part of them that BULK callers may not take.
            clock: Monotonic time in seconds.

        Raises:
            ValueError: If nothing would be left for BULK.
        """
        if not 0 <= live_reserved_tokens < max_pending_tokens:
            raise ValueError(
                f"live_reserved_tokens ({live_reserved_tokens}) must be at least 0 and below "
                f"max_pending_tokens ({max_pending_tokens})."
            )
        self._max_tokens = {
            Priority.LIVE: max_pending_tokens,
            Priority.BULK: max_pending_tokens - live_reserved_tokens,
        }
        self._pending_tokens = 0
        self._drain_rate = _DrainRate(clock)

    @property
    def pending_tokens(self) -> int:
        """Tokens reserved now."""
        return self._pending_tokens

    @contextmanager
    def reserve(self, token_count: int, priority: Priority) -> Generator[Reservation]:
        """Hold tokens for as long as the `with` block runs.

        Args:
            token_count: An estimate, to be settled once the real number is known.
            priority: The class, which decides how much of the ledger may be taken.

        Raises:
            OverloadedError: If the ledger has no room now.
            InputTooLongError: If it would not have room even when empty.
        """
        self._take(token_count, priority, whole=token_count)
        reservation = Reservation(self, token_count, priority)
        try:
            yield reservation
        finally:
            reservation._close()

    def _take(self, token_count: int, priority: Priority, *, whole: int) -> None:
        """Add tokens to the pending ones, `whole` being the reservation's size after that."""
        max_tokens = self._max_tokens[priority]
        if whole > max_tokens:
            raise InputTooLongError(
                [
                    FieldViolation(
                        "conversation",
                        f"About {whole} tokens exceed the {max_tokens} that may be pending at "
                        "once; send it in parts, or turn by turn with StreamConversation.",
                    )
                ]
            )
        shortage = self._pending_tokens + token_count - max_tokens
        if shortage > 0:
            raise OverloadedError(
                f"{self._pending_tokens} tokens are pending and {token_count} more exceed the "
                f"limit of {max_tokens}; try again after the suggested delay.",
                retry_after_s=self._drain_rate.seconds_for(shortage),
            )
        if self._pending_tokens == 0:
            self._drain_rate.resume()
        self._pending_tokens += token_count

    def _give_back(self, token_count: int) -> None:
        self._pending_tokens -= token_count
        self._drain_rate.observe(token_count)


class Reservation:
    """Tokens held in a ledger; made by `TokenLedger.reserve` alone."""

    def __init__(self, ledger: TokenLedger, token_count: int, priority: Priority) -> None:
        """Record what the ledger has granted."""
        self._ledger = ledger
        self._token_count = token_count
        self._priority = priority
        self._is_open = True

    @property
    def token_count(self) -> int:
        """Tokens held now."""
        return self._token_count

    def settle(self, token_count: int) -> None:
        """Replace the number of tokens held by the real one.

        Raises:
            OverloadedError: If more are needed than the ledger has room for; what is held stays.
            InputTooLongError: If they would not fit into an empty ledger.
            RuntimeError: If the reservation has ended.
        """
        if not self._is_open:
            raise RuntimeError("The reservation has ended; settle inside its `with` block.")
        growth = token_count - self._token_count
        if growth > 0:
            self._ledger._take(growth, self._priority, whole=token_count)
        elif growth < 0:
            self._ledger._give_back(-growth)
        self._token_count = token_count

    def _close(self) -> None:
        self._is_open = False
        self._ledger._give_back(self._token_count)
        self._token_count = 0


class _DrainRate:
    """Tokens released per second of busy time, recent ones weighing more.

    Two sums that decay alike, so that the estimate is unbiased from the first release on; idle
    time is left out, so that a burst after a quiet hour is not told to wait for minutes.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since_s = 0.0
        self._tokens = 0.0
        self._busy_s = 0.0

    def resume(self) -> None:
        """Start to count time again, after nothing was pending."""
        self._since_s = self._clock()

    def observe(self, token_count: int) -> None:
        """Count tokens released now."""
        now_s = self._clock()
        elapsed_s = now_s - self._since_s
        decay = math.exp(-elapsed_s / _DRAIN_MEMORY_S)
        self._tokens = self._tokens * decay + token_count
        self._busy_s = self._busy_s * decay + elapsed_s
        self._since_s = now_s

    def seconds_for(self, token_count: int) -> float:
        """Return how long the release of that many tokens takes, within sensible bounds."""
        if self._tokens == 0 or self._busy_s == 0:
            return _UNKNOWN_RETRY_AFTER_S
        expected_s = token_count * self._busy_s / self._tokens
        return min(max(expected_s, _MIN_RETRY_AFTER_S), _MAX_RETRY_AFTER_S)


class PendingRequest:
    """The windows of one caller: their results as they come, and the future that it awaits.

    Attributes:
        queue_s: Longest wait of a window in the queue, in seconds.
        engine_s: Longest engine call that a window was in, in seconds.
        max_batch_rows: Rows of the largest batch that a window was in.
    """

    def __init__(self, encodings: Sequence[WindowEncoding | None]) -> None:
        """Create a request on the running event loop.

        Args:
            encodings: One place per window, filled where the result is known already.
        """
        self._encodings = list(encodings)
        self._missing_count = sum(encoding is None for encoding in encodings)
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.queue_s = 0.0
        self.engine_s = 0.0
        self.max_batch_rows = 0

    @property
    def is_done(self) -> bool:
        """Whether nobody waits for more results: complete, failed, or the caller has gone."""
        return self._future.done()

    def resolve(self, index: int, encoding: WindowEncoding) -> None:
        """Set the result of one window, unless the request is done."""
        if self._future.done():
            return
        self._encodings[index] = encoding
        self._missing_count -= 1
        if self._missing_count == 0:
            self._future.set_result(None)

    def reject(self, error: Exception) -> None:
        """Fail the whole request, unless it is done."""
        if not self._future.done():
            self._future.set_exception(error)

    async def wait(self) -> None:
        """Wait for all windows; a caller that is cancelled here makes the request done.

        Raises:
            MoodlineError: The first error of any window.
        """
        await self._future

    @property
    def encodings(self) -> list[WindowEncoding]:
        """The results so far, in order of the windows; all of them once `wait` has returned."""
        return [encoding for encoding in self._encodings if encoding is not None]


@dataclass(eq=False, slots=True)
class PendingWindow:
    """One window in the queue; see `planner.Entry` for what the planner reads."""

    request: PendingRequest
    index: int
    window: Window
    sequence: int
    token_count: int
    priority: Priority
    enqueued_s: float
    deadline_s: float | None

    @property
    def is_abandoned(self) -> bool:
        """Whether its request is done, so that the result would be for nobody."""
        return self.request.is_done


class BatchQueue:
    """The windows of all callers in order of arrival, and the plan of the next batch.

    Attributes:
        changed: Set whenever a window arrives or the queue begins to drain.
    """

    def __init__(self, policy: BatchPolicy, *, clock: Callable[[], float]) -> None:
        """Create an empty queue.

        Args:
            policy: The rules of the planner.
            clock: Monotonic time in seconds.
        """
        self.changed = asyncio.Event()
        self._policy = policy
        self._clock = clock
        self._next_sequence = 0
        self._live_streak = 0
        # Ordered and keyed, so that a caller that leaves costs no search.
        self._waiting: dict[Priority, OrderedDict[int, PendingWindow]] = {
            priority: OrderedDict() for priority in Priority
        }

    @property
    def entry_count(self) -> int:
        """Windows that wait now."""
        return sum(map(len, self._waiting.values()))

    def add(
        self,
        windows: Iterable[tuple[int, Window]],
        request: PendingRequest,
        *,
        priority: Priority,
        deadline_s: float | None,
    ) -> list[PendingWindow]:
        """Let all windows of a request enter, with their places in its results."""
        now_s = self._clock()
        entries = []
        for index, window in windows:
            entry = PendingWindow(
                request=request,
                index=index,
                window=window,
                sequence=self._next_sequence,
                token_count=len(window.input_ids),
                priority=priority,
                enqueued_s=now_s,
                deadline_s=deadline_s,
            )
            self._next_sequence += 1
            self._waiting[priority][entry.sequence] = entry
            entries.append(entry)
        self.changed.set()
        return entries

    def discard(self, entries: Iterable[PendingWindow]) -> int:
        """Take out those of the entries that still wait; return how many did."""
        return sum(
            self._waiting[entry.priority].pop(entry.sequence, None) is not None for entry in entries
        )

    def begin_draining(self) -> None:
        """Hold nothing back for company any more."""
        self._policy = dataclasses.replace(self._policy, max_queue_delay_s=0.0)
        self.changed.set()

    def plan(self) -> BatchPlan[PendingWindow]:
        """Plan the next batch as things stand, without taking anything out."""
        return plan_batch(
            {priority: waiting.values() for priority, waiting in self._waiting.items()},
            self._policy,
            self._clock(),
            live_streak=self._live_streak,
        )

    def take(self) -> BatchPlan[PendingWindow]:
        """Plan the next batch and take out all that the plan names."""
        plan = self.plan()
        self.discard(plan.expired)
        self.discard(plan.abandoned)
        self.discard(plan.batch)
        if plan.priority is Priority.LIVE and self._waiting[Priority.BULK]:
            self._live_streak += 1
        elif plan.batch:
            self._live_streak = 0
        return plan
