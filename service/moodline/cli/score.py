"""Runs a scoring job as `moodline score` shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from moodline.cli.failures import FailureTeller, error_console
from moodline.jobs.engines.engine import ScoringEngine
from moodline.jobs.errors import JobError
from moodline.jobs.folder import (
    JobCounts,
    JobTerms,
    StartMode,
    job_folder_path,
    open_job_folder,
    prepare_output,
)
from moodline.jobs.inputs import InputFile, find_inputs
from moodline.jobs.items import Reading, read_items
from moodline.jobs.outcomes import Outcome
from moodline.jobs.outputs.formats import output_of
from moodline.jobs.outputs.output import ERRORS_FILE
from moodline.jobs.result_format import ResultFormat
from moodline.jobs.run import JobProgress, OutcomeListener, run_job

PLAIN_INTERVAL_S: Final = 10.0
MIN_TOLD_SHARE: Final = 0.01
"""Of the inputs that this run has done, before it tells how long the rest takes."""
_FILE_ENDINGS: Final = frozenset({".jsonl", ".ndjson"})


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """What to score, and where results go."""

    inputs: tuple[str, ...]
    out: Path
    result_format: ResultFormat
    reading: Reading
    mode: StartMode
    max_part_items: int


def errors_path(out: Path) -> Path:
    """Return the file, beside an output, of what could not be scored."""
    stem = out.stem if out.suffix in _FILE_ENDINGS else out.name
    return out.with_name(f"{stem}.{ERRORS_FILE}")


def score(
    request: ScoreRequest, open_engine: Callable[[], AbstractContextManager[ScoringEngine]]
) -> bool:
    """Run a job to its end, with its progress on standard error.

    Returns:
        Whether everything was scored.

    Raises:
        JobError: If it cannot be run like this, or the output cannot be written.
        MoodlineError: If the engine cannot be opened or is gone; what was scored is kept.
        MoodlineRpcError: If the server is gone or refuses the caller; what was scored is kept.
        OSError: If what is overwritten cannot be removed.
    """
    out, errors_file = request.out, errors_path(request.out)
    output = output_of(request.result_format)
    inputs = find_inputs(request.inputs, excluded=(out, job_folder_path(out), errors_file))
    console = error_console()
    if not prepare_output(out, request.mode):
        console.print(f"{out} is finished; there is nothing to resume.", soft_wrap=True)
        return not errors_file.exists()
    errors_file.unlink(missing_ok=True)
    with open_engine() as engine:
        terms = JobTerms(
            model_version=engine.identity.model_version,
            configuration_digest=engine.identity.configuration_digest,
            rule_set_digest=engine.identity.rule_set_digest,
            output_format=request.result_format,
            reading=_described(request.reading),
        )
        with _writing_to(out), open_job_folder(out, terms) as folder:
            if folder.counts.item_count:
                console.print(f"going on after {_counted(folder.counts)}", soft_wrap=True)
            with _shown(console, inputs) as show:
                run_job(
                    read_items(inputs, request.reading, folder.sources),
                    engine,
                    output,
                    folder,
                    max_part_items=request.max_part_items,
                    listener=_Teller(console, show),
                )
            counts = folder.counts
            folder.finish(output.assemble, out, side_files={ERRORS_FILE: errors_file})
    told = f"; what is wrong stands in {errors_file}" if counts.failed_count else ""
    console.print(f"{out}: {_counted(counts)}{told}", soft_wrap=True)
    return counts.failed_count == 0


@contextmanager
def _writing_to(out: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # Nobody reads what is told any more.
    except OSError as error:
        raise JobError(
            f"{out} cannot be written: {error.strerror or type(error).__name__}; what was scored "
            "is kept. Put that right, then go on with --resume."
        ) from error


def _described(reading: Reading) -> str:
    """Return all that decides how a conversation is read, for comparison."""
    options = asdict(reading.options)
    parts = {
        "format": reading.format_name or "detected",
        "roles": {name: str(role) for name, role in sorted(options["roles"].items())},
        "columns": dict(sorted(options["columns"].items())),
        "encoding": options["encoding"],
        "corrected": reading.are_roles_corrected,
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value)


def _counted(counts: JobCounts) -> str:
    return (
        f"{counts.scored_count} conversations scored ({counts.turn_count} turns), "
        f"{counts.failed_count} failed"
    )


class _Teller(OutcomeListener):
    """Tells the first failures as they come, and how the job goes."""

    def __init__(self, console: Console, show: Callable[[JobProgress], None]) -> None:
        self._failures = FailureTeller(console)
        self._show = show

    def take(self, outcome: Outcome, progress: JobProgress) -> None:
        if outcome.refusal is not None:
            self._failures.tell(outcome.item, outcome.refusal)
        self._show(progress)


@contextmanager
def _shown(console: Console, inputs: list[InputFile]) -> Iterator[Callable[[JobProgress], None]]:
    """Show the progress: a bar on a terminal, else a line now and then."""
    total_bytes = sum(file.byte_count or 0 for file in inputs)
    is_total_known = all(file.byte_count is not None for file in inputs) and total_bytes > 0
    if not console.is_terminal:
        yield PlainProgress(console, total_bytes if is_total_known else None).show
        return
    bar = Progress(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task("", total=total_bytes if is_total_known else None, told="loading")
    rate = Rate(time.monotonic)
    with bar:
        yield lambda progress: bar.update(
            task, completed=progress.byte_position, told=rate.told(progress)
        )


class Rate:
    """Tells what a job has done, and how fast."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started_s = clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning of this run."""
        return self._clock() - self._started_s

    def told(self, progress: JobProgress) -> str:
        """Return the counts of the job and the rate of this run."""
        turns_per_s = progress.own_counts.turn_count / max(self.elapsed_s, 1e-3)
        return f"{_counted(progress.counts)}, {turns_per_s:.0f} turns/s"


class PlainProgress:
    """Writes a line every `PLAIN_INTERVAL_S`, for logs."""

    def __init__(
        self,
        console: Console,
        total_bytes: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what to write to, and the size of the inputs if it is known."""
        self._console = console
        self._total_bytes = total_bytes
        self._rate = Rate(clock)
        self._first_position: int | None = None
        self._told_s = 0.0

    def show(self, progress: JobProgress) -> None:
        """Take how the job stands."""
        elapsed_s = self._rate.elapsed_s
        if self._first_position is None:
            # What earlier runs did says nothing of how fast this one is.
            self._first_position = progress.byte_position
        if elapsed_s - self._told_s < PLAIN_INTERVAL_S:
            return
        self._told_s = elapsed_s
        line = self._rate.told(progress) + self._left(progress.byte_position, elapsed_s)
        self._console.print(line, soft_wrap=True)

    def _left(self, position: int, elapsed_s: float) -> str:
        done = position - (self._first_position or 0)
        if self._total_bytes is None or done <= 0:
            return ""
        share = f", {position / self._total_bytes:.0%}"
        if done < MIN_TOLD_SHARE * self._total_bytes:
            return share
        left_s = (self._total_bytes - position) / done * elapsed_s
        left = f"about {left_s / 60:.0f} min" if left_s >= 60 else "less than 1 min"
        return f"{share}, {left} left"
