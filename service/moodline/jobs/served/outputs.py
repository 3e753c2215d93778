"""What a job writes: lines of results, tables beside them if the server is told to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from moodline.jobs.outcomes import Outcome
from moodline.jobs.outputs.formats import output_of
from moodline.jobs.outputs.jsonl import RESULTS_FILE
from moodline.jobs.outputs.output import Output
from moodline.jobs.result_format import ResultFormat
from moodline.jobs.served.record import MAX_PARTIAL_ERRORS, ItemFailure


class ServedOutput:
    """Several outputs of the same outcomes, in one folder.

    Attributes:
        failures: The first items that failed.
    """

    def __init__(self, table_formats: Iterable[str]) -> None:
        """Take which tables are wanted.

        Raises:
            JobError: If a table needs a package that is not installed.
        """
        lines = (RESULTS_FILE, output_of(ResultFormat.JSONL))
        tables = ((name, output_of(ResultFormat(name))) for name in table_formats)
        self._outputs: tuple[tuple[str, Output], ...] = (lines, *tables)
        self.failures: tuple[ItemFailure, ...] = ()

    def write_part(self, outcomes: Sequence[Outcome], folder: Path, *, first_number: int) -> None:
        """Write some outcomes; see `Output`. The files of all outputs have names of their own."""
        for _, output in self._outputs:
            output.write_part(outcomes, folder, first_number=first_number)
        failed = [ItemFailure.of(one) for one in outcomes if not one.is_scored]
        self.failures = (*self.failures, *failed)[:MAX_PARTIAL_ERRORS]

    def assemble(self, parts: Sequence[Path], out: Path) -> None:
        """Make one folder of all parts; see `Output`."""
        out.mkdir(exist_ok=True)
        for name, output in self._outputs:
            output.assemble(parts, out / name)
