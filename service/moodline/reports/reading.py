"""Finds results and reads them, one conversation at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from moodline.jobs.outputs.output import ERRORS_FILE
from moodline.reports.errors import ReportError
from moodline.reports.json_results import read_json_lines
from moodline.reports.results import Entry
from moodline.reports.table_results import (
    CONVERSATIONS,
    TURNS,
    read_csv_tables,
    read_parquet_tables,
)
from moodline.reports.vcon_results import VCON_ENDING, read_vcon

_LINE_ENDINGS: Final = (".jsonl", ".ndjson")
_TABLE_ENDINGS: Final = (".parquet", ".csv")
_SOUGHT: Final = (
    "JSON lines (*.jsonl), conversations.parquet with turns.parquet, conversations.csv with "
    "turns.csv, or vCons (*.vcon.json)"
)


def read_results(paths: Sequence[Path]) -> Iterator[Entry]:
    """Yield what `moodline score` wrote, one conversation at a time.

    Args:
        paths: Files and folders. A folder holds results in one form; of tables, either one or their
            folder may be given.

    Raises:
        ReportError: If something is not there, or is no result of `moodline score`.
        OSError: If something cannot be read.
    """
    seen: set[Path] = set()
    for path in paths:
        for found in _found(path):
            if found.resolve() not in seen:
                seen.add(found.resolve())
                yield from _entries(found)


def _found(path: Path) -> Iterable[Path]:
    """Return the files that a path stands for; of tables, that of the conversations."""
    if path.is_file():
        return [_conversations_beside(path)]
    if not path.is_dir():
        raise ReportError(f"{path} is not there; give a file or folder that moodline score wrote.")
    files = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
    names = {one.name for one in files}
    by_form = [
        [path / name]
        for name in (f"{CONVERSATIONS}{ending}" for ending in _TABLE_ENDINGS)
        if name in names
    ]
    by_form += [
        [one for one in files if _is_lines(one)],
        [one for one in files if one.name.endswith(VCON_ENDING)],
    ]
    present = [form for form in by_form if form]
    if not present:
        raise ReportError(f"{path} holds no results; looked for {_SOUGHT}.")
    if len(present) > 1:
        told = ", ".join(form[0].name for form in present)
        raise ReportError(
            f"{path} holds results in several forms ({told}); name one, or all would count twice."
        )
    return [*present[0], *_errors_of_vcons(path, present[0])]


def _conversations_beside(path: Path) -> Path:
    is_table = path.stem == TURNS and path.suffix in _TABLE_ENDINGS
    return path.with_name(f"{CONVERSATIONS}{path.suffix}") if is_table else path


def _is_lines(path: Path) -> bool:
    # What could not be scored stands in the results, too.
    return path.suffix in _LINE_ENDINGS and not path.name.endswith(f".{ERRORS_FILE}")


def _errors_of_vcons(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Return what could not be scored beside a folder of vCons, which do not tell themselves."""
    errors = folder.resolve().with_name(f"{folder.resolve().name}.{ERRORS_FILE}")
    return [errors] if files[0].name.endswith(VCON_ENDING) and errors.is_file() else []


def _entries(path: Path) -> Iterator[Entry]:
    if path.suffix in _LINE_ENDINGS:
        yield from read_json_lines(path)
    elif path.name == f"{CONVERSATIONS}.parquet":
        yield from read_parquet_tables(path.parent)
    elif path.name == f"{CONVERSATIONS}.csv":
        yield from read_csv_tables(path.parent)
    elif path.name.endswith(VCON_ENDING):
        yield read_vcon(path)
    else:
        raise ReportError(f"{path} is no result that can be read; looked for {_SOUGHT}.")
