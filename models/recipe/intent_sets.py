"""Readers of the sets that label something else than the guide does: intents, reasons, emotions.

What they tell is partial; see `intents`. Rows that tell nothing, and conversations without any
labels, are split `unlabelled`: a teacher may label them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.recipe.examples import Example, ExampleTurn, TurnLabels
from models.recipe.intents import load_mapping, load_names
from models.recipe.rows import (
    COARSE,
    PUBLISHED_SPLITS,
    Reader,
    Row,
    read_rows,
    text_example,
)


def _published_test(row: Row) -> str:
    """Published validation parts are trained on: nothing is tuned on partial labels."""
    return "report" if row["split"] == "test" else "train"


def _train(_: Row) -> str:
    return "train"


def _intent_texts(
    source: str,
    intents: Callable[[Row], Sequence[str]],
    *,
    mapping: str | None = None,
    pattern: str = "*.jsonl*",
    language: str | None = None,
    split: Callable[[Row], str] = _published_test,
    is_usable: Callable[[Row], bool] = lambda _: True,
) -> Reader:
    """A reader of single texts with intents.

    Args:
        source: Name of the source and of its folder.
        intents: Of a row, by the names that the mapping uses.
        mapping: Name of the mapping; that of the source unless given.
        pattern: Of the names of its files.
        language: Of all rows; None if each row names its own.
        split: Of a row.
        is_usable: Tells rows that must not be used.
    """

    def read(root: Path) -> Iterator[Example]:
        told = load_mapping(mapping or source)
        for row in filter(is_usable, read_rows(root / source, pattern)):
            labels = told.labels(intents(row))
            part = split(row)
            if labels is None:
                part = "unlabelled" if part == "train" else "spare"
            yield text_example(
                row, source=source, language=language or row["lang"], split=part, labels=labels
            )

    return read


def _intent(row: Row) -> Sequence[str]:
    return (row["labels"]["intent"],)


def _arabic_intent(row: Row) -> Sequence[str]:
    return (load_names("arbanking77")[row["labels"]["intent_ar"]],)


def _label(row: Row) -> Sequence[str]:
    return (row["label"],)


def _label_list(row: Row) -> Sequence[str]:
    return tuple(row["label"])


def _is_free_and_clean(row: Row) -> bool:
    """Leaves out GPL rows, and Turkish small talk that holds answers of the bot."""
    mixes_in_answers = {"greet", "goodbye", "affirm", "deny"}
    is_clean = row["lang"] != "tr" or row["labels"]["intent"] not in mixes_in_answers
    return is_clean and "GPL" not in row["source"]


def _read_churn(root: Path) -> Iterator[Example]:
    """One example a text: a text that names two companies stands once for each in the source."""
    rows = defaultdict(list)
    for row in read_rows(root / "churn_intent_chatbot"):
        rows[row["text"]].append(row)
    told = load_mapping("churn_intent_chatbot")
    for same in rows.values():
        left = [str(row["labels"]["brand"]) for row in same if row["labels"]["churn_intent"]]
        leaves_us = any(brand.lower() in {"swisscom", "no_brand", "none"} for brand in left)
        labels = told.labels(["churn" if leaves_us else "leaves_another" if left else "no_churn"])
        yield text_example(
            same[0],
            source="churn_intent_chatbot",
            language=same[0]["lang"],
            split="train" if labels else "unlabelled",
            labels=labels,
        )


def _read_goemotions(root: Path) -> Iterator[Example]:
    told = load_mapping("goemotions")
    for row in read_rows(root / "goemotions", "train*"):
        # Neutral beside an emotion tells nothing; emotions of two signs tell nothing of either.
        emotions = set(row["label"]) - {"neutral"} or {"neutral"}
        labels = told.labels(emotions)
        if labels is not None and labels.coarse_sentiment >= 0:
            yield text_example(
                row, source="goemotions", language="en", split="train", labels=labels
            )


def _read_trbrain(root: Path) -> Iterator[Example]:
    told = load_mapping("trbrain_telecom")
    for row in read_rows(root / "trbrain_telecom"):
        acts = row["action_needed"] == 1
        key = f"act/{row['reason'] or 'none'}" if acts else f"no_act/{row['sentiment']}"
        split = PUBLISHED_SPLITS[row["split"]]
        coarse = COARSE[row["sentiment"]]
        # Thresholds and figures rest on sentiment alone, which people have labelled on every row.
        partial = told.labels([key]) if split == "train" else None
        labels = replace(partial or TurnLabels(), coarse_sentiment=coarse)
        yield text_example(row, source="trbrain_telecom", language="tr", split=split, labels=labels)


def _annotated_ids(root: Path, prefix: str) -> set[str]:
    """Ids of the conversations of a source that `annotated` holds, fully labelled."""
    if not (root / "annotated").is_dir():
        return set()
    ids = (row["id"].partition(":") for row in read_rows(root / "annotated"))
    return {rest for start, _, rest in ids if start == prefix}


def _conversation(row: Row, *, source: str, split: str) -> Example:
    turns = (
        ExampleTurn(turn["speaker"] == "customer", turn["text"])
        for turn in row["turns"]
        if turn["speaker"] in {"customer", "agent"}
    )
    return Example(row["id"], source, "en", split, tuple(turns))


def _read_multidogo(root: Path) -> Iterator[Example]:
    """Customer turns without those of the agent; intents on each.

    No part is held out: its crowd wrote the same sentences again and again.
    """
    told = load_mapping("multidogo")
    annotated = _annotated_ids(root, "multidogo")
    for row in read_rows(root / "multidogo"):
        if row["id"] not in annotated:
            example = _conversation(row, source="multidogo", split="train")
            intents = [turn["labels"]["intent"] for turn in row["turns"]]
            turns = tuple(
                replace(turn, labels=told.labels(of_turn))
                for turn, of_turn in zip(example.turns, intents, strict=True)
            )
            yield replace(example, turns=turns)


def _unlabelled(source: str, *, prefix: str = "", pattern: str = "*.jsonl*") -> Reader:
    """A reader of conversations without labels."""

    def read(root: Path) -> Iterator[Example]:
        annotated = _annotated_ids(root, prefix)
        for row in read_rows(root / source, pattern):
            if row["id"] not in annotated:
                yield _conversation(row, source=source, split="unlabelled")

    return read


def _read_abcd(root: Path) -> Iterator[Example]:
    read_utterances = _intent_texts(
        "abcd", _label_list, pattern="customer*", language="en", split=_train
    )
    yield from read_utterances(root)
    yield from _unlabelled("abcd", pattern="conversations*")(root)


INTENT_READERS: Final[dict[str, Reader]] = {
    "abcd": _read_abcd,
    "arbanking77": _intent_texts("arbanking77", _arabic_intent, mapping="banking77"),
    "banking77": _intent_texts("banking77", _intent),
    # Its test part follows the templates of its training part and would show nothing.
    "bitext_support_intents": _intent_texts("bitext_support_intents", _intent, split=_train),
    "churn_intent_chatbot": _read_churn,
    "clinc150": _intent_texts("clinc150", _label, language="en"),
    "goemotions": _read_goemotions,
    "ibm_twitter_care": _unlabelled("ibm_twitter_care", prefix="ibmcare"),
    "multidogo": _read_multidogo,
    "natcs_intents_dstc11": _intent_texts("natcs_intents_dstc11", _intent),
    "nlupp": _intent_texts("nlupp", _label_list, language="en", split=_train),
    "purchase_intent_tweets": _intent_texts(
        "purchase_intent_tweets", lambda row: (row["labels"]["purchase_intent"],), split=_train
    ),
    "rasa_service_intents": _intent_texts(
        "rasa_service_intents", _intent, split=_train, is_usable=_is_free_and_clean
    ),
    "star_woz": _unlabelled("star_woz", prefix="star"),
    "trbrain_telecom": _read_trbrain,
}
