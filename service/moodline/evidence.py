"""What the encoder says of each token to character spans with the quoted words; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from moodline.domain import (
    EscalationLevel,
    Evidence,
    SentimentLabel,
    TurnScores,
    UrgencyLevel,
)
from moodline.encoding import EncodedTurn
from moodline.rollup import NO_STAGE
from moodline.scoring import softmax

MAX_EVIDENCE_WORDS: Final = 8
"""Longest quote; more than a glance takes in is no evidence."""
NEIGHBOUR_SHARE: Final = 0.2
"""A neighbouring word joins the quote if its weight is at least this share of the heaviest's."""
_SENTENCE_ENDS: Final = frozenset(".!?\u2026\u061f")


def explained_aspects(scores: TurnScores) -> frozenset[str]:
    """The aspects of a turn that words are quoted for: not neutral, low or normal, none."""
    wanted = {
        "sentiment": scores.sentiment.label is not SentimentLabel.NEUTRAL,
        "urgency": scores.urgency.level in (UrgencyLevel.HIGH, UrgencyLevel.CRITICAL),
        "stage": scores.stage.name != NO_STAGE,
        "escalation": scores.escalation.level is not EscalationLevel.NONE,
    }
    return frozenset(aspect for aspect, is_wanted in wanted.items() if is_wanted)


def evidence_weights(
    encoded: EncodedTurn, window_logits: Sequence[NDArray[np.float32]]
) -> NDArray[np.float64]:
    """Evidence weights of all tokens of a turn, whatever windows they were read in.

    A token that two windows hold counts as the first read it.

    Args:
        encoded: The turn.
        window_logits: Evidence logits of each window. *Shape:* `(aspects, window tokens)` each.

    Returns:
        Weights; special tokens weigh nothing. *Shape:* `(aspects, tokens)`, each row summing to 1
        (or 0, if the turn has no token with a place in the text).
    """
    token_count = len(encoded.offsets)
    aspect_count = window_logits[0].shape[0]
    logits = np.full((aspect_count, token_count), -np.inf)
    covered = 1
    for window, values in zip(encoded.windows, window_logits, strict=True):
        end = window.start + len(window.input_ids) - 2
        first = max(window.start, covered)
        logits[:, first:end] = values[:, 1 + first - window.start : 1 + end - window.start]
        covered = end
    logits[:, encoded.offsets[:, 0] == encoded.offsets[:, 1]] = -np.inf
    if not np.isfinite(logits).any():
        return np.zeros_like(logits)
    return softmax(logits)


def find_evidence(
    text: str,
    offsets: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    aspects: Sequence[str],
    wanted: Collection[str],
) -> tuple[Evidence, ...]:
    """Quote, for each wanted aspect, the run of words that weighs most.

    Args:
        text: The turn's text.
        offsets: Code points of each token. *Shape:* `(tokens, 2)`.
        weights: Of each token for each aspect. *Shape:* `(aspects, tokens)`.
        aspects: Name of each row of `weights`.
        wanted: The aspects to quote for.

    Returns:
        At most one span an aspect, in the order of the text.
    """
    words = word_spans(text)
    if not words:
        return ()
    word_of_token = word_of_tokens(words, offsets)
    ends_sentence = [text[end - 1] in _SENTENCE_ENDS for _, end in words]
    spans = []
    for name, per_token in zip(aspects, weights, strict=True):
        if name not in wanted or not per_token.any():
            continue
        per_word = np.zeros(len(words))
        np.add.at(per_word, word_of_token, per_token)
        first, last = _heaviest_run(per_word, ends_sentence)
        start, end = words[first][0], words[last][1]
        spans.append(
            Evidence(
                start=start,
                end=end,
                text=text[start:end],
                aspect=name,
                weight=min(1.0, float(per_word[first : last + 1].sum())),
            )
        )
    return tuple(sorted(spans, key=lambda span: (span.start, span.end, span.aspect)))


def word_spans(text: str) -> list[tuple[int, int]]:
    """Start and end, in code points, of each run of characters between spaces."""
    words = []
    start: int | None = None
    for index, character in enumerate(text):
        if character.isspace():
            if start is not None:
                words.append((start, index))
                start = None
        elif start is None:
            start = index
    if start is not None:
        words.append((start, len(text)))
    return words


def word_of_tokens(
    words: Sequence[tuple[int, int]], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Index of the word that each token stands in.

    Args:
        words: Start and end of each word, in order; at least one.
        offsets: Code points of each token. *Shape:* `(tokens, 2)`.

    Returns:
        *Shape:* `(tokens,)`.
    """
    starts = np.array([start for start, _ in words])
    # A token belongs to the word that holds its last code point: a piece may begin with a space.
    word = np.searchsorted(starts, np.maximum(offsets[:, 1] - 1, 0), side="right") - 1
    return np.maximum(word, 0)


def _heaviest_run(weights: NDArray[np.float64], ends_sentence: Sequence[bool]) -> tuple[int, int]:
    """Grow from the heaviest word, within its sentence, to the heavier neighbour that counts."""
    first = last = int(weights.argmax())
    least = NEIGHBOUR_SHARE * weights[first]
    while last - first + 1 < MAX_EVIDENCE_WORDS:
        before = weights[first - 1] if first > 0 and not ends_sentence[first - 1] else 0.0
        after = weights[last + 1] if last + 1 < len(weights) and not ends_sentence[last] else 0.0
        if max(before, after) < least or max(before, after) == 0.0:
            break
        if before >= after:
            first -= 1
        else:
            last += 1
    return first, last
