"""Admission and order of the queue."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum, auto

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moodline.batching.planner import BatchPolicy, Priority
from moodline.batching.queue import BatchQueue, PendingRequest, PendingWindow, TokenLedger
from moodline.errors import InputTooLongError, OverloadedError


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(frozen=True)
class Ids:
    input_ids: tuple[int, ...]


class Step(Enum):
    TAKE = auto()
    LEAVE = auto()


def ledger(clock: FakeClock | None = None) -> TokenLedger:
    return TokenLedger(100, live_reserved_tokens=20, clock=clock or FakeClock())


def test_tokens_are_held_inside_the_block_and_released_after_it() -> None:
    book = ledger()
    with book.reserve(30, Priority.LIVE) as reservation:
        assert book.pending_tokens == 30
        reservation.settle(10)
        assert book.pending_tokens == 10
        reservation.settle(40)
        assert book.pending_tokens == 40
    assert book.pending_tokens == 0


def test_tokens_are_released_when_the_block_fails() -> None:
    book = ledger()
    with pytest.raises(KeyError), book.reserve(30, Priority.LIVE):
        raise KeyError
    assert book.pending_tokens == 0


def test_a_full_ledger_sheds_at_once_and_keeps_what_it_holds() -> None:
    book = ledger()
    with book.reserve(90, Priority.LIVE):
        with (
            pytest.raises(OverloadedError, match="90 tokens are pending and 11 more"),
            book.reserve(11, Priority.LIVE),
        ):
            pytest.fail("admitted beyond the bound")
        assert book.pending_tokens == 90


def test_a_request_larger_than_the_whole_ledger_can_never_succeed() -> None:
    with pytest.raises(InputTooLongError, match="101 tokens"), ledger().reserve(101, Priority.LIVE):
        pytest.fail("admitted beyond the bound")


def test_bulk_leaves_room_for_live() -> None:
    book = ledger()
    with pytest.raises(InputTooLongError), book.reserve(81, Priority.BULK):
        pytest.fail("bulk took the part of live")
    with book.reserve(80, Priority.BULK):
        with pytest.raises(OverloadedError), book.reserve(1, Priority.BULK):
            pytest.fail("bulk took the part of live")
        with book.reserve(20, Priority.LIVE):
            assert book.pending_tokens == 100


def test_an_estimate_that_was_too_low_is_checked_again_when_settled() -> None:
    book = ledger()
    with book.reserve(60, Priority.LIVE), book.reserve(30, Priority.LIVE) as reservation:
        with pytest.raises(OverloadedError):
            reservation.settle(41)
        with pytest.raises(InputTooLongError):
            reservation.settle(101)
        assert reservation.token_count == 30
        assert book.pending_tokens == 90


def test_a_reservation_cannot_be_settled_after_its_block() -> None:
    book = ledger()
    with book.reserve(30, Priority.LIVE) as reservation:
        pass
    with pytest.raises(RuntimeError, match="has ended"):
        reservation.settle(10)
    assert book.pending_tokens == 0


def retry_after_s(book: TokenLedger) -> float:
    with (
        pytest.raises(OverloadedError) as caught,
        book.reserve(100 - book.pending_tokens + 10, Priority.LIVE),
    ):
        pytest.fail("admitted beyond the bound")
    return caught.value.retry_after_s


def test_retry_after_follows_the_observed_drain_rate_of_busy_time() -> None:
    clock = FakeClock()
    book = ledger(clock)
    with book.reserve(100, Priority.LIVE):
        assert retry_after_s(book) == 1.0, "nothing observed yet"
    clock.now_s += 3600  # an idle hour must not count as slowness
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(book.reserve(50, Priority.LIVE))
        clock.now_s += 2.0
    with book.reserve(100, Priority.LIVE):
        # 200 tokens in 2 s of busy time, the older ones weighing a little less.
        assert retry_after_s(book) == pytest.approx(0.1, rel=0.2)


def test_retry_after_is_bounded_when_nothing_moves() -> None:
    clock = FakeClock()
    book = ledger(clock)
    with book.reserve(95, Priority.LIVE):
        with book.reserve(1, Priority.LIVE):
            clock.now_s += 1000.0
        assert retry_after_s(book) == 30.0


@settings(deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(Priority), st.integers(1, 60), st.integers(0, 120)), max_size=20
    )
)
def test_the_ledger_never_exceeds_its_bound_and_returns_to_zero(
    steps: list[tuple[Priority, int, int]],
) -> None:
    book = ledger()
    with ExitStack() as stack:
        for priority, estimate, settled in steps:
            try:
                reservation = stack.enter_context(book.reserve(estimate, priority))
                reservation.settle(settled)
            except (OverloadedError, InputTooLongError):
                pass
            assert 0 <= book.pending_tokens <= 100
    assert book.pending_tokens == 0


@settings(deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(Priority), st.integers(1, 16)),
            st.sampled_from(Step),
        ),
        max_size=60,
    )
)
def test_neither_class_starves_and_each_is_served_oldest_first(
    steps: list[tuple[Priority, int] | Step],
) -> None:
    policy = BatchPolicy(32, 2, (8, 16), bulk_every_batches=3)

    async def scenario() -> None:
        queue = BatchQueue(policy, clock=FakeClock())
        waiting: list[PendingWindow] = []
        batches_without_bulk = 0
        for step in [*steps, *[Step.TAKE] * len(steps)]:
            if step is Step.TAKE:
                bulk_waits = any(e.priority is Priority.BULK for e in waiting)
                plan = queue.take()
                assert bool(plan.batch) == bool(waiting)
                if not plan.batch:
                    continue
                same_class = [e for e in waiting if e.priority is plan.priority]
                assert plan.batch[0] is same_class[0]
                waiting = [e for e in waiting if e not in plan.batch]
                is_starving = bulk_waits and plan.priority is Priority.LIVE
                batches_without_bulk = batches_without_bulk + 1 if is_starving else 0
                assert batches_without_bulk < policy.bulk_every_batches
            elif step is Step.LEAVE:
                assert queue.discard(waiting[:1]) == len(waiting[:1])
                waiting = waiting[1:]
            else:
                priority, token_count = step
                waiting += queue.add(
                    [(0, Ids((1,) * token_count))],
                    PendingRequest([None]),
                    priority=priority,
                    deadline_s=None,
                )
            assert queue.entry_count == len(waiting)

    asyncio.run(scenario())


async def test_an_arrival_is_announced() -> None:
    queue = BatchQueue(BatchPolicy(), clock=FakeClock())
    assert not queue.changed.is_set()
    queue.add([(0, Ids((1,)))], PendingRequest([None]), priority=Priority.LIVE, deadline_s=None)
    assert queue.changed.is_set()


async def test_discarding_what_has_left_already_changes_nothing() -> None:
    queue = BatchQueue(BatchPolicy(), clock=FakeClock())
    entries = queue.add(
        [(0, Ids((1,))), (1, Ids((2,)))],
        PendingRequest([None, None]),
        priority=Priority.BULK,
        deadline_s=None,
    )
    queue.take()
    assert queue.discard(entries) == 0
