"""Runs a scoring job as `moodline score` shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from moodline.cli import render
from moodline.errors import InvalidRequestError
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
from moodline.transcripts import ReadOptions, SpeakerRole, load_formats
from moodline.transcripts.registry import format_named

MAX_TOLD_FAILURES: Final = 20
PLAIN_INTERVAL_S: Final = 10.0
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


def reading_of(
    *,
    format_name: str,
    roles: Iterable[str],
    columns: Iterable[str],
    encoding: str,
    are_roles_corrected: bool,
    is_vcon_required: bool,
) -> Reading:
    """Return how to read, from the arguments of a command.

    Raises:
        JobError: If one of them is of no use.
    """
    formats = load_formats()
    if format_name:
        try:
            format_named(format_name, formats)
        except InvalidRequestError as error:
            raise JobError(f"--from {format_name}: {error.violations[0].description}.") from None
    try:
        "".encode(encoding)
    except LookupError:
        raise JobError(f"--encoding {encoding}: is none; name one such as utf-8.") from None
    return Reading(
        formats=formats,
        format_name=format_name,
        options=ReadOptions(
            roles={name: _role(role) for name, role in _pairs("--role", roles)},
            columns=dict(_pairs("--column", columns)),
            encoding=encoding,
        ),
        are_roles_corrected=are_roles_corrected,
        is_vcon_required=is_vcon_required,
    )


def _pairs(option: str, arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    for argument in arguments:
        theirs, separator, ours = argument.rpartition("=")
        if not (theirs and separator and ours):
            raise JobError(f"{option} {argument}: write THEIRS=OURS.")
        yield theirs, ours


def _role(name: str) -> SpeakerRole:
    try:
        return SpeakerRole(name.casefold())
    except ValueError:
        known = ", ".join(SpeakerRole)
        raise JobError(f"--role {name}: is none of {known}; use one of these.") from None


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
        JobError: If it cannot be run like this.
        MoodlineError: If the engine cannot be opened or is gone; what was scored is kept.
        MoodlineRpcError: If the server is gone or refuses the caller; what was scored is kept.
        OSError: If the output cannot be written.
    """
    out, errors_file = request.out, errors_path(request.out)
    output = output_of(request.result_format)
    inputs = find_inputs(request.inputs, excluded=(out, job_folder_path(out), errors_file))
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
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
        with open_job_folder(out, terms) as folder:
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
        self._console = console
        self._show = show
        self._failed_count = 0

    def take(self, outcome: Outcome, progress: JobProgress) -> None:
        if not outcome.is_scored:
            self._failed_count += 1
            self._tell(outcome)
        self._show(progress)

    def _tell(self, outcome: Outcome) -> None:
        if self._failed_count > MAX_TOLD_FAILURES:
            return
        item, refusal = outcome.item, outcome.refusal
        for violation in refusal.violations if refusal else ():
            field = f"{violation.field}: " if violation.field else ""
            problem = render.escaped(f"{field}{violation.description}")
            self._console.print(f"{item.source}: {item.place}: {problem}", soft_wrap=True)
        if self._failed_count == MAX_TOLD_FAILURES:
            self._console.print("further failures are only collected", soft_wrap=True)


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
        left_s = (self._total_bytes - position) / done * elapsed_s
        return f", {position / self._total_bytes:.0%}, about {left_s / 60:.0f} min left"
