"""Figures of a model on the report split: nothing is fitted here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, cohen_kappa_score, f1_score, recall_score

from models.recipe.collect import HeadOutputs
from models.recipe.examples import UNKNOWN
from moodline.artifact import Calibration
from moodline.scoring import escalation_probabilities, sigmoid, softmax

MIN_TURNS: Final = 20
"""A figure on fewer labelled turns would be noise and is left out."""

Figures = dict[str, float]


def evaluate(outputs: HeadOutputs, calibration: Calibration) -> dict[str, dict[str, Figures]]:
    """Figures by source, then by language and for `all` of them."""
    result: dict[str, dict[str, Figures]] = {}
    for source in sorted(set(outputs.sources)):
        of_source = outputs.where(outputs.sources == source)
        languages = sorted(set(of_source.languages))
        parts = {"all": head_figures(of_source, calibration)}
        if len(languages) > 1:
            for language in languages:
                part = of_source.where(of_source.languages == language)
                parts[language] = head_figures(part, calibration)
        result[source] = parts
    return result


def head_figures(outputs: HeadOutputs, calibration: Calibration) -> Figures:
    """All figures that the labels allow; keys are `head_metric`."""
    figures: Figures = {"turn_count": float(len(outputs.sources))}
    t = calibration.temperatures
    labels = outputs.labels
    grades = softmax(outputs.logits["sentiment"] / t["sentiment"])
    coarse = np.stack([grades[:, :2].sum(1), grades[:, 2], grades[:, 3:].sum(1)], axis=1)

    coarse_labels = labels["coarse_sentiment"].copy()
    fine = labels["sentiment"] != UNKNOWN
    coarse_labels[fine] = np.array([0, 0, 1, 2, 2])[labels["sentiment"][fine]]
    known = coarse_labels != UNKNOWN
    if known.sum() >= MIN_TURNS:
        classes = sorted(set(coarse_labels[known]))
        predicted = coarse[known].argmax(1)
        truth = coarse_labels[known]
        figures["sentiment3_macro_f1"] = _macro_f1(truth, predicted, classes)
        figures["sentiment3_macro_recall"] = float(
            recall_score(truth, predicted, labels=classes, average="macro", zero_division=0)
        )
        figures["sentiment3_ece"] = expected_calibration_error(coarse[known], truth)
    for head, probabilities in (
        ("sentiment", grades),
        ("urgency", softmax(outputs.logits["urgency"] / t["urgency"])),
        ("stage", softmax(outputs.logits["stage"] / t["stage"])),
        ("csat", softmax(outputs.logits["csat"] / t["csat"])),
    ):
        known = labels[head] != UNKNOWN
        if head == "csat":
            known &= outputs.is_last
        if known.sum() < MIN_TURNS:
            continue
        truth, predicted = labels[head][known], probabilities[known].argmax(1)
        figures[f"{head}_macro_f1"] = _macro_f1(truth, predicted, sorted(set(truth)))
        figures[f"{head}_ece"] = expected_calibration_error(probabilities[known], truth)
        if head != "stage":
            figures[f"{head}_qwk"] = _qwk(truth, predicted)
        if head == "csat":
            expected = probabilities[known] @ np.arange(5)
            figures["csat_mean_absolute_error"] = float(np.abs(expected - truth).mean())
    figures.update(_tag_figures(outputs, calibration))
    figures.update(_escalation_figures(outputs, calibration))
    return {name: round(value, 4) for name, value in figures.items()}


def _macro_f1(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: Sequence[int]
) -> float:
    return float(f1_score(truth, predicted, labels=classes, average="macro", zero_division=0))


def _qwk(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    value = cohen_kappa_score(truth, predicted, weights="quadratic")
    return 0.0 if np.isnan(value) else float(value)


def _tag_figures(outputs: HeadOutputs, calibration: Calibration) -> Figures:
    known = outputs.labels["tags"][:, 0] != UNKNOWN
    if known.sum() < MIN_TURNS:
        return {}
    truth = outputs.labels["tags"][known] == 1
    given = sigmoid(outputs.logits["tags"][known] / calibration.temperatures["tags"]) >= np.array(
        calibration.tag_thresholds
    )
    seen = truth.any(axis=0)
    return {
        "tags_micro_f1": float(f1_score(truth, given, average="micro", zero_division=0)),
        "tags_macro_f1": float(
            f1_score(truth[:, seen], given[:, seen], average="macro", zero_division=0)
        ),
    }


def _escalation_figures(outputs: HeadOutputs, calibration: Calibration) -> Figures:
    """Conversation level: what stands after the last customer turn."""
    known = (outputs.labels["escalation"] != UNKNOWN) & outputs.is_last
    if known.sum() < MIN_TURNS:
        return {}
    truth = outputs.labels["escalation"][known]
    probabilities = escalation_probabilities(
        outputs.logits["escalation"][known] / calibration.temperatures["escalation"]
    )
    at_least_watch = 1.0 - probabilities[:, 0]
    level = np.where(
        probabilities[:, 2] >= calibration.escalate_threshold,
        2,
        np.where(at_least_watch >= calibration.watch_threshold, 1, 0),
    )
    figures = {
        "escalation_macro_f1": _macro_f1(truth, level, sorted(set(truth))),
        "escalation_ece": expected_calibration_error(probabilities, truth),
    }
    if 0 < (truth == 2).sum() < len(truth):
        figures["escalate_average_precision"] = float(
            average_precision_score(truth == 2, probabilities[:, 2])
        )
    if 0 < (truth >= 1).sum() < len(truth):
        figures["at_least_watch_average_precision"] = float(
            average_precision_score(truth >= 1, at_least_watch)
        )
    return figures


def expected_calibration_error(
    probabilities: NDArray[np.float64], truth: NDArray[np.int64], *, bin_count: int = 15
) -> float:
    """Mean gap between confidence and accuracy of the chosen class, over equal-width bins.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * bin_count).astype(int), bin_count - 1)
    error = 0.0
    for index in range(bin_count):
        inside = bins == index
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    return float(error)
