"""The loop, with a fake clock, a fake engine and an executor that the test steps by hand."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from moodline.batching.cache import EncodingCache
from moodline.batching.planner import BatchPolicy, Priority
from moodline.batching.queue import TokenLedger
from moodline.batching.runner import BatchRunner
from moodline.errors import (
    DeadlineExpiredError,
    DrainingError,
    InferenceError,
    InputTooLongError,
    MoodlineError,
    NotReadyError,
    OverloadedError,
)
from moodline.inference import EncoderOutput, WindowEncoding
from moodline.telemetry.logging import bind_record
from moodline.telemetry.metrics import Metrics

POISON = 666
POLICY = BatchPolicy(max_batch_tokens=32, max_batch_rows=4, buckets=(4, 8, 16))
LIVE, BULK = Priority.LIVE, Priority.BULK


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


@dataclass(frozen=True)
class Ids:
    input_ids: NDArray[np.int64]


def window(*ids: int) -> Ids:
    return Ids(np.array(ids, dtype=np.int64))


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class FakeEngine:
    """Encodes a row by its own tokens alone; fails if any row is poisoned."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[int, ...]]] = []
        self.shapes: list[tuple[int, int]] = []
        self.is_busy = False

    def encode(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]
    ) -> EncoderOutput:
        assert not self.is_busy, "two engine calls at a time"
        self.is_busy = True
        try:
            rows = [
                tuple(int(i) for i in ids[mask == 1])
                for ids, mask in zip(input_ids, attention_mask, strict=True)
            ]
            self.calls.append(rows)
            self.shapes.append(input_ids.shape)
            if (input_ids == POISON).any():
                raise ValueError("poisoned")
            masked = (input_ids * attention_mask).astype(np.float32)
            positions = np.arange(1, input_ids.shape[1] + 1, dtype=np.float32)
            vectors = np.stack([masked.sum(axis=1), masked @ positions], axis=1)
            evidence = np.where(attention_mask == 1, masked, np.nan)[:, None, :]
            return EncoderOutput(vectors, np.concatenate([evidence, -evidence], axis=1))
        finally:
            self.is_busy = False


def unbatched(item: Ids) -> EncoderOutput:
    return FakeEngine().encode(item.input_ids[None, :], np.ones((1, len(item.input_ids)), np.int64))


def assert_own_results(windows: Sequence[Ids], encodings: Sequence[WindowEncoding]) -> None:
    assert len(windows) == len(encodings)
    for item, encoding in zip(windows, encodings, strict=True):
        alone = unbatched(item)
        np.testing.assert_array_equal(encoding.vector, alone.vectors[0])
        np.testing.assert_array_equal(encoding.evidence, alone.evidence[0])


@dataclass
class ManualExecutor(Executor):
    """Holds each call until the test lets it run, as a busy thread would."""

    launched: Callable[[NDArray[np.int64], NDArray[np.int64]], None] = lambda ids, mask: None
    waiting: list[tuple[Future[Any], Callable[[], Any]]] = field(default_factory=list)
    is_broken: bool = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.is_broken:
            raise RuntimeError("cannot schedule new futures after shutdown")
        assert not self.waiting, "two engine calls in flight"
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self.launched(*args)
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    def step(self) -> None:
        """Run the call in flight, if there is one."""
        if self.waiting:
            future, run = self.waiting.pop(0)
            try:
                future.set_result(run())
            except Exception as error:  # noqa: BLE001
                future.set_exception(error)


async def settle() -> None:
    """Let the event loop run everything that is ready; a result passes some ten callbacks."""
    for _ in range(25):
        await asyncio.sleep(0)


