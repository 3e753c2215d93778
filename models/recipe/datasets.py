"""Readers of the public data sets and of our own labelled conversations.

Each reader maps one source to `Example`s with their split: `train`, `calibration` (temperatures
and thresholds are fitted on it) or `report` (figures of the model card; nothing is fitted on it).
models/README.md names every source with its licence.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from models.recipe.examples import Example, ExampleTurn, TurnLabels, hash_share
from models.recipe.labels import STAGE, TAGS

OWN_DATA_DIR: Final = Path(__file__).parent.parent / "data"

_COARSE: Final = {"negative": 0, "neutral": 1, "positive": 2}
_ESCALATION: Final = {"none": 0, "watch": 1, "escalate": 2}

# Google's own grouping of the GoEmotions labels; the ambiguous ones are left out.
_GO_POSITIVE: Final = frozenset(
    "admiration amusement approval caring desire excitement gratitude joy love optimism pride "
    "relief".split()
)
_GO_NEGATIVE: Final = frozenset(
    "anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness "
    "remorse sadness".split()
)

Row = dict[str, Any]
Reader = Callable[[Path], Iterator[Example]]


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


def conversation_example(row: Row, *, source: str, split: str) -> Example:
    """An `Example` of a conversation labelled by the annotation guide."""
    outcome = row["labels"]
    escalation = _ESCALATION[outcome["escalation"]]
    escalates_at = outcome["escalation_turn"]
    labelled = [i for i, turn in enumerate(row["turns"]) if "labels" in turn]
    turns = []
    for index, turn in enumerate(row["turns"]):
        labels = turn.get("labels")
        turn_labels = None
        if labels is not None:
            holds = escalates_at is not None and index >= escalates_at
            turn_labels = TurnLabels(
                sentiment=labels["sentiment"] + 2,
                urgency=labels["urgency"],
                stage=STAGE.index(labels["stage"]),
                tags=tuple(int(tag in labels["tags"]) for tag in TAGS),
                escalation=escalation if holds else 0,
                csat=outcome["csat"] - 1,
                is_last=index == labelled[-1],
            )
        turns.append(ExampleTurn(turn["speaker"] == "customer", turn["text"], turn_labels))
    return Example(row["id"], source, row["lang"], split, tuple(turns))


def _text_example(row: Row, *, source: str, language: str, split: str, coarse: int) -> Example:
    turn = ExampleTurn(True, row["text"], TurnLabels(coarse_sentiment=coarse))
    return Example(str(row["id"]), source, language, split, (turn,))


def _read_own(_: Path) -> Iterator[Example]:
    for row in read_rows(OWN_DATA_DIR, "conversations_*.jsonl"):
        yield conversation_example(row, source="own", split="train")


def _read_own_texts(_: Path) -> Iterator[Example]:
    for row in read_rows(OWN_DATA_DIR, "texts_*.jsonl"):
        labels = TurnLabels(
            sentiment=row["v"] + 2,
            urgency=row["u"],
            stage=STAGE.index(row["s"]),
            tags=tuple(int(tag in row["t"]) for tag in TAGS),
        )
        turn = ExampleTurn(True, row["text"], labels)
        yield Example(row["id"], "own_texts", row["lang"], "train", (turn,))


def _read_annotated(root: Path) -> Iterator[Example]:
    for row in read_rows(root / "annotated", "train.jsonl"):
        # marsa carries no stated licence: a published model may not rest on it.
        if row["source"] != "marsa":
            split = "calibration" if hash_share(row["id"]) < 0.1 else "train"
            yield conversation_example(row, source="annotated", split=split)


def _read_annotated_dev(root: Path) -> Iterator[Example]:
    for row in read_rows(root / "annotated", "dev.jsonl"):
        yield conversation_example(row, source="annotated_dev", split="report")


def _read_written(root: Path) -> Iterator[Example]:
    for row in read_rows(root / "synthetic"):
        split = row["split"]
        if split == "validation":
            split = "calibration" if hash_share(row["id"]) < 0.5 else "report"
        yield conversation_example(row, source="written", split=split)


_PUBLISHED_SPLITS: Final = {"train": "train", "validation": "calibration", "test": "report"}


def _published(
    source: str,
    *,
    language: str | None = None,
    label: str = "sentiment",
    is_usable: Callable[[Row], bool] = lambda _: True,
) -> Reader:
    """A reader of single texts with three-way sentiment and the splits of their publishers.

    Args:
        source: Name of the source and of its folder.
        language: Of all rows; None if each row names its own.
        label: Key of the sentiment; rows without one are left out.
        is_usable: Tells rows that must not be used.
    """

    def read(root: Path) -> Iterator[Example]:
        for row in read_rows(root / source):
            if row.get(label) and is_usable(row):
                yield _text_example(
                    row,
                    source=source,
                    language=language or row["lang"],
                    split=_PUBLISHED_SPLITS[row["split"]],
                    coarse=_COARSE[row[label]],
                )

    return read


def _evaluation_only(source: str, *, language: str) -> Reader:
    """A reader of single texts that may not be trained on: all are for the report."""

    def read(root: Path) -> Iterator[Example]:
        for row in read_rows(root / source):
            yield _text_example(
                row, source=source, language=language, split="report", coarse=_COARSE[row["label"]]
            )

    return read


def _stands_in_no_other_test(row: Row) -> bool:
    """Whether a row of arsarcasm_v2 may be used: its training part repeats tests of two others."""
    return not (row.get("in_umsab_test") or row.get("in_astd_test"))


def _read_goemotions(root: Path) -> Iterator[Example]:
    for row in read_rows(root / "goemotions", "train*"):
        emotions = set(row["label"])
        groups = {
            *([0] if emotions & _GO_NEGATIVE else []),
            *([1] if emotions == {"neutral"} else []),
            *([2] if emotions & _GO_POSITIVE else []),
        }
        if len(groups) == 1:
            yield _text_example(
                row, source="goemotions", language="en", split="train", coarse=groups.pop()
            )


READERS: Final[dict[str, Reader]] = {
    "own": _read_own,
    "own_texts": _read_own_texts,
    "annotated": _read_annotated,
    "annotated_dev": _read_annotated_dev,
    "written": _read_written,
    "umsab": _published("umsab"),
    "tweet_sentiment": _published("tweet_sentiment", language="en", label="label"),
    "trbrain_telecom": _published("trbrain_telecom", language="tr"),
    "arsarcasm_v2": _published("arsarcasm_v2", language="ar", is_usable=_stands_in_no_other_test),
    "ajgt": _published("ajgt", language="ar"),
    "ar_egyptian_amazon_reviews": _published("ar_egyptian_amazon_reviews", language="ar"),
    "uci_amazon_cells": _published("uci_amazon_cells", language="en", label="label"),
    "goemotions": _read_goemotions,
    "amazonhelp_sentiment": _evaluation_only("amazonhelp_sentiment", language="en"),
    "airline_tweets": _evaluation_only("airline_tweets", language="en"),
}


def read_source(name: str, data_root: Path) -> list[Example]:
    """Read one source completely.

    Raises:
        KeyError: If no reader has that name.
    """
    return list(READERS[name](data_root))
