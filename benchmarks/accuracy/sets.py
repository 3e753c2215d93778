"""Which examples are evaluated: the report part of every set, the large ones as a fixed sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.recipe.datasets import READERS, read_source
from models.recipe.examples import Example, hash_share

GUIDE_SETS: Final = ("annotated_dev", "written")
"""Conversations labelled by the annotation guide, for every head."""

AIMED_SETS: Final = (
    *GUIDE_SETS,
    "umsab",
    "tweet_sentiment",
    "trbrain_telecom",
    "amazonhelp_sentiment",
    "airline_tweets",
)
"""Sets that something is aimed at: evaluated whole, and compared between models."""


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """What is evaluated of a set.

    Attributes:
        name: Of its reader.
        examples: With at least one labelled turn.
        available_count: How many of those the set has.
    """

    name: str
    examples: tuple[Example, ...]
    available_count: int


def read_sets(
    data_root: Path, *, max_rows: int, max_aimed_rows: int | None
) -> tuple[list[EvaluationSet], list[str]]:
    """Read the report part of every set whose files are there.

    Args:
        data_root: Folder of the data sets.
        max_rows: Most examples of a set; the same ones each time.
        max_aimed_rows: The same for sets that something is aimed at; None takes all.

    Returns:
        The sets, and the names of those whose files are missing.
    """
    sets, absent = [], []
    for name in READERS:
        try:
            examples = [e for e in read_source(name, data_root) if _is_reported(e)]
        except FileNotFoundError:
            absent.append(name)
            continue
        limit = max_aimed_rows if name in AIMED_SETS else max_rows
        if examples:
            sets.append(EvaluationSet(name, sample(examples, limit), len(examples)))
    return sets, absent


def sample(examples: Sequence[Example], max_rows: int | None) -> tuple[Example, ...]:
    """At most `max_rows` examples, chosen by their ids and kept in their order."""
    if max_rows is None or len(examples) <= max_rows:
        return tuple(examples)
    shares = [hash_share(e.example_id) for e in examples]
    limit = sorted(shares)[max_rows]
    return tuple(e for e, share in zip(examples, shares, strict=True) if share < limit)


def _is_reported(example: Example) -> bool:
    return example.split == "report" and any(turn.labels for turn in example.turns)
