"""Fits temperatures and thresholds on the calibration split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from models.recipe.collect import HeadOutputs
from models.recipe.examples import UNKNOWN
from models.recipe.labels import TAGS
from moodline.artifact import Calibration
from moodline.scoring import escalation_probabilities, sigmoid, softmax

MIN_TAG_EXAMPLES: Final = 8
"""A tag seen less often on the calibration split keeps the default threshold."""
DEFAULT_TAG_THRESHOLD: Final = 0.4
_THRESHOLDS: Final = np.linspace(0.1, 0.8, 29)
_EPS: Final = 1e-9


def fit_calibration(outputs: HeadOutputs) -> Calibration:
    """Fit one temperature a head by likelihood, then thresholds by F1.

    Temperature scaling keeps the order of the classes. Source: Guo et al. 2017, "On Calibration of
    Modern Neural Networks".
    """
    labels = outputs.labels
    temperatures = {
        "sentiment": _fit(lambda t: _sentiment_loss(outputs, t)),
        "urgency": _fit(lambda t: _class_loss(outputs.logits["urgency"], labels["urgency"], t)),
        "stage": _fit(lambda t: _class_loss(outputs.logits["stage"], labels["stage"], t)),
        "csat": _fit(lambda t: _class_loss(outputs.logits["csat"], labels["csat"], t)),
        "tags": _fit(lambda t: _tags_loss(outputs, t)),
        "escalation": _fit(lambda t: _escalation_loss(outputs, t)),
        "early_warning": _fit(lambda t: _early_warning_loss(outputs, t)),
    }
    known = labels["escalation"] != UNKNOWN
    escalation = escalation_probabilities(
        outputs.logits["escalation"][known] / temperatures["escalation"]
    )
    level = labels["escalation"][known]
    return Calibration(
        temperatures=temperatures,
        tag_thresholds=_tag_thresholds(outputs, temperatures["tags"]),
        watch_threshold=_best_threshold(1.0 - escalation[:, 0], level >= 1),
        escalate_threshold=_best_threshold(escalation[:, 2], level == 2),
    )


def _fit(loss: Callable[[float], float]) -> float:
    found = minimize_scalar(loss, bounds=(0.3, 4.0), method="bounded")
    return round(float(found.x), 4)


def _class_loss(logits: NDArray[np.float64], labels: NDArray[np.int64], t: float) -> float:
    known = labels != UNKNOWN
    probabilities = softmax(logits[known] / t)
    chosen = probabilities[np.arange(known.sum()), labels[known]]
    return float(-np.log(chosen + _EPS).mean())


def _sentiment_loss(outputs: HeadOutputs, t: float) -> float:
    """Five grades where they are labelled, three groups where only those are, equally weighted."""
    logits, labels = outputs.logits["sentiment"], outputs.labels
    coarse_known = labels["coarse_sentiment"] != UNKNOWN
    grades = softmax(logits[coarse_known] / t)
    coarse = np.stack([grades[:, :2].sum(1), grades[:, 2], grades[:, 3:].sum(1)], axis=1)
    chosen = coarse[np.arange(len(coarse)), labels["coarse_sentiment"][coarse_known]]
    coarse_loss = float(-np.log(chosen + _EPS).mean()) if len(chosen) else 0.0
    return _class_loss(logits, labels["sentiment"], t) + coarse_loss


def _tags_loss(outputs: HeadOutputs, t: float) -> float:
    known = (outputs.labels["tags"] != UNKNOWN).all(axis=1)
    p = sigmoid(outputs.logits["tags"][known] / t)
    y = outputs.labels["tags"][known]
    return float(-(y * np.log(p + _EPS) + (1 - y) * np.log(1 - p + _EPS)).mean())


def _escalation_loss(outputs: HeadOutputs, t: float) -> float:
    known = outputs.labels["escalation"] != UNKNOWN
    p = escalation_probabilities(outputs.logits["escalation"][known] / t)
    chosen = p[np.arange(known.sum()), outputs.labels["escalation"][known]]
    return float(-np.log(chosen + _EPS).mean())


def _early_warning_loss(outputs: HeadOutputs, t: float) -> float:
    labels = outputs.labels["early_warning"]
    known = labels != UNKNOWN
    p = sigmoid(outputs.logits["early_warning"][known, 0] / t)
    chosen = np.where(labels[known] == 1, p, 1 - p)
    return float(-np.log(chosen + _EPS).mean())


def _best_threshold(probability: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    def f1(threshold: float) -> float:
        given = probability >= threshold
        return float(2 * (given & truth).sum() / max(1, given.sum() + truth.sum()))

    return round(float(max(_THRESHOLDS, key=f1)), 4)


def _tag_thresholds(outputs: HeadOutputs, t: float) -> tuple[float, ...]:
    known = (outputs.labels["tags"] != UNKNOWN).all(axis=1)
    probability = sigmoid(outputs.logits["tags"][known] / t)
    truth = outputs.labels["tags"][known] == 1
    return tuple(
        _best_threshold(probability[:, i], truth[:, i])
        if truth[:, i].sum() >= MIN_TAG_EXAMPLES
        else DEFAULT_TAG_THRESHOLD
        for i in range(len(TAGS))
    )
