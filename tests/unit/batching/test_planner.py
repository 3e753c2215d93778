"""The planner is pure, so every rule is a plain assertion."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moodline.batching.planner import BatchPlan, BatchPolicy, Cut, Priority, plan_batch

POLICY = BatchPolicy(max_batch_tokens=64, max_batch_rows=4, buckets=(8, 16, 32))
_sequence = count()


@dataclass(frozen=True)
class FakeEntry:
    token_count: int
    priority: Priority = Priority.LIVE
    enqueued_s: float = 0.0
    deadline_s: float | None = None
    is_abandoned: bool = False
    sequence: int = field(default_factory=lambda: next(_sequence))


def plan(
    *entries: FakeEntry, policy: BatchPolicy = POLICY, now_s: float = 1.0, live_streak: int = 0
) -> BatchPlan[FakeEntry]:
    by_class = {p: [entry for entry in entries if entry.priority is p] for p in Priority}
    return plan_batch(by_class, policy, now_s, live_streak=live_streak)


entries_strategy = st.lists(
    st.builds(
        FakeEntry,
        token_count=st.integers(1, 32),
        priority=st.sampled_from(Priority),
        enqueued_s=st.just(0.0),
        deadline_s=st.none() | st.floats(0.0, 2.0),
        is_abandoned=st.booleans(),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(entries=entries_strategy, live_streak=st.integers(0, 5))
def test_budgets_hold_and_the_oldest_waiting_entry_of_the_class_leads(
    entries: list[FakeEntry], live_streak: int
) -> None:
    result = plan(*entries, live_streak=live_streak)
    waiting = [
        e for e in entries if not e.is_abandoned and (e.deadline_s is None or e.deadline_s > 1.0)
    ]
    assert bool(result.batch) == bool(waiting)
    if result.batch:
        assert len(result.batch) <= POLICY.max_batch_rows
        assert len(result.batch) * result.padded_length <= POLICY.max_batch_tokens
        assert all(e.token_count <= result.padded_length for e in result.batch)
        assert {e.priority for e in result.batch} == {result.priority}
        assert result.batch[0] == next(e for e in waiting if e.priority is result.priority)
        assert set(result.batch) <= set(waiting)
        assert len(set(result.batch)) == len(result.batch)
    assert all(e.is_abandoned for e in result.abandoned)
    assert all(e.deadline_s is not None and e.deadline_s <= 1.0 for e in result.expired)


def test_nothing_to_do_gives_an_empty_plan() -> None:
    assert plan() == BatchPlan()


def test_rows_of_the_leaders_length_go_before_older_rows_of_another() -> None:
    leader, long, same = FakeEntry(5), FakeEntry(30), FakeEntry(8)
    result = plan(leader, long, same)
    assert result.batch == (leader, same)
    assert result.padded_length == 8


def test_free_rows_go_to_the_buckets_below_but_not_under_half_the_padded_length() -> None:
    leader, far_below, just_below = FakeEntry(32), FakeEntry(3), FakeEntry(10)
    result = plan(leader, far_below, just_below)
    assert result.batch == (leader, just_below)
    assert result.padded_length == 32


def test_live_goes_before_older_bulk_and_classes_do_not_mix() -> None:
    bulk, live = FakeEntry(5, Priority.BULK), FakeEntry(5)
    assert plan(bulk, live).batch == (live,)


def test_bulk_leads_once_enough_live_batches_have_passed_it() -> None:
    bulk, live = FakeEntry(5, Priority.BULK), FakeEntry(5)
    assert plan(bulk, live, live_streak=POLICY.bulk_every_batches - 2).priority is Priority.LIVE
    assert plan(bulk, live, live_streak=POLICY.bulk_every_batches - 1).priority is Priority.BULK


def test_bulk_runs_at_once_when_no_live_entry_waits() -> None:
    assert plan(FakeEntry(5, Priority.BULK)).priority is Priority.BULK


def test_a_batch_is_cut_at_once_without_a_delay() -> None:
    assert plan(FakeEntry(5), now_s=0.0).cut is Cut.IDLE


def test_with_a_delay_a_batch_waits_for_company_until_it_is_full_or_due() -> None:
    policy = BatchPolicy(64, 4, (8, 16, 32), max_queue_delay_s=0.5)
    held = plan(FakeEntry(5, enqueued_s=1.0), policy=policy, now_s=1.2)
    assert held.batch == ()
    assert held.ready_at_s == 1.5
    due = plan(FakeEntry(5, enqueued_s=1.0), policy=policy, now_s=1.5)
    assert due.cut is Cut.DELAY
    full = plan(*(FakeEntry(5, enqueued_s=1.0) for _ in range(4)), policy=policy, now_s=1.0)
    assert full.cut is Cut.FULL


def test_a_cut_looks_at_a_bounded_number_of_entries() -> None:
    policy = BatchPolicy(64, 4, (8, 16, 32), lookahead_batches=1)
    hidden = FakeEntry(5)
    result = plan(FakeEntry(5), FakeEntry(30), FakeEntry(30), FakeEntry(30), hidden, policy=policy)
    assert hidden not in result.batch


@pytest.mark.parametrize(
    "values",
    [
        {"buckets": ()},
        {"buckets": (0, 8)},
        {"buckets": (16, 8)},
        {"buckets": (8, 8)},
        {"buckets": (8, 128), "max_batch_tokens": 64},
        {"max_batch_rows": 0},
        {"bulk_every_batches": 1},
        {"max_queue_delay_s": -1.0},
    ],
)
def test_a_policy_that_could_serve_nobody_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|exceeds"):
        BatchPolicy(**values)  # type: ignore[arg-type]


def test_a_window_longer_than_the_largest_bucket_is_an_error() -> None:
    with pytest.raises(ValueError, match="33 tokens exceeds the largest bucket"):
        POLICY.padded_length(33)
