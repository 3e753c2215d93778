"""The loop that keeps the engine busy: one call in flight, the next batch prepared meanwhile.

Source: docs/batching.md, "The loop".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto

import structlog

from moodline.batching.cache import EncodingCache
from moodline.batching.padding import BatchInputs, Window, pad_batch, split_output
from moodline.batching.planner import BatchPlan, BatchPolicy, Cut, Priority, plan_batch
from moodline.batching.queue import (
    BatchQueue,
    PendingRequest,
    PendingWindow,
    Reservation,
    TokenLedger,
)
from moodline.errors import (
    DeadlineExpiredError,
    DrainingError,
    InferenceError,
    MoodlineError,
    NotReadyError,
)
from moodline.inference import EncoderEngine, EncoderOutput, WindowEncoding
from moodline.telemetry.logging import current_record
from moodline.telemetry.metrics import CacheOutcome, DropReason, Metrics, Stage

_log = structlog.get_logger(__name__)


class _State(Enum):
    NEW = auto()
    RUNNING = auto()
    DRAINING = auto()
    CLOSED = auto()
    DEAD = auto()


@dataclass(frozen=True, slots=True)
class _Call:
    """An engine call in flight."""

    plan: BatchPlan[PendingWindow]
    started_s: float
    future: asyncio.Future[EncoderOutput]


@dataclass(frozen=True, slots=True)
class _Finished:
    """A call that succeeded, with one encoding per entry of its batch."""

    call: _Call
    encodings: Sequence[WindowEncoding]
    duration_s: float


class BatchRunner:
    """Computes the windows of all callers in shared batches.

    All methods are called on one event loop; only the engine runs in the executor's thread.
    """

    def __init__(
        self,
        engine: EncoderEngine,
        *,
        policy: BatchPolicy,
        ledger: TokenLedger,
        cache: EncodingCache,
        metrics: Metrics,
        executor: Executor,
        on_fatal: Callable[[BaseException], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build a runner; `start` makes it serve.

        Args:
            engine: Computes one batch.
            policy: The rules of the planner.
            ledger: The bound on pending work.
            cache: Encodings of repeated short windows, looked up before the queue.
            metrics: Where counts and durations go.
            executor: One thread for the engine alone; the caller shuts it down after `close`.
            on_fatal: Called once, on the event loop, if the loop dies of an error. The process
                should then report NOT_SERVING and exit non-zero.
            clock: Monotonic time in seconds, the one that deadlines are given in.
        """
        self._engine = engine
        self._policy = policy
        self._retry_policy = replace(policy, max_queue_delay_s=0.0)
        self._ledger = ledger
        self._cache = cache
        self._metrics = metrics
        self._executor = executor
        self._on_fatal = on_fatal
        self._clock = clock
        self._queue = BatchQueue(policy, clock=clock)
        self._state = _State.NEW
        self._task: asyncio.Task[None] | None = None
        self._call: asyncio.Future[EncoderOutput] | None = None
        self._staged: tuple[BatchPlan[PendingWindow], BatchInputs] | None = None
        self._requests: set[PendingRequest] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        metrics.queue_tokens.set_function(lambda: self._ledger.pending_tokens)
        metrics.queue_entries.set_function(lambda: self._queue.entry_count)

    @property
    def is_serving(self) -> bool:
        """Whether `encode` admits work now."""
        return self._state is _State.RUNNING

    async def start(self) -> None:
        """Start the loop.

        Raises:
            RuntimeError: If it has been started before.
        """
        if self._state is not _State.NEW:
            raise RuntimeError("A BatchRunner starts once; build another one.")
        self._state = _State.RUNNING
        self._task = asyncio.create_task(self._supervise(), name="moodline-batch-runner")

    @contextmanager
    def admit(self, token_count: int, priority: Priority) -> Generator[Reservation]:
        """Reserve an estimate before tokenizing; pass the reservation on to `encode`.

        Args:
            token_count: Estimated tokens of the request.
            priority: The class the request is served in.

        Raises:
            OverloadedError: If too much work is pending.
            InputTooLongError: If the request exceeds the whole ledger.
            NotReadyError: If the loop has not started or has died.
            DrainingError: If the runner is shutting down.
        """
        with ExitStack() as stack:
            with self._counting_shed():
                self._require_running()
                reservation = stack.enter_context(self._ledger.reserve(token_count, priority))
            yield reservation

    async def encode(
        self,
        windows: Sequence[Window],
        *,
        priority: Priority,
        deadline_s: float | None = None,
        reservation: Reservation | None = None,
    ) -> list[WindowEncoding]:
        """Encode the windows of one request; all of them enter the queue, or none.

        If the caller is cancelled, its windows leave the queue and its neighbours notice nothing.

        Args:
            windows: Windows of 1 to `policy.buckets[-1]` tokens.
            priority: The class to serve them in.
            deadline_s: From when on nobody waits for the result, in seconds of the runner's clock.
            reservation: What `admit` gave, settled here to the tokens that must be computed;
                `None` reserves for the time of this call.

        Returns:
            One encoding per window, in order.

        Raises:
            ValueError: If a window is empty or longer than the largest bucket.
            OverloadedError: If too much work is pending.
            InputTooLongError: If the request exceeds the whole ledger.
            DeadlineExpiredError: If the deadline passed in the queue.
            InferenceError: If the engine fails on one of the windows even on its own.
            NotReadyError: If the loop has not started or has died.
            DrainingError: If the runner is shutting down.
        """
        for index, window in enumerate(windows):
            if not 1 <= len(window.input_ids) <= self._policy.buckets[-1]:
                raise ValueError(
                    f"Window {index} has {len(window.input_ids)} tokens; a window has 1 to "
                    f"{self._policy.buckets[-1]}."
                )
        known = [self._look_up(window) for window in windows]
        missing = [(i, windows[i]) for i, encoding in enumerate(known) if encoding is None]
        token_count = sum(len(window.input_ids) for _, window in missing)
        with ExitStack() as stack:
            if reservation is None:
                stack.enter_context(self.admit(token_count, priority))
            else:
                with self._counting_shed():
                    self._require_running()
                    reservation.settle(token_count)
            request = PendingRequest(known)
            record = current_record()
            record.window_count += len(windows)
            record.cached_window_count += len(windows) - len(missing)
            record.token_count += token_count
            if missing:
                await self._await_engine(request, missing, priority, deadline_s)
                record.add_stage(Stage.QUEUE, request.queue_s)
                record.add_stage(Stage.ENGINE, request.engine_s)
                record.max_batch_rows = max(record.max_batch_rows, request.max_batch_rows)
            return request.encodings

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new work and wait until what was admitted is done.

        Args:
            timeout_s: Longest wait, in seconds.

        Returns:
            Whether everything was finished in time.
        """
        if self._state is _State.RUNNING:
            self._state = _State.DRAINING
            self._queue.begin_draining()
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_idle.wait()
        except TimeoutError:
            return False
        return True

    async def close(self, timeout_s: float = 10.0) -> None:
        """Stop the loop; whoever still waits gets a `DrainingError`.

        A running engine call cannot be interrupted, so it is waited for: the engine must not be
        taken apart under it.

        Args:
            timeout_s: Longest wait for the engine call in flight, in seconds.
        """
        if self._state is not _State.DEAD:
            self._state = _State.CLOSED
        self._reject_all(DrainingError("The service has shut down; another replica will answer."))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._call is not None:
            _, running = await asyncio.wait([self._call], timeout=timeout_s)
            if running:
                _log.error("engine_call_outlives_close", timeout_s=timeout_s)

    # Admission

    def _require_running(self) -> None:
        match self._state:
            case _State.RUNNING:
                return
            case _State.DRAINING | _State.CLOSED:
                raise DrainingError("The service is shutting down; another replica will answer.")
            case _State.NEW:
                raise NotReadyError("The batching engine has not started; try again shortly.")
            case _State.DEAD:
                raise NotReadyError("The batching engine has died; another replica will answer.")

    @contextmanager
    def _counting_shed(self) -> Generator[None]:
        try:
            yield
        except MoodlineError as error:
            self._metrics.shed_total.labels(reason=error.reason).inc()
            raise

    def _look_up(self, window: Window) -> WindowEncoding | None:
        if not self._cache.accepts(window):
            return None
        encoding = self._cache.get(window)
        outcome = CacheOutcome.MISS if encoding is None else CacheOutcome.HIT
        self._metrics.cache_lookups_total.labels(outcome=outcome).inc()
        return encoding

    async def _await_engine(
        self,
        request: PendingRequest,
        windows: Sequence[tuple[int, Window]],
        priority: Priority,
        deadline_s: float | None,
    ) -> None:
        self._requests.add(request)
        self._is_idle.clear()
        entries = self._queue.add(windows, request, priority=priority, deadline_s=deadline_s)
        try:
            await request.wait()
        finally:
            # Also after a failure: the other windows of a failed request are for nobody.
            self._count_dropped(DropReason.ABANDONED, self._queue.discard(entries))
            self._requests.discard(request)
            if not self._requests:
                self._is_idle.set()

    # The loop

    async def _supervise(self) -> None:
        """Run the loop, and make its death visible whatever it dies of."""
        try:
            await self._loop()
        except BaseException as error:
            if self._state is _State.CLOSED:
                raise
            self._state = _State.DEAD
            _log.critical("batch_loop_died", exc_info=error)
            self._reject_all(
                NotReadyError("The batching engine has died; another replica will answer.")
            )
            self._on_fatal(error)

    def _reject_all(self, error: MoodlineError) -> None:
        for request in self._requests:
            request.reject(error)

    async def _loop(self) -> None:
        finished: _Finished | None = None
        while True:
            # Cleared before the queue is read, so that an arrival in between is never missed.
            self._queue.changed.clear()
            plan = self._queue.take()
            self._drop(plan)
            call = self._launch(plan) if plan.batch else None
            if finished is not None:
                # After the launch: the engine need not wait until the callers have been told.
                self._deliver(finished)
                finished = None
            if call is None:
                await self._wait_for_change(plan.ready_at_s)
                continue
            self._stage()
            finished = await self._finish(call)

    async def _wait_for_change(self, until_s: float | None) -> None:
        """Wait until something arrives, or until a batch that was held back becomes due."""
        timeout_s = None if until_s is None else max(until_s - self._clock(), 0.0)
        try:
            async with asyncio.timeout(timeout_s):
                await self._queue.changed.wait()
        except TimeoutError:
            return

    def _drop(self, plan: BatchPlan[PendingWindow]) -> None:
        """Tell the callers of expired entries, and count what is not computed."""
        for entry in plan.expired:
            entry.request.reject(DeadlineExpiredError(Stage.QUEUE.value))
        self._count_dropped(DropReason.EXPIRED, len(plan.expired))
        self._count_dropped(DropReason.ABANDONED, len(plan.abandoned))

    def _count_dropped(self, reason: DropReason, count: int) -> None:
        self._metrics.dropped_total.labels(reason=reason).inc(count)

    def _stage(self) -> None:
        """Pad the next batch while the engine is busy.

        Nothing is promised by it: entries stay in the queue, and the batch is planned again when
        the engine is free. So a live turn that arrives meanwhile still goes first, and whoever
        leaves meanwhile is not computed. Only a full batch is worth it; another one would grow.
        """
        plan = self._queue.plan()
        self._staged = (plan, _pad(plan)) if plan.cut is Cut.FULL else None

    def _launch(self, plan: BatchPlan[PendingWindow]) -> _Call:
        staged, self._staged = self._staged, None
        is_staged = staged is not None and staged[0].batch == plan.batch
        inputs = staged[1] if staged is not None and is_staged else _pad(plan)
        token_count = sum(entry.token_count for entry in plan.batch)
        self._metrics.batch_rows.observe(len(plan.batch))
        self._metrics.batch_fill_ratio.observe(token_count / inputs.input_ids.size)
        self._metrics.batches_total.labels(cut=plan.cut).inc()
        self._call = asyncio.get_running_loop().run_in_executor(
            self._executor, self._engine.encode, inputs.input_ids, inputs.attention_mask
        )
        return _Call(plan, self._clock(), self._call)

    async def _finish(self, call: _Call) -> _Finished | None:
        """Wait for a call; if it failed, compute its rows one by one and deliver them here."""
        batch = call.plan.batch
        try:
            # Shielded, so that `close` can still wait for the thread after it cancels the loop.
            output = await asyncio.shield(call.future)
            encodings = split_output(output, [entry.window for entry in batch])
        except Exception as error:  # noqa: BLE001  # One bad input must not end the loop.
            is_single = len(batch) == 1
            scope = "row" if is_single else "batch"
            self._metrics.inference_failures_total.labels(scope=scope).inc()
            _log.error("engine_failed", scope=scope, row_count=len(batch), exc_info=error)
            if is_single:
                failure = InferenceError("The engine failed on this input.")
                failure.__cause__ = error
                batch[0].request.reject(failure)
            else:
                for entry in batch:
                    await self._retry(entry)
            return None
        return _Finished(call, encodings, duration_s=self._clock() - call.started_s)

    async def _retry(self, entry: PendingWindow) -> None:
        """Compute one row of a failed batch on its own, if somebody still waits for it."""
        plan = plan_batch({entry.priority: [entry]}, self._retry_policy, self._clock())
        self._drop(plan)
        if plan.batch:
            finished = await self._finish(self._launch(replace(plan, cut=Cut.RETRY)))
            if finished is not None:
                self._deliver(finished)

    def _deliver(self, finished: _Finished) -> None:
        call = finished.call
        self._metrics.observe_stage(Stage.ENGINE, finished.duration_s)
        for entry, encoding in zip(call.plan.batch, finished.encodings, strict=True):
            if self._cache.accepts(entry.window):
                self._cache.put(entry.window, encoding)
            queue_s = call.started_s - entry.enqueued_s
            self._metrics.observe_stage(Stage.QUEUE, queue_s)
            request = entry.request
            request.queue_s = max(request.queue_s, queue_s)
            request.engine_s = max(request.engine_s, finished.duration_s)
            request.max_batch_rows = max(request.max_batch_rows, len(call.plan.batch))
            request.resolve(entry.index, encoding)


def _pad(plan: BatchPlan[PendingWindow]) -> BatchInputs:
    return pad_batch([entry.window for entry in plan.batch], plan.padded_length)
