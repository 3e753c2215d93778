"""Training examples: conversations whose customer turns carry the labels that are known.

A data set supplies the labels that it has; `UNKNOWN` masks the others out of the loss. A single
text is a conversation of one turn.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

UNKNOWN: Final = -1

_NOT_LETTERS_OR_DIGITS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class TurnLabels:
    """Labels of one customer turn; `UNKNOWN` (or None) where the source has none.

    Attributes:
        sentiment: Grade 0..4, from very negative to very positive.
        coarse_sentiment: 0 negative, 1 neutral, 2 positive, where only that is known.
        urgency: Level 0..3.
        stage: Index into `labels.STAGE`.
        tags: 0 or 1 for each of `labels.TAGS`, or None.
        escalation: Level 0..2 that holds after this turn.
        csat: Grade 0..4 (one to five) of the whole conversation.
        is_last: Whether it is the last customer turn, where CSAT is known best.
    """

    sentiment: int = UNKNOWN
    coarse_sentiment: int = UNKNOWN
    urgency: int = UNKNOWN
    stage: int = UNKNOWN
    tags: tuple[int, ...] | None = None
    escalation: int = UNKNOWN
    csat: int = UNKNOWN
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class ExampleTurn:
    """One turn; only customer turns have labels."""

    is_customer: bool
    text: str
    labels: TurnLabels | None = None


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


def text_key(text: str) -> str:
    """Letters and digits alone, case-folded: equal for copies that differ in decoration."""
    return _NOT_LETTERS_OR_DIGITS.sub("", text.casefold().replace("@user", ""))


def hash_share(example_id: str) -> float:
    """A stable number in [0, 1) for an id, to split data the same way on every machine."""
    return int(hashlib.md5(example_id.encode(), usedforsecurity=False).hexdigest()[:8], 16) / 2**32


def drop_leaks(training: Sequence[Example], held_out: Sequence[Example]) -> list[Example]:
    """Remove training examples one of whose customer texts stands in held-out data.

    Only texts of at least 20 letters count: "ok" and "thank you" stand everywhere.
    """
    held_out_keys = {
        key
        for e in held_out
        for t in e.turns
        if t.is_customer and len(key := text_key(t.text)) >= 20
    }
    return [
        e
        for e in training
        if not any(t.is_customer and text_key(t.text) in held_out_keys for t in e.turns)
    ]
