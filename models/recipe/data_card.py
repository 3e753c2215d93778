"""Writes DATA_CARD.md: what the recipe reads, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from models.recipe.datasets import READERS, read_available
from models.recipe.duplicates import Removal, drop_duplicates
from models.recipe.examples import TRAINING_SPLITS, UNKNOWN, Example, TurnLabels
from models.recipe.labels import TAGS

SOURCES_FILE: Final = Path(__file__).parent / "sources.yaml"

_SPLITS: Final = (*TRAINING_SPLITS, "calibration", "report", "spare")
_HEADS: Final = {
    "sentiment": "sentiment, five grades",
    "coarse_sentiment": "sentiment, 3-way",
    "urgency": "urgency",
    "stage": "stage",
    "tags": "tags",
    "escalation": "escalation",
    "early_warning": "early warning",
    "csat": "CSAT",
}
_CAUSES: Final = {"copy": "copy", "near_copy": "near-copy", "repeat": "repeat"}

_TEXT: Final = """# Data of the recipe

Written by `python -m models.recipe data`. No text of these sets is in this repository, but for
`own` and `own_texts`; the names are the names of the readers in `recipe/datasets.py`.

Counts are conversations, a single text being one of one turn, after duplicates were taken out and
before a configuration takes its share (`max_rows`, `epochs`). `unlabelled` conversations have no
label, for a teacher to give. Temperatures and thresholds are fitted on `calibration`, figures are
told of `report`; `spare` is held out besides. A set marked evaluation is never trained or fitted
on.

The labels of `own`, `own_texts`, `written`, `annotated` and `annotated_dev` were given by a large
language model that read every conversation by the annotation guide, not by a crowd of people.
Labels from intents, reasons and emotions (`recipe/mappings/`) are partial: what an intent does not
tell is unknown and costs no loss.

## Sources
{sources}

## Conversations
{conversations}

## Labelled turns for training, by head
A turn counts for tags if at least one tag is known.

{heads}

## Labelled turns by language
{languages}

## Tags in training
{tags}

## Duplicates
A conversation is not trained on if one of its customer texts of at least 20 letters stands in any
held-out part of any set. Texts are compared without handles, links, numbers, signs and spaces,
with case, marks and letter forms folded; a near-copy shares at least 0.8 of its letter 4-grams
(Jaccard). A repeat stands twice in its own source with the same labels, and is kept once.

{duplicates}
"""


def write_data_card(target: Path, data_root: Path, cache_dir: Path) -> None:
    """Read every source in `data_root`, count, and write `target`.

    Raises:
        FileNotFoundError: If a source is missing: a card of a part would mislead.
    """
    sources = read_available(data_root, READERS)
    examples = [e for rows in sources.values() for e in rows]
    training = [e for e in examples if e.split in TRAINING_SPLITS]
    held_out = [e for e in examples if e.split not in TRAINING_SPLITS]
    kept, removals = drop_duplicates(training, held_out, cache_dir)
    target.write_text(data_card([*kept, *held_out], removals), encoding="utf-8")


def data_card(examples: Sequence[Example], removals: Sequence[Removal]) -> str:
    """The card's text.

    Args:
        examples: Of all splits; duplicates are out.
        removals: What was taken out of the training splits.
    """
    facts = yaml.safe_load(SOURCES_FILE.read_text(encoding="utf-8"))
    names = [name for name in facts if any(e.source == name for e in examples)]
    training = [e for e in examples if e.split == "train"]
    return _TEXT.format(
        sources=_source_table(names, facts),
        conversations=_conversation_table(names, examples, removals),
        heads=_head_table(names, training),
        languages=_language_table(examples),
        tags=_tag_table(training),
        duplicates=_duplicate_table(removals),
    )


def _labelled(examples: Iterable[Example]) -> Iterable[tuple[Example, TurnLabels]]:
    return ((e, turn.labels) for e in examples for turn in e.turns if turn.labels is not None)


def _knows(labels: TurnLabels, head: str) -> bool:
    if head == "tags":
        return labels.tags is not None
    value: int = getattr(labels, head)
    return value != UNKNOWN


def _source_table(names: Sequence[str], facts: Mapping[str, Mapping[str, Any]]) -> str:
    columns = ("use", "labels", "licence", "from")
    rows = ((f"`{name}`", *(facts[name][column] for column in columns)) for name in names)
    return _table(("source", *columns), rows)


def _conversation_table(
    names: Sequence[str], examples: Sequence[Example], removals: Sequence[Removal]
) -> str:
    counts = Counter((e.source, e.split) for e in examples)
    removed = Counter(removal.source for removal in removals)
    languages = {
        name: " ".join(sorted({e.language for e in examples if e.source == name})) for name in names
    }
    rows: list[tuple[str | int, ...]] = [
        (f"`{name}`", languages[name], *(counts[name, split] for split in _SPLITS), removed[name])
        for name in names
    ]
    sums = [sum(counts[name, split] for name in names) for split in _SPLITS]
    header = ("source", "languages", *_SPLITS, "removed as duplicates")
    return _table(header, [*rows, ("all", "", *sums, len(removals))])


def _head_table(names: Sequence[str], training: Sequence[Example]) -> str:
    counts = Counter(
        (example.source, head)
        for example, labels in _labelled(training)
        for head in _HEADS
        if _knows(labels, head)
    )
    rows: list[tuple[str | int, ...]] = [
        (f"`{name}`", *(counts[name, head] for head in _HEADS))
        for name in names
        if any(counts[name, head] for head in _HEADS)
    ]
    sums = [sum(counts[name, head] for name in names) for head in _HEADS]
    return _table(("source", *_HEADS.values()), [*rows, ("all", *sums)])


def _language_table(examples: Sequence[Example]) -> str:
    counts = Counter(
        (example.language, example.split, head)
        for example, labels in _labelled(examples)
        for head in _HEADS
        if _knows(labels, head)
    )
    rows = [
        (language, split, *(counts[language, split, head] for head in _HEADS))
        for language in sorted({language for language, _, _ in counts})
        for split in _SPLITS
        if any(counts[language, split, head] for head in _HEADS)
    ]
    return _table(("language", "split", *_HEADS.values()), rows)


def _tag_table(training: Sequence[Example]) -> str:
    counts: Counter[tuple[str, int]] = Counter()
    for _, labels in _labelled(training):
        if labels.tags is not None:
            counts.update(zip(TAGS, labels.tags, strict=True))
    rows = ((f"`{tag}`", counts[tag, 1], counts[tag, 0]) for tag in TAGS)
    return _table(("tag", "present", "absent"), rows)


def _duplicate_table(removals: Sequence[Removal]) -> str:
    counts = Counter((r.source, _CAUSES[r.cause], r.of) for r in removals)
    rows = ((f"`{s}`", cause, f"`{of}`", n) for (s, cause, of), n in sorted(counts.items()))
    return _table(("removed from", "as", "of", "conversations"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """A Markdown table; zeros are left blank, so that the eye finds what is there."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join("" if cell == 0 else str(cell) for cell in line) + " |" for line in lines
    )