class Bench:
    """A runner with everything around it faked."""

    def __init__(
        self,
        *,
        policy: BatchPolicy = POLICY,
        max_pending_tokens: int = 1000,
        cache_entries: int = 0,
        executor: Executor | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.engine = FakeEngine()
        self.manual = ManualExecutor()
        self.ledger = TokenLedger(max_pending_tokens, clock=self.clock)
        self.registry = CollectorRegistry()
        self.fatal: list[BaseException] = []
        self.runner = BatchRunner(
            self.engine,
            policy=policy,
            ledger=self.ledger,
            cache=EncodingCache(cache_entries),
            metrics=Metrics(self.registry),
            executor=executor or self.manual,
            on_fatal=self.fatal.append,
            clock=self.clock,
        )

    async def __aenter__(self) -> Bench:
        await self.runner.start()
        await settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.manual.step()
        await self.runner.close()
        await settle()
        assert self.ledger.pending_tokens == 0
        assert self.value("moodline_queue_entries") == 0

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    async def submit(
        self,
        *windows: Ids,
        priority: Priority = LIVE,
        deadline_s: float | None = None,
    ) -> asyncio.Task[list[WindowEncoding]]:
        task = asyncio.create_task(
            self.runner.encode(windows, priority=priority, deadline_s=deadline_s)
        )
        await settle()
        return task

    async def step(self) -> None:
        self.manual.step()
        await settle()

    async def finish(self) -> None:
        while self.manual.waiting:
            await self.step()


async def error_of(task: asyncio.Task[Any]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await task
    return caught.value


# The everyday path


async def test_callers_share_a_batch_and_each_gets_its_own_results() -> None:
    async with Bench() as bench:
        blocker = await bench.submit(window(1))
        requests = [[window(10 + n, 20 + n), window(30 + n)] for n in range(2)]
        tasks = [await bench.submit(*windows) for windows in requests]
        await bench.finish()
        await blocker
        assert [len(call) for call in bench.engine.calls] == [1, 4]
        for windows, task in zip(requests, tasks, strict=True):
            assert_own_results(windows, await task)


async def test_a_lone_window_is_computed_without_delay() -> None:
    async with Bench() as bench:
        task = await bench.submit(window(1, 2))
        assert bench.manual.waiting
        await bench.step()
        assert_own_results([window(1, 2)], await task)
        assert bench.value("moodline_batches_total", cut="idle") == 1
        assert bench.value("moodline_batch_fill_ratio_sum") == 0.5


async def test_no_windows_need_no_engine() -> None:
    async with Bench() as bench:
        assert await (await bench.submit()) == []
        assert bench.engine.calls == []


async def test_the_next_batch_is_launched_before_the_callers_are_told() -> None:
    async with Bench() as bench:
        first = await bench.submit(window(1))
        second = await bench.submit(window(2))
        launched_when_told: list[int] = []
        first.add_done_callback(lambda _: launched_when_told.append(len(bench.manual.waiting)))
        await bench.step()
        assert launched_when_told == [1]
        await bench.finish()
        await second


async def test_a_live_turn_that_arrives_after_a_bulk_batch_was_staged_still_goes_first() -> None:
    async with Bench() as bench:
        tasks = [await bench.submit(window(1), priority=BULK)]
        tasks += [await bench.submit(window(n), priority=BULK) for n in range(10, 14)]
        bench.runner._stage()
        tasks.append(await bench.submit(window(99)))
        await bench.finish()
        assert bench.engine.calls[1] == [(99,)]
        await asyncio.gather(*tasks)


async def test_a_staged_batch_is_used_when_nothing_has_changed() -> None:
    async with Bench() as bench:
        windows = [window(n) for n in range(12)]
        task = await bench.submit(*windows)
        await bench.finish()
        assert_own_results(windows, await task)
        assert [len(call) for call in bench.engine.calls] == [4, 4, 4]


async def test_windows_of_an_impossible_length_are_a_mistake_of_the_caller() -> None:
    async with Bench() as bench:
        for bad in (window(), window(*range(17))):
            with pytest.raises(ValueError, match="a window has 1 to 16"):
                await bench.runner.encode([bad], priority=LIVE)


async def test_a_real_thread_gives_the_same_results() -> None:
    with ThreadPoolExecutor(1) as executor:
        async with Bench(executor=executor, cache_entries=8) as bench:
            requests = [[window(n, *range(n % 16)), window(n % 5)] for n in range(60)]
            results = await asyncio.gather(
                *(bench.runner.encode(windows, priority=LIVE) for windows in requests)
            )
            for windows, encodings in zip(requests, results, strict=True):
                assert_own_results(windows, encodings)


async def test_the_record_of_the_call_and_the_metrics_tell_what_happened() -> None:
    async with Bench(cache_entries=8) as bench:
        await bench.finish()

        async def call() -> dict[str, object]:
            record = bind_record()
            await bench.runner.encode([window(1, 2), window(3)], priority=LIVE)
            await bench.runner.encode([window(3)], priority=LIVE)
            return record.fields()

        task = asyncio.create_task(call())
        await settle()
        bench.clock.now_s += 0.25
        await bench.step()
        fields = await task
        assert fields["window_count"] == 3
        assert fields["cached_window_count"] == 1
        assert fields["token_count"] == 3
        assert fields["max_batch_rows"] == 2
        assert fields["queue_s"] == 0.0
        assert fields["engine_s"] == 0.25
        assert bench.value("moodline_stage_duration_seconds_sum", stage="engine") == 0.25
        assert bench.value("moodline_batch_rows_sum") == 2
        again = await bench.submit(window(9))
        await bench.finish()
        await again
        assert bench.value("moodline_stage_duration_seconds_count", stage="engine") == 2


# Cache


async def test_a_repeated_short_window_is_answered_without_the_engine() -> None:
    async with Bench(cache_entries=8) as bench:
        first = await bench.submit(window(7, 8))
        await bench.finish()
        again = await bench.submit(window(7, 8))
        assert_own_results([window(7, 8)], await first)
        assert_own_results([window(7, 8)], await again)
        assert len(bench.engine.calls) == 1
        assert bench.value("moodline_cache_lookups_total", outcome="hit") == 1
        assert bench.value("moodline_cache_lookups_total", outcome="miss") == 1


async def test_known_and_new_windows_come_back_in_order() -> None:
    async with Bench(cache_entries=8) as bench:
        await bench.submit(window(2))
        await bench.finish()
        windows = [window(1), window(2), window(3)]
        task = await bench.submit(*windows)
        await bench.finish()
        assert_own_results(windows, await task)
        assert bench.engine.calls[1] == [(1,), (3,)]


async def test_a_failed_window_is_not_remembered() -> None:
    async with Bench(cache_entries=8) as bench:
        for _ in range(2):
            task = await bench.submit(window(POISON))
            await bench.finish()
            assert isinstance(await error_of(task), InferenceError)
        assert len(bench.engine.calls) == 2


# Admission


async def test_a_full_ledger_sheds_and_all_windows_of_a_request_enter_or_none() -> None:
    async with Bench(max_pending_tokens=4) as bench:
        first = await bench.submit(window(1, 2, 3))
        refused = await bench.submit(window(4), window(5))
        assert isinstance(await error_of(refused), OverloadedError)
        too_long = await bench.submit(window(*range(5)))
        assert isinstance(await error_of(too_long), InputTooLongError)
        assert bench.value("moodline_queue_tokens") == 3
        assert bench.value("moodline_shed_total", reason="OVERLOADED") == 1
        assert bench.value("moodline_shed_total", reason="INPUT_TOO_LONG") == 1
        await bench.finish()
        await first
        assert bench.engine.calls == [[(1, 2, 3)]]


async def test_a_reservation_covers_tokenizing_and_is_settled_to_real_tokens() -> None:
    async with Bench() as bench:
        with bench.runner.admit(500, LIVE) as reservation:
            assert bench.ledger.pending_tokens == 500
            task = asyncio.create_task(
                bench.runner.encode([window(1, 2)], priority=LIVE, reservation=reservation)
            )
            await settle()
            assert bench.ledger.pending_tokens == 2
            await bench.finish()
            await task
            assert bench.ledger.pending_tokens == 2
        assert bench.ledger.pending_tokens == 0


async def test_nothing_is_admitted_before_the_start() -> None:
    bench = Bench()
    with pytest.raises(NotReadyError, match="not started"):
        await bench.runner.encode([window(1)], priority=LIVE)
    assert not bench.runner.is_serving


async def test_a_runner_starts_once() -> None:
    async with Bench() as bench:
        with pytest.raises(RuntimeError, match="starts once"):
            await bench.runner.start()


# Deadlines and cancellation


async def test_an_expired_window_is_never_computed() -> None:
    async with Bench() as bench:
        blocker = await bench.submit(window(1))
        late = await bench.submit(window(2), deadline_s=bench.clock.now_s + 1.0)
        bench.clock.now_s += 1.0
        await bench.finish()
        await blocker
        error = await error_of(late)
        assert isinstance(error, DeadlineExpiredError)
        assert error.stage == "queue"
        assert bench.engine.calls == [[(1,)]]
        assert bench.value("moodline_dropped_total", reason="expired") == 1


async def test_a_cancelled_caller_frees_its_tokens_and_its_neighbours_notice_nothing() -> None:
    async with Bench() as bench:
        blocker = await bench.submit(window(1))
        leaver = await bench.submit(window(2), window(3))
        neighbour = await bench.submit(window(4))
        leaver.cancel()
        await settle()
        assert leaver.cancelled()
        assert bench.ledger.pending_tokens == 2
        await bench.finish()
        await blocker
        assert_own_results([window(4)], await neighbour)
        assert bench.engine.calls == [[(1,)], [(4,)]]
        assert bench.value("moodline_dropped_total", reason="abandoned") == 2


async def test_a_caller_that_leaves_during_its_engine_call_harms_nobody() -> None:
    async with Bench() as bench:
        blocker = await bench.submit(window(1))
        leaver = await bench.submit(window(2))
        neighbour = await bench.submit(window(3))
        await bench.step()
        leaver.cancel()
        await bench.finish()
        await blocker
        assert_own_results([window(3)], await neighbour)
        assert bench.engine.calls[1] == [(2,), (3,)]


# Failure


async def test_one_bad_input_stands_alone() -> None:
    async with Bench() as bench:
        blocker = await bench.submit(window(1))
        tasks = [await bench.submit(window(n)) for n in (2, POISON, 3)]
        await bench.finish()
        await blocker
        assert_own_results([window(2)], await tasks[0])
        error = await error_of(tasks[1])
        assert isinstance(error, InferenceError)
        assert isinstance(error.__cause__, ValueError)
        assert_own_results([window(3)], await tasks[2])
        assert bench.engine.calls[1:] == [[(2,), (POISON,), (3,)], [(2,)], [(POISON,)], [(3,)]]
        assert bench.value("moodline_inference_failures_total", scope="batch") == 1
        assert bench.value("moodline_inference_failures_total", scope="row") == 1
        assert bench.value("moodline_batches_total", cut="retry") == 3
        assert bench.runner.is_serving


async def test_a_window_of_a_request_that_has_failed_already_is_not_tried_again() -> None:
    async with Bench() as bench:
        task = await bench.submit(window(POISON), window(2))
        await bench.finish()
        assert isinstance(await error_of(task), InferenceError)
        assert bench.engine.calls[1:] == [[(POISON,)]]


async def test_a_row_that_expires_before_its_own_try_is_not_computed() -> None:
    async with Bench() as bench:
        blocker = await bench.submit(window(1))
        poisoned = await bench.submit(window(POISON))
        late = await bench.submit(window(2), deadline_s=bench.clock.now_s + 1.0)
        await bench.step()
        bench.clock.now_s += 1.0
        await bench.finish()
        await blocker
        assert isinstance(await error_of(poisoned), InferenceError)
        assert isinstance(await error_of(late), DeadlineExpiredError)
        assert bench.engine.calls[2:] == [[(POISON,)]]


async def test_an_engine_that_answers_in_another_shape_fails_only_that_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Bench() as bench:
        wrong = EncoderOutput(np.zeros((9, 2), np.float32), np.zeros((9, 2, 4), np.float32))
        with monkeypatch.context() as patch:
            patch.setattr(bench.engine, "encode", lambda ids, mask: wrong)
            bad = await bench.submit(window(1))
            await bench.finish()
        assert isinstance(await error_of(bad), InferenceError)
        good = await bench.submit(window(2))
        await bench.finish()
        assert_own_results([window(2)], await good)


async def test_a_dead_loop_fails_everybody_and_is_visible() -> None:
    async with Bench() as bench:
        in_flight = await bench.submit(window(1))
        queued = await bench.submit(window(2))
        bench.manual.is_broken = True
        await bench.step()
        for task in (in_flight, queued):
            assert isinstance(await error_of(task), NotReadyError)
        assert [str(error) for error in bench.fatal] == [
            "cannot schedule new futures after shutdown"
        ]
        assert not bench.runner.is_serving
        with pytest.raises(NotReadyError, match="died"):
            await bench.runner.encode([window(3)], priority=LIVE)


async def test_an_engine_call_that_the_executor_drops_is_the_death_of_the_loop() -> None:
    async with Bench() as bench:
        task = await bench.submit(window(1))
        future, _ = bench.manual.waiting.pop()
        future.set_exception(concurrent.futures.CancelledError())
        await settle()
        assert isinstance(await error_of(task), NotReadyError)
        assert len(bench.fatal) == 1


# Shutdown


async def test_draining_refuses_new_work_and_finishes_the_old() -> None:
    async with Bench() as bench:
        task = await bench.submit(window(1))
        drain = asyncio.create_task(bench.runner.drain(timeout_s=60))
        await settle()
        with pytest.raises(DrainingError):
            await bench.runner.encode([window(2)], priority=LIVE)
        assert bench.value("moodline_shed_total", reason="DRAINING") == 1
        assert not drain.done()
        await bench.finish()
        assert await drain is True
        assert_own_results([window(1)], await task)


async def test_draining_gives_up_at_its_timeout_and_closing_tells_whoever_waits() -> None:
    async with Bench() as bench:
        in_flight = await bench.submit(window(1))
        queued = await bench.submit(window(2))
        assert await bench.runner.drain(timeout_s=0) is False
        closing = asyncio.create_task(bench.runner.close())
        await settle()
        assert not closing.done(), "the engine call in flight must be waited for"
        await bench.step()
        await closing
        for task in (in_flight, queued):
            assert isinstance(await error_of(task), DrainingError)
        assert bench.fatal == []


async def test_closing_does_not_wait_for_ever_for_a_stuck_engine() -> None:
    async with Bench() as bench:
        task = await bench.submit(window(1))
        await bench.runner.close(timeout_s=0)
        assert isinstance(await error_of(task), DrainingError)


async def test_an_idle_runner_drains_and_closes_at_once() -> None:
    async with Bench() as bench:
        assert await bench.runner.drain(timeout_s=0) is True


# Delay


async def test_with_a_delay_a_batch_goes_when_it_is_full() -> None:
    policy = BatchPolicy(32, 2, (4, 8, 16), max_queue_delay_s=3600.0)
    async with Bench(policy=policy) as bench:
        first = await bench.submit(window(1))
        assert not bench.manual.waiting
        second = await bench.submit(window(2))
        await bench.finish()
        await asyncio.gather(first, second)
        assert bench.value("moodline_batches_total", cut="full") == 1


async def test_with_a_delay_a_batch_goes_when_its_leader_has_waited_and_when_draining() -> None:
    policy = BatchPolicy(32, 2, (4, 8, 16), max_queue_delay_s=3600.0)
    async with Bench(policy=policy) as bench:
        first = await bench.submit(window(*range(10)))
        bench.clock.now_s += 3600.0
        second = await bench.submit(window(2))
        await bench.step()
        assert bench.value("moodline_batches_total", cut="delay") == 1
        await first
        assert not second.done()
        drain = asyncio.create_task(bench.runner.drain(timeout_s=60))
        await settle()
        await bench.finish()
        assert await drain is True
        await second


async def test_a_batch_held_back_wakes_by_itself_when_due() -> None:
    policy = BatchPolicy(32, 2, (4, 8, 16), max_queue_delay_s=0.001)
    with ThreadPoolExecutor(1) as executor:
        bench = Bench(policy=policy, executor=executor)
        bench.runner._clock = bench.runner._queue._clock = asyncio.get_running_loop().time
        async with bench:
            windows = [window(1)]
            assert_own_results(windows, await bench.runner.encode(windows, priority=LIVE))


# Properties


@dataclass(frozen=True)
class Submit:
    lengths: list[int]
    priority: Priority
    patience_s: float | None
    is_poisoned: bool


@dataclass(frozen=True)
class Cancel:
    index: int


@dataclass(frozen=True)
class Advance:
    seconds: float


@dataclass(frozen=True)
class Step:
    """Let the engine call in flight run."""


actions_strategy = st.lists(
    st.one_of(
        st.builds(
            Submit,
            lengths=st.lists(st.integers(1, 16), min_size=1, max_size=5),
            priority=st.sampled_from(Priority),
            patience_s=st.none() | st.sampled_from([0.0, 0.5, 2.0]),
            is_poisoned=st.sampled_from([False, False, False, True]),
        ),
        st.builds(Cancel, st.integers(0, 20)),
        st.builds(Advance, st.sampled_from([0.3, 1.0])),
        st.builds(Step),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(actions=actions_strategy)
def test_whatever_arrives_leaves_or_fails_every_request_ends_once_and_rightly(
    actions: list[Submit | Cancel | Advance | Step],
) -> None:
    asyncio.run(play(actions))


async def play(actions: list[Submit | Cancel | Advance | Step]) -> None:
    next_id = 1000
    requests: list[tuple[Submit, list[Ids], asyncio.Task[list[WindowEncoding]]]] = []
    owner: dict[int, int] = {}
    deadlines: dict[int, float] = {}

    async with Bench(max_pending_tokens=120) as bench:

        def launched(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> None:
            rows, length = ids.shape
            assert rows * length <= POLICY.max_batch_tokens
            assert rows <= POLICY.max_batch_rows
            for first in ids[:, 0]:
                index = owner[int(first)]
                assert not requests[index][2].done(), "computed for nobody"
                assert deadlines.get(index, np.inf) > bench.clock.now_s, "computed too late"

        bench.manual.launched = launched
        for action in actions:
            match action:
                case Submit():
                    windows = []
                    for length in action.lengths:
                        # The first id names the window; ids never repeat.
                        ids = [next_id, *range(1, length)]
                        owner[next_id] = len(requests)
                        next_id += 1
                        windows.append(ids)
                    if action.is_poisoned and len(windows[-1]) > 1:
                        windows[-1][-1] = POISON
                    items = [window(*ids) for ids in windows]
                    deadline_s = None
                    if action.patience_s is not None:
                        deadline_s = bench.clock.now_s + action.patience_s
                        deadlines[len(requests)] = deadline_s
                    task = asyncio.create_task(
                        bench.runner.encode(items, priority=action.priority, deadline_s=deadline_s)
                    )
                    requests.append((action, items, task))
                case Cancel():
                    if action.index < len(requests):
                        requests[action.index][2].cancel()
                case Advance():
                    bench.clock.now_s += action.seconds
                case Step():
                    bench.manual.step()
            await settle()
            assert 0 <= bench.ledger.pending_tokens <= 120
        await bench.finish()

        for index, (_, items, task) in enumerate(requests):
            assert task.done(), "left waiting"
            if task.cancelled():
                assert Cancel(index) in actions
                continue
            error = task.exception()
            is_poisoned = any(POISON in item.input_ids for item in items)
            if error is None:
                assert not is_poisoned
                assert_own_results(items, task.result())
            elif isinstance(error, InferenceError):
                assert is_poisoned
            elif isinstance(error, DeadlineExpiredError):
                assert index in deadlines
            else:
                assert isinstance(error, OverloadedError | InputTooLongError)
        assert bench.fatal == []


@settings(deadline=None)
@given(actions=actions_strategy, break_after=st.integers(0, 10))
def test_whenever_the_loop_dies_nobody_is_left_waiting(
    actions: list[Submit | Cancel | Advance | Step], break_after: int
) -> None:
    async def scenario() -> None:
        tasks = []
        async with Bench() as bench:
            for position, action in enumerate(actions):
                bench.manual.is_broken = position >= break_after
                if isinstance(action, Submit):
                    tasks.append(
                        await bench.submit(
                            *(window(position + 1, *range(1, n)) for n in action.lengths)
                        )
                    )
                else:
                    await bench.step()
            await bench.finish()
            for task in tasks:
                assert task.done()
                assert task.exception() is None or isinstance(task.exception(), MoodlineError)
            assert len(bench.fatal) <= 1
            if bench.fatal:
                assert not bench.runner.is_serving

    asyncio.run(scenario())
