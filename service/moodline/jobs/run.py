"""The loop of a job: reads, submits, and commits what was answered, in the order of the inputs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from moodline.jobs.answers import Answer, Refused
from moodline.jobs.engines.engine import ScoringEngine
from moodline.jobs.folder import JobCounts, JobFolder
from moodline.jobs.items import Item, SourceEnd, SourceProgress, chained
from moodline.jobs.outcomes import Outcome
from moodline.jobs.outputs.output import ERRORS_FILE, Output, error_lines

MAX_BYTES_IN_FLIGHT: Final = 16 * 1024 * 1024
"""Text that is submitted or waits for those before it; more only if one conversation has more."""
DEFAULT_PART_ITEMS: Final = 200
MAX_PART_BYTES: Final = 16 * 1024 * 1024
MAX_PART_AGE_S: Final = 15.0
"""Work that a kill may cost, on machines so slow that a part takes longer to fill."""

_Waiting: TypeAlias = tuple[Item, Future[Answer]] | SourceEnd


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How a job stands.

    Attributes:
        counts: Of all runs of the job.
        own_counts: Of this run.
        byte_position: Bytes of the inputs whose conversations have their outcome.
    """

    counts: JobCounts
    own_counts: JobCounts
    byte_position: int


class OutcomeListener:
    """Who wants to know how a job goes; does nothing itself."""

    def take(self, outcome: Outcome, progress: JobProgress) -> None:
        """Take one more outcome."""


def run_job(
    items: Iterable[Item | SourceEnd],
    engine: ScoringEngine,
    output: Output,
    folder: JobFolder,
    *,
    max_part_items: int = DEFAULT_PART_ITEMS,
    listener: OutcomeListener = OutcomeListener(),
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Score items and commit their outcomes to the folder, part by part.

    Whatever ends it early, the outcomes so far are committed.

    Args:
        items: What is left to do, in the order of the inputs.
        engine: Ready.
        output: How a part is written.
        folder: Open.
        max_part_items: Items of a part; fewer if they are large or slow.
        listener: Told of each outcome.
        clock: Monotonic time in seconds.

    Raises:
        JobError: If an input is not what it was.
        MoodlineError: If the engine is gone.
        MoodlineRpcError: If the server is gone or refuses the caller.
        OSError: If the output cannot be written.
    """
    part = _Part(folder, output, clock)
    own_counts = JobCounts()
    try:
        for entry in outcomes_in_order(items, engine):
            part.add(entry)
            if isinstance(entry, Outcome):
                own_counts += counts_of(entry)
                counts = folder.counts + part.counts
                listener.take(entry, JobProgress(counts, own_counts, entry.item.byte_position))
            if part.is_due(max_part_items):
                part.commit()
    finally:
        part.commit()


def outcomes_in_order(
    items: Iterable[Item | SourceEnd], engine: ScoringEngine
) -> Iterator[Outcome | SourceEnd]:
    """Yield the outcomes in the order of the items, reading no further ahead than needed."""
    waiting: deque[_Waiting] = deque()
    byte_count = 0

    def first() -> Outcome | SourceEnd:
        nonlocal byte_count
        entry = waiting.popleft()
        if isinstance(entry, SourceEnd):
            return entry
        item, answered = entry
        byte_count -= len(item.message)
        return Outcome(item, answered.result())

    for item in items:
        size = len(item.message) if isinstance(item, Item) else 0
        while waiting and (
            len(waiting) >= engine.max_in_flight
            or byte_count + size > MAX_BYTES_IN_FLIGHT
            or _is_ready(waiting[0])
        ):
            yield first()
        waiting.append(item if isinstance(item, SourceEnd) else (item, _answered(item, engine)))
        byte_count += size
    while waiting:
        yield first()


def _is_ready(entry: _Waiting) -> bool:
    return isinstance(entry, SourceEnd) or entry[1].done()


def _answered(item: Item, engine: ScoringEngine) -> Future[Answer]:
    if item.refusal is None:
        return engine.submit(item.message)
    refused: Future[Answer] = Future()
    refused.set_result(item.refusal)
    return refused


def counts_of(outcome: Outcome) -> JobCounts:
    """Return one outcome as counts."""
    if isinstance(outcome.answer, Refused):
        return JobCounts(failed_count=1)
    return JobCounts(scored_count=1, turn_count=outcome.turn_count)


class _Part:
    """Outcomes that are not committed yet."""

    def __init__(self, folder: JobFolder, output: Output, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._output = output
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self.counts = JobCounts()
        self._outcomes: list[Outcome] = []
        self._sources: dict[str, SourceProgress] = {}
        self._byte_count = 0
        self._started_s = self._clock()

    def add(self, entry: Outcome | SourceEnd) -> None:
        if isinstance(entry, SourceEnd):
            before = self._progress_of(entry.source)
            self._sources[entry.source] = SourceProgress(before.item_count, before.digest, True)
            return
        item = entry.item
        before = self._progress_of(item.source)
        digest = chained(before.digest, item)
        self._sources[item.source] = SourceProgress(item.number, digest)
        self._outcomes.append(entry)
        self._byte_count += len(item.message)
        self.counts += counts_of(entry)

    def is_due(self, max_items: int) -> bool:
        return bool(self._outcomes) and (
            len(self._outcomes) >= max_items
            or self._byte_count >= MAX_PART_BYTES
            or self._clock() - self._started_s >= MAX_PART_AGE_S
        )

    def commit(self) -> None:
        if not self._sources:
            return
        outcomes, sources, counts = self._outcomes, self._sources, self.counts
        first_number = self._folder.counts.item_count + 1

        def write(folder: Path) -> None:
            self._output.write_part(outcomes, folder, first_number=first_number)
            failures = error_lines(outcomes)
            if failures:
                (folder / ERRORS_FILE).write_bytes(failures)

        # Begun anew first: what cannot be written is not written twice.
        self._begin()
        self._folder.commit(write, sources, counts)

    def _progress_of(self, source: str) -> SourceProgress:
        return self._sources.get(source) or self._folder.sources.get(source, SourceProgress())
