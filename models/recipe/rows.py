"""Reads rows of JSON lines, and makes examples of single texts from them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from models.recipe.examples import UNKNOWN, Example, ExampleTurn, TurnLabels
from models.recipe.labels import TAGS

Row = dict[str, Any]
Reader = Callable[[Path], Iterator[Example]]

PUBLISHED_SPLITS: Final = {"train": "train", "validation": "calibration", "test": "report"}
COARSE: Final = {"negative": 0, "neutral": 1, "positive": 2}


def read_rows(folder: Path, pattern: str = "*.jsonl*") -> Iterator[Row]:
    """Yield the JSON objects of all matching files, plain or gzip, in name order.

    Raises:
        FileNotFoundError: If no file matches.
    """
    files = sorted(folder.glob(pattern))
    if not files:
        raise FileNotFoundError(f"no file {pattern} in {folder}; models/README.md names the source")
    for file in files:
        opener = gzip.open if file.suffix == ".gz" else open
        with opener(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield json.loads(line)


def text_example(
    row: Row, *, source: str, language: str, split: str, labels: TurnLabels | None
) -> Example:
    """A single text as a conversation of one customer turn."""
    turn = ExampleTurn(True, row["text"], labels)
    return Example(str(row["id"]), source, language, split, (turn,))


def tag_labels(present: Iterable[str], absent: Iterable[str] = ()) -> tuple[int, ...] | None:
    """Tags in the order of `labels.TAGS`; those in neither collection are unknown.

    Returns:
        1, 0 or `UNKNOWN` per tag; None if nothing is known.

    Raises:
        ValueError: If there is no such tag, or one is both present and absent.
    """
    known = {**dict.fromkeys(absent, 0), **dict.fromkeys(present, 1)}
    if unknown := set(known) - set(TAGS):
        raise ValueError(f"no such tag: {', '.join(sorted(unknown))}; labels.TAGS names them")
    if both := set(present) & set(absent):
        raise ValueError(f"present and absent at once: {', '.join(sorted(both))}")
    return tuple(known.get(tag, UNKNOWN) for tag in TAGS) if known else None
