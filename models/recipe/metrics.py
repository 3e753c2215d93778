"""Arithmetic of the figures, every one from weighted turns; pure.

`weights` has one row a resample and one column a turn: a row of ones gives the figure itself, rows
of counts give what a bootstrap found, and all resamples cost one matrix product.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

ECE_BIN_COUNT: Final = 15
"""Equal-width bins of confidence. Source: Guo et al. 2017, "On Calibration of Modern Neural
Networks", section 4."""

Floats = NDArray[np.float64]


def confusion(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], class_count: int, weights: Floats
) -> Floats:
    """Count what was predicted for what is true.

    Args:
        truth: *Shape:* `(turns,)`.
        predicted: *Shape:* `(turns,)`.
        class_count: Of the head.
        weights: *Shape:* `(resamples, turns)`.

    Returns:
        *Shape:* `(resamples, class_count, class_count)`; rows are the truth.
    """
    cells = np.eye(class_count**2)[truth * class_count + predicted]
    return (weights @ cells).reshape(-1, class_count, class_count)


def macro_f1(counts: Floats) -> Floats:
    """Mean F1 of the classes that the truth of a resample holds.

    Args:
        counts: *Shape:* `(resamples, classes, classes)`, rows are the truth.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    actual, given = counts.sum(-1), counts.sum(-2)
    return _mean_where(_ratio(2 * right, actual + given), actual > 0)


def macro_recall(counts: Floats) -> Floats:
    """Mean recall of the classes that the truth of a resample holds."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    actual = counts.sum(-1)
    return _mean_where(_ratio(right, actual), actual > 0)


def quadratic_weighted_kappa(counts: Floats) -> Floats:
    """Agreement on an ordered scale beyond chance; 0 where chance leaves no room.

    Source: Cohen 1968, "Weighted kappa".
    """
    grades = np.arange(counts.shape[-1])
    distance = (grades[:, None] - grades[None]) ** 2
    actual, given = counts.sum(-1), counts.sum(-2)
    observed = (counts * distance).sum((-2, -1))
    expected = (actual[..., :, None] * given[..., None, :] * distance).sum((-2, -1))
    share = _ratio(observed * counts.sum((-2, -1)), expected)
    return np.where(expected > 0, 1.0 - share, 0.0)


def tag_f1(right: Floats, actual: Floats, given: Floats) -> Floats:
    """F1 of each tag from weighted counts of any shape; 0 for one neither true nor given."""
    return _ratio(2 * right, actual + given)


def micro_f1(right: Floats, actual: Floats, given: Floats) -> Floats:
    """F1 over all tags together. *Shape:* of the arguments `(resamples, tags)`."""
    return tag_f1(right.sum(-1), actual.sum(-1), given.sum(-1))


def macro_tag_f1(right: Floats, actual: Floats, given: Floats) -> Floats:
    """Mean F1 of the tags that are true somewhere in a resample."""
    return _mean_where(tag_f1(right, actual, given), actual > 0)


def expected_calibration_error(
    confidence: Floats, is_correct: NDArray[np.bool_], weights: Floats
) -> Floats:
    """Mean gap between confidence and accuracy over the bins of confidence.

    Args:
        confidence: Probability of what was chosen, in [0, 1]. *Shape:* `(turns,)`.
        is_correct: Whether it is the truth. *Shape:* `(turns,)`.
        weights: *Shape:* `(resamples, turns)`.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    gaps = np.eye(ECE_BIN_COUNT)[confidence_bins(confidence)] * (confidence - is_correct)[:, None]
    return _ratio(np.abs(weights @ gaps).sum(-1), weights.sum(-1))


def calibration_error_of_chance(
    confidence: Floats, *, simulations: int, rng: np.random.Generator
) -> float:
    """The calibration error that a perfectly calibrated model would show on so few answers.

    The error of a finite sample is never 0: in every bin chance alone parts accuracy from
    confidence. What is above this figure is the model's.
    """
    bins = np.eye(ECE_BIN_COUNT)[confidence_bins(confidence)]
    errors = []
    for _ in range(simulations):
        is_correct = rng.random(len(confidence)) < confidence
        errors.append(np.abs((confidence - is_correct) @ bins).sum() / len(confidence))
    return float(np.mean(errors))


def confidence_bins(confidence: Floats) -> NDArray[np.int64]:
    """Bin of each confidence, from 0."""
    return np.minimum((confidence * ECE_BIN_COUNT).astype(np.int64), ECE_BIN_COUNT - 1)


def average_precision(score: Floats, truth: NDArray[np.bool_], weights: Floats) -> Floats:
    """Precision averaged over the recall that each threshold adds; NaN without a true row.

    Equal scores are one threshold. Source: Manning et al. 2008, "Introduction to Information
    Retrieval", section 8.4.

    Args:
        score: *Shape:* `(turns,)`.
        truth: *Shape:* `(turns,)`.
        weights: *Shape:* `(resamples, turns)`.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.diff(score[order]) != 0, True)
    taken = np.cumsum(weights[:, order], axis=1)[:, ends]
    right = np.cumsum(weights[:, order] * truth[order], axis=1)[:, ends]
    gained = np.diff(right, prepend=0.0, axis=1)
    area: Floats = (_ratio(right, taken) * gained).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return area / right[:, -1]


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Divide; 0 where there is nothing to divide by."""
    result: Floats = np.divide(part, whole, out=np.zeros_like(part, dtype=float), where=whole > 0)
    return result


def _mean_where(values: Floats, mask: NDArray[np.bool_]) -> Floats:
    return _ratio((values * mask).sum(-1), mask.sum(-1))
