"""Which waiting entries the engine computes next: a pure function of entries, policy and time.

Source: docs/batching.md, "Which batch is next".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

SHORTEST_SHARE: Final = 0.5
"""A window joins a batch only if its own bucket is at least this share of the padded length."""


class Priority(IntEnum):
    """Who waits for the result: somebody in a live conversation, or a batch job."""

    LIVE = 0
    BULK = 1


class Cut(StrEnum):
    """Why a batch was closed at the size it has; the label `cut` of `moodline_batches_total`."""

    FULL = "full"
    """No further row fits."""
    IDLE = "idle"
    """The engine was free and no delay is configured."""
    DELAY = "delay"
    """The leader had waited as long as the policy allows."""
    RETRY = "retry"
    """One row of a failed batch, computed again on its own."""


class Entry(Protocol):
    """One window that waits for the engine."""

    @property
    def sequence(self) -> int:
        """Position in the order of arrival over all callers."""
        ...

    @property
    def token_count(self) -> int:
        """Real tokens of the window, at least 1."""
        ...

    @property
    def priority(self) -> Priority:
        """The class it is served in."""
        ...

    @property
    def enqueued_s(self) -> float:
        """When it arrived, in seconds of the monotonic clock."""
        ...

    @property
    def deadline_s(self) -> float | None:
        """From when on nobody waits for it, in seconds of the monotonic clock, if known."""
        ...

    @property
    def is_abandoned(self) -> bool:
        """Whether its caller has gone or has failed already."""
        ...


EntryT = TypeVar("EntryT", bound=Entry)


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """The rules that the planner follows.

    Attributes:
        max_batch_tokens: Largest rows x padded length of a batch. Engine time is close to
            proportional to it, and a live turn may have to wait for one batch in flight: at the
            15,000 tokens/s of the six-layer int8 encoder on two cores, 1,024 tokens are 70 ms.
        max_batch_rows: Most rows of a batch, which bounds short windows.
        buckets: Padded lengths in tokens, ascending. The last one is the longest window served.
        lookahead_batches: How many batches' worth of rows of a class are looked at to find rows
            of the leader's length. Bounds the time of a cut, whatever the length of the queue.
        bulk_every_batches: While both classes wait, one batch in this many is BULK.
        max_queue_delay_s: How long the leader of a batch that is not full may wait for company.
            0 computes at once; batches then form while the engine is busy.
    """

    max_batch_tokens: int = 1024
    max_batch_rows: int = 64
    buckets: tuple[int, ...] = (8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128)
    lookahead_batches: int = 4
    bulk_every_batches: int = 4
    max_queue_delay_s: float = 0.0

    def __post_init__(self) -> None:
        """Check the values against each other.

        Raises:
            ValueError: If no batch could satisfy the policy, or a class could starve.
        """
        if (
            not self.buckets
            or self.buckets[0] < 1
            or list(self.buckets) != sorted(set(self.buckets))
        ):
            raise ValueError(f"buckets must be positive and ascending, not {self.buckets}.")
        if self.buckets[-1] > self.max_batch_tokens:
            raise ValueError(
                f"The largest bucket ({self.buckets[-1]} tokens) exceeds max_batch_tokens "
                f"({self.max_batch_tokens}); raise the budget or drop the bucket."
            )
        if self.max_batch_rows < 1 or self.lookahead_batches < 1:
            raise ValueError("max_batch_rows and lookahead_batches must be at least 1.")
        if self.bulk_every_batches < 2:
            raise ValueError("bulk_every_batches must be at least 2, or LIVE would starve.")
        if self.max_queue_delay_s < 0:
            raise ValueError("max_queue_delay_s must not be negative.")

    def padded_length(self, token_count: int) -> int:
        """Return the smallest bucket that holds `token_count` tokens.

        Raises:
            ValueError: If no bucket is long enough.
        """
        index = bisect_left(self.buckets, token_count)
        if index == len(self.buckets):
            raise ValueError(
                f"A window of {token_count} tokens exceeds the largest bucket "
                f"({self.buckets[-1]} tokens)."
            )
        return self.buckets[index]

    def max_rows(self, padded_length: int) -> int:
        """Return how many rows of this padded length a batch may have, at least 1."""
        return min(self.max_batch_rows, self.max_batch_tokens // padded_length)


@dataclass(frozen=True, slots=True)
class BatchPlan(Generic[EntryT]):
    """What to compute now, and what to drop.

    Attributes:
        batch: Entries of one class, oldest first; empty if nothing is to be computed now.
        padded_length: Length to pad the batch to, in tokens; 0 without a batch.
        priority: The class of the batch.
        cut: Why the batch ends where it does.
        expired: Entries whose deadline has passed; never in a batch.
        abandoned: Entries whose caller has gone; never in a batch.
        ready_at_s: When a batch that is held back for company becomes due, if one is.
    """

    batch: tuple[EntryT, ...] = ()
    padded_length: int = 0
    priority: Priority | None = None
    cut: Cut | None = None
    expired: tuple[EntryT, ...] = ()
    abandoned: tuple[EntryT, ...] = ()
    ready_at_s: float | None = None


def plan_batch(
    entries: Mapping[Priority, Iterable[EntryT]],
    policy: BatchPolicy,
    now_s: float,
    *,
    live_streak: int = 0,
) -> BatchPlan[EntryT]:
    """Choose the next batch.

    LIVE goes before BULK, except that every `bulk_every_batches`-th batch is BULK while both wait.
    Classes do not mix: bulk rows would make a live turn wait longer for its own batch. The oldest
    waiting entry of the chosen class leads, and sets the padded length. Rows of its bucket come
    first; free rows go to the buckets below, down to `SHORTEST_SHARE` of the padded length. Shorter
    windows wait for a batch of their own length, since to pad them costs more than one more call.

    Args:
        entries: The waiting entries of each class, in order of arrival.
        policy: The budgets and rules.
        now_s: The monotonic time.
        live_streak: LIVE batches cut in a row while BULK was waiting.

    Returns:
        The plan; `batch` is empty if nobody waits, or if the leader may still wait for company.
    """
    max_waiting = policy.lookahead_batches * policy.max_batch_rows
    expired: list[EntryT] = []
    abandoned: list[EntryT] = []
    waiting: dict[Priority, list[EntryT]] = {}
    for priority in Priority:
        waiting[priority] = []
        for entry in entries.get(priority, ()):
            if entry.is_abandoned:
                abandoned.append(entry)
            elif entry.deadline_s is not None and entry.deadline_s <= now_s:
                expired.append(entry)
            else:
                waiting[priority].append(entry)
                if len(waiting[priority]) == max_waiting:
                    break

    nothing = BatchPlan(expired=tuple(expired), abandoned=tuple(abandoned))
    is_bulk_due = live_streak >= policy.bulk_every_batches - 1
    chosen = (
        Priority.BULK
        if waiting[Priority.BULK] and (is_bulk_due or not waiting[Priority.LIVE])
        else Priority.LIVE
    )
    candidates = waiting[chosen]
    if not candidates:
        return nothing

    leader = candidates[0]
    padded_length = policy.padded_length(leader.token_count)
    max_rows = policy.max_rows(padded_length)
    batch = _fill(candidates, policy, padded_length, max_rows)
    if len(batch) == max_rows:
        cut = Cut.FULL
    elif policy.max_queue_delay_s == 0:
        cut = Cut.IDLE
    elif leader.enqueued_s + policy.max_queue_delay_s <= now_s:
        cut = Cut.DELAY
    else:
        return BatchPlan(
            expired=nothing.expired,
            abandoned=nothing.abandoned,
            ready_at_s=leader.enqueued_s + policy.max_queue_delay_s,
        )
    return BatchPlan(
        batch=batch,
        padded_length=padded_length,
        priority=chosen,
        cut=cut,
        expired=nothing.expired,
        abandoned=nothing.abandoned,
    )


def _fill(
    candidates: list[EntryT], policy: BatchPolicy, padded_length: int, max_rows: int
) -> tuple[EntryT, ...]:
    """Take rows of the leader's bucket, then of those below, in order of arrival."""
    position = policy.buckets.index(padded_length)
    chosen: list[EntryT] = []
    for length in reversed(policy.buckets[: position + 1]):
        if length < SHORTEST_SHARE * padded_length:
            break
        same_length = (e for e in candidates if policy.padded_length(e.token_count) == length)
        chosen.extend(islice(same_length, max_rows - len(chosen)))
    return tuple(sorted(chosen, key=lambda entry: entry.sequence))
