"""The labelled conversations on which rules are measured, and whether the model has seen them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.recipe.datasets import OWN_DATA_DIR
from models.recipe.examples import hash_share

_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Conversations in our own format.

    Attributes:
        title: What they are.
        is_seen: Whether the model was trained on them; rules then look better than they are.
        folder: Of the files, under the root of the data sets; None for our own.
        pattern: Of the files.
        is_meant: Which rows belong to it.
    """

    name: str
    title: str
    is_seen: bool
    folder: str | None
    pattern: str
    is_meant: Callable[[_Row], bool]

    def rows(self, data_root: Path | None) -> Iterator[_Row]:
        """Yield its rows; none if its files are not there.

        Args:
            data_root: Where data sets lie that are not ours, if there are any.
        """
        if self.folder is None:
            folder = OWN_DATA_DIR
        elif data_root is None:
            return
        else:
            folder = data_root / self.folder
        for path in sorted(folder.glob(self.pattern)):
            with path.open(encoding="utf-8") as lines:
                yield from filter(self.is_meant, map(json.loads, lines))


SETS: Final = (
    LabelledSet(
        "annotated_dev",
        "real contacts that no training has seen",
        False,
        "annotated",
        "dev.jsonl",
        lambda _row: True,
    ),
    LabelledSet(
        "written",
        "conversations written to be hard, held out: what the recipe reports on",
        False,
        "synthetic",
        "*.jsonl",
        # As models.recipe.datasets splits them.
        lambda row: row["split"] == "validation" and hash_share(row["id"]) >= 0.5,
    ),
    LabelledSet(
        "own",
        "our conversations, all of which the model was trained on",
        True,
        None,
        "conversations_*.jsonl",
        lambda _row: True,
    ),
)
IDENTITY_SET: Final = "own"


def sampled(rows: Iterator[_Row], count: int | None) -> list[_Row]:
    """Return at most so many rows, chosen by a hash of their ids, so that all files are in it."""
    if count is None:
        return list(rows)
    return sorted(rows, key=lambda row: hash_share(f"rules {row['id']}"))[:count]
