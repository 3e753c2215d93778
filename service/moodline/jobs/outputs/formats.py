"""What writes each form of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from moodline.jobs.outputs.csv_tables import CsvOutput
from moodline.jobs.outputs.jsonl import JsonlOutput
from moodline.jobs.outputs.output import Output
from moodline.jobs.outputs.parquet_tables import ParquetOutput
from moodline.jobs.outputs.vcon import VconOutput
from moodline.jobs.result_format import ResultFormat

_OUTPUTS: Final[Mapping[ResultFormat, Callable[[], Output]]] = {
    ResultFormat.JSONL: JsonlOutput,
    ResultFormat.PARQUET: ParquetOutput,
    ResultFormat.CSV: CsvOutput,
    ResultFormat.VCON: VconOutput,
}


def output_of(result_format: ResultFormat) -> Output:
    """Return what writes a form.

    Raises:
        JobError: If something is missing that it needs.
    """
    return _OUTPUTS[result_format]()
