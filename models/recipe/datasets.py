"""Readers of the public data sets and of our own labelled conversations.

Each reader maps one source to `Example`s with their split:

- `train`; `unlabelled` where nothing is known, for a teacher to label;
- `calibration`: temperatures and thresholds are fitted on it;
- `report`: figures are told of it, nothing is fitted on it;
- `spare`: held out like the two before it, and not used.

models/README.md names every source with its licence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog

from models.recipe.evaluation_sets import EVALUATION_READERS
from models.recipe.examples import UNKNOWN, Example, ExampleTurn, TurnLabels, hash_share
from models.recipe.intent_sets import INTENT_READERS
from models.recipe.labels import EARLY_WARNING_TURNS, STAGE, TAGS
from models.recipe.rows import COARSE, PUBLISHED_SPLITS, Reader, Row, read_rows, text_example

_log = structlog.get_logger()

OWN_DATA_DIR: Final = Path(__file__).parent.parent / "data"

_ESCALATION: Final = {"none": 0, "watch": 1, "escalate": 2}


def conversation_example(row: Row, *, source: str, split: str) -> Example:
    """An `Example` of a conversation labelled by the annotation guide."""
    outcome = row["labels"]
    escalation = _ESCALATION[outcome["escalation"]]
    escalates_at = outcome["escalation_turn"]
    labelled = [i for i, turn in enumerate(row["turns"]) if "labels" in turn]
    levels = {i: escalation * (escalates_at is not None and i >= escalates_at) for i in labelled}
    warnings = dict(zip(labelled, early_warnings(list(levels.values())), strict=True))
    turns = []
    for index, turn in enumerate(row["turns"]):
        labels = turn.get("labels")
        turn_labels = None
        if labels is not None:
            turn_labels = TurnLabels(
                sentiment=labels["sentiment"] + 2,
                urgency=labels["urgency"],
                stage=STAGE.index(labels["stage"]),
                tags=tuple(int(tag in labels["tags"]) for tag in TAGS),
                escalation=levels[index],
                early_warning=warnings[index],
                csat=outcome["csat"] - 1,
                is_last=index == labelled[-1],
            )
        turns.append(ExampleTurn(turn["speaker"] == "customer", turn["text"], turn_labels))
    return Example(row["id"], source, row["lang"], split, tuple(turns))


def early_warnings(levels: Sequence[int]) -> list[int]:
    """What `TurnLabels.early_warning` is after each customer turn of a whole conversation.

    Args:
        levels: Of escalation after each customer turn.
    """
    return [
        UNKNOWN if level == 2 else int(2 in levels[i + 1 : i + 1 + EARLY_WARNING_TURNS])
        for i, level in enumerate(levels)
    ]


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
        # marsa states no licence: a published model may not rest on it. The tweets of xci stand in
        # complaints_tweets, which is evaluated on.
        if row["source"] not in {"marsa", "xci"}:
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
                yield text_example(
                    row,
                    source=source,
                    language=language or row["lang"],
                    split=PUBLISHED_SPLITS[row["split"]],
                    labels=TurnLabels(coarse_sentiment=COARSE[row[label]]),
                )

    return read


def _stands_in_no_other_test(row: Row) -> bool:
    """Whether a row of arsarcasm_v2 may be used: its training part repeats tests of two others."""
    return not (row.get("in_umsab_test") or row.get("in_astd_test"))


READERS: Final[dict[str, Reader]] = {
    "own": _read_own,
    "own_texts": _read_own_texts,
    "annotated": _read_annotated,
    "annotated_dev": _read_annotated_dev,
    "written": _read_written,
    "umsab": _published("umsab"),
    "tweet_sentiment": _published("tweet_sentiment", language="en", label="label"),
    "arsarcasm_v2": _published("arsarcasm_v2", language="ar", is_usable=_stands_in_no_other_test),
    "ajgt": _published("ajgt", language="ar"),
    "ar_egyptian_amazon_reviews": _published("ar_egyptian_amazon_reviews", language="ar"),
    "uci_amazon_cells": _published("uci_amazon_cells", language="en", label="label"),
    **INTENT_READERS,
    **EVALUATION_READERS,
}


def read_source(name: str, data_root: Path) -> list[Example]:
    """Read one source completely.

    Raises:
        KeyError: If no reader has that name.
    """
    return list(READERS[name](data_root))


def read_available(data_root: Path, needed: Collection[str]) -> dict[str, list[Example]]:
    """Read every source whose files are in `data_root`.

    Raises:
        KeyError: If no reader has one of the needed names.
        FileNotFoundError: If the files of a needed source are missing.
    """
    sources = {}
    missing = []
    for name in dict.fromkeys([*needed, *READERS]):
        try:
            sources[name] = read_source(name, data_root)
        except FileNotFoundError:
            if name in needed:
                raise
            missing.append(name)
    if missing:
        _log.warning("not in the data root, so nothing is compared with them", sources=missing)
    return sources
