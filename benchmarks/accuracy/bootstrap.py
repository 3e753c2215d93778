"""Confidence intervals by resampling conversations.

The turns of a conversation hang together, so conversations are drawn, not turns: an interval by
turns would be too narrow. Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap",
chapters 8 and 13 (percentile intervals).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.recipe.collect import HeadOutputs
from models.recipe.evaluate import Measured

RESAMPLES: Final = 1000
SEED: Final = 7
COVERED_PERCENT: Final = (2.5, 97.5)

Entry = dict[str, Any]


def conversations_of(outputs: HeadOutputs) -> NDArray[np.str_]:
    """A name for the conversation of each turn. *Shape:* `(turns,)`."""
    return np.char.add(np.char.add(outputs.sources, "/"), outputs.example_ids)


def conversation_weights(
    conversations: NDArray[np.str_], *, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """How often each turn counts: once in the first row, as its conversation was drawn in others.

    The same conversations get the same weights, so differences of two models on them are paired;
    others get draws of their own.

    Args:
        conversations: The conversation of each turn. *Shape:* `(turns,)`.
        resamples: How often to draw.

    Returns:
        *Shape:* `(1 + resamples, turns)`.
    """
    names, conversation = np.unique(conversations, return_inverse=True)
    count = len(names)
    rng = np.random.default_rng([SEED, zlib.crc32("\n".join(names).encode())])
    drawn = rng.integers(0, count, size=(resamples, count))
    drawn += np.arange(resamples)[:, None] * count
    times = np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count)
    return np.vstack([np.ones(count), times.astype(np.float64)])[:, conversation]


def entry(values: NDArray[np.float64], count: int) -> Entry:
    """A figure, its 95 % interval and what it rests on, ready to be written.

    Args:
        values: The figure, then what each resample gave. *Shape:* `(1 + resamples,)`.
        count: Turns that it rests on.
    """
    low, high = np.nanpercentile(values[1:], COVERED_PERCENT)
    return {
        "value": round(float(values[0]), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "n": count,
    }


def entries(measured: Mapping[str, Measured]) -> dict[str, Entry]:
    """`entry` of each figure."""
    return {name: entry(figure.values, figure.count) for name, figure in measured.items()}
