"""Training examples: conversations whose customer turns carry the labels that are known.

A data set supplies the labels that it has; `UNKNOWN` masks the others out of the loss. A single
text is a conversation of one turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

UNKNOWN: Final = -1

TRAINING_SPLITS: Final = ("train", "unlabelled")
"""Splits whose texts may change weights; those of all others are held out."""


@dataclass(frozen=True, slots=True)
class TurnLabels:
    """Labels of one customer turn; `UNKNOWN` (or None) where the source has none.

    Attributes:
        sentiment: Grade 0..4, from very negative to very positive.
        coarse_sentiment: 0 negative, 1 neutral, 2 positive, where only that is known.
        urgency: Level 0..3.
        stage: Index into `labels.STAGE`.
        tags: 1, 0 or `UNKNOWN` for each of `labels.TAGS`, or None.
        escalation: Level 0..2 that holds after this turn.
        early_warning: 1 if ESCALATE comes to hold within the next `EARLY_WARNING_TURNS` customer
            turns, 0 if not; `UNKNOWN` once it holds.
        csat: Grade 0..4 (one to five) of the whole conversation.
        is_last: Whether it is the last customer turn, where CSAT is known best.
    """

    sentiment: int = UNKNOWN
    coarse_sentiment: int = UNKNOWN
    urgency: int = UNKNOWN
    stage: int = UNKNOWN
    tags: tuple[int, ...] | None = None
    escalation: int = UNKNOWN
    early_warning: int = UNKNOWN
    csat: int = UNKNOWN
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class ExampleTurn:
    """One turn; only customer turns have labels.

    Attributes:
        taught_sentiment: Probabilities of negative, neutral and positive that a teacher gives.
    """

    is_customer: bool
    text: str
    labels: TurnLabels | None = None
    taught_sentiment: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation of one source."""

    example_id: str
    source: str
    language: str
    split: str
    turns: tuple[ExampleTurn, ...]

    def with_texts(self, texts: Sequence[str]) -> Example:
        """The same conversation with other words, for augmentation."""
        turns = tuple(replace(t, text=x) for t, x in zip(self.turns, texts, strict=True))
        return replace(self, turns=turns)


def hash_share(example_id: str) -> float:
    """A stable number in [0, 1) for an id, to split data the same way on every machine."""
    return int(hashlib.md5(example_id.encode(), usedforsecurity=False).hexdigest()[:8], 16) / 2**32
