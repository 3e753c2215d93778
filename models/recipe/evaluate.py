"""Figures of a model on labelled turns: nothing is fitted here.

The card takes them as they are, the accuracy benchmark besides on resamples of the conversations:
both from `measure`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.recipe import metrics
from models.recipe.collect import HeadOutputs
from models.recipe.examples import UNKNOWN
from models.recipe.labels import TAGS
from moodline.artifact import Calibration
from moodline.scoring import escalation_probabilities, sigmoid, softmax

MIN_TURNS: Final = 20
"""A figure on fewer labelled turns would be noise and is left out."""

ORDERED_HEADS: Final = ("sentiment", "urgency", "csat")
"""Heads whose classes are grades, so that a near miss counts as one."""

_COARSE_OF_GRADE: Final = np.array([0, 0, 1, 2, 2])

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Answers:
    """What one head says where its label is known.

    Attributes:
        rows: Which turns of the outputs. *Shape:* `(answers,)`.
        truth: *Shape:* `(answers,)`.
        predicted: The class that is reported. *Shape:* `(answers,)`.
        probabilities: Calibrated. *Shape:* `(answers, classes)`.
    """

    rows: NDArray[np.int64]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @property
    def class_count(self) -> int:
        """Classes of the head."""
        return self.probabilities.shape[1]

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the most probable class."""
        highest: NDArray[np.float64] = self.probabilities.max(axis=1)
        return highest

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        """Whether the most probable class is the truth."""
        return self.probabilities.argmax(axis=1) == self.truth


@dataclass(frozen=True, slots=True)
class TagAnswers:
    """Which tags are given where at least one is known to hold or not. *Shape:* `(answers, tags)`.

    Attributes:
        rows: Which turns of the outputs. *Shape:* `(answers,)`.
        is_known: Whether the tag's label is known.
        truth: Whether it holds; False where unknown.
        given: Whether the model gives it and its label is known.
        probabilities: Calibrated.
    """

    rows: NDArray[np.int64]
    is_known: NDArray[np.bool_]
    truth: NDArray[np.bool_]
    given: NDArray[np.bool_]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure.

    Attributes:
        values: Under each row of weights. *Shape:* `(resamples,)`.
        count: Turns, or decisions, that it rests on.
    """

    values: NDArray[np.float64]
    count: int


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
    turn_count = len(outputs.sources)
    measured = measure(outputs, calibration, np.ones((1, turn_count)))
    return {
        "turn_count": float(turn_count),
        **{name: round(float(figure.values[0]), 4) for name, figure in measured.items()},
    }


def measure(
    outputs: HeadOutputs, calibration: Calibration, weights: NDArray[np.float64]
) -> dict[str, Measured]:
    """Every figure that the labels allow, under each row of weights.

    Args:
        outputs: Logits and labels.
        calibration: Temperatures and thresholds.
        weights: *Shape:* `(resamples, turns)`.

    Returns:
        By `head_metric`; what rests on fewer than `MIN_TURNS` turns, or on turns that are all of
        one class, is left out.
    """
    figures: dict[str, Measured] = {}
    for head, given in answers(outputs, calibration).items():
        count = len(given.rows)
        if count < MIN_TURNS or len(np.unique(given.truth)) < 2:
            continue
        w = weights[:, given.rows]
        counts = metrics.confusion(given.truth, given.predicted, given.class_count, w)
        values = {f"{head}_macro_f1": metrics.macro_f1(counts)} if head != "early_warning" else {}
        if head == "sentiment3":
            values["sentiment3_macro_recall"] = metrics.macro_recall(counts)
        if head in ORDERED_HEADS:
            values[f"{head}_qwk"] = metrics.quadratic_weighted_kappa(counts)
        if head == "csat":
            error = np.abs(given.probabilities @ np.arange(given.class_count) - given.truth)
            values["csat_mean_absolute_error"] = w @ error / w.sum(axis=1)
        if head == "escalation":
            values |= _escalation_precision(given, w)
        if head == "early_warning":
            values["early_warning_average_precision"] = metrics.average_precision(
                given.probabilities[:, 1], given.truth == 1, w
            )
        values[f"{head}_ece"] = metrics.expected_calibration_error(
            given.confidence, given.is_correct, w
        )
        figures |= {name: Measured(value, count) for name, value in values.items()}
    tags = tag_answers(outputs, calibration)
    if len(tags.rows) >= MIN_TURNS:
        counted = _tag_counts(tags, weights)
        probabilities, truth, row = _tag_decisions(tags)
        for name, value in (
            ("tags_micro_f1", metrics.micro_f1(*counted)),
            ("tags_macro_f1", metrics.macro_tag_f1(*counted)),
            (
                "tags_ece",
                metrics.expected_calibration_error(probabilities, truth, weights[:, row]),
            ),
        ):
            figures[name] = Measured(value, len(tags.rows))
    return figures


def measure_tags(
    outputs: HeadOutputs, calibration: Calibration, weights: NDArray[np.float64]
) -> dict[str, Measured]:
    """F1 of each tag that is true somewhere; `count` is how often."""
    tags = tag_answers(outputs, calibration)
    f1 = metrics.tag_f1(*_tag_counts(tags, weights))
    holds = tags.truth.sum(axis=0)
    return {
        name: Measured(f1[:, index], int(holds[index]))
        for index, name in enumerate(TAGS)
        if holds[index]
    }


def answers(outputs: HeadOutputs, calibration: Calibration) -> dict[str, Answers]:
    """What the heads with one class a turn say, by head.

    An early warning is a probability alone, so what is predicted is what is likelier.

    `sentiment3` groups the five grades of `sentiment` by sign. CSAT and escalation are of whole
    conversations: what stands after the last customer turn.
    """
    logits, labels, t = outputs.logits, outputs.labels, calibration.temperatures
    grades = softmax(logits["sentiment"] / t["sentiment"])
    coarse = np.stack([grades[:, :2].sum(1), grades[:, 2], grades[:, 3:].sum(1)], axis=1)
    is_graded = labels["sentiment"] != UNKNOWN
    coarse_labels = np.where(
        is_graded, _COARSE_OF_GRADE[labels["sentiment"]], labels["coarse_sentiment"]
    )
    escalation = escalation_probabilities(logits["escalation"] / t["escalation"])
    level = np.where(
        escalation[:, 2] >= calibration.escalate_threshold,
        2,
        (1.0 - escalation[:, 0] >= calibration.watch_threshold).astype(int),
    )
    always = np.ones(len(grades), bool)
    soon = sigmoid(logits["early_warning"][:, 0] / t["early_warning"])
    found = {
        "sentiment3": _answers(coarse, coarse_labels, always),
        "sentiment": _answers(grades, labels["sentiment"], always),
        "urgency": _answers(softmax(logits["urgency"] / t["urgency"]), labels["urgency"], always),
        "stage": _answers(softmax(logits["stage"] / t["stage"]), labels["stage"], always),
        "csat": _answers(softmax(logits["csat"] / t["csat"]), labels["csat"], outputs.is_last),
        "escalation": _answers(escalation, labels["escalation"], outputs.is_last, predicted=level),
        "early_warning": _answers(
            np.stack([1.0 - soon, soon], axis=1), labels["early_warning"], always
        ),
    }
    return {head: given for head, given in found.items() if len(given.rows)}


def tag_answers(outputs: HeadOutputs, calibration: Calibration) -> TagAnswers:
    """Which tags are given, where the label of at least one is known."""
    rows = np.flatnonzero((outputs.labels["tags"] != UNKNOWN).any(axis=1))
    labels = outputs.labels["tags"][rows]
    probabilities = sigmoid(outputs.logits["tags"][rows] / calibration.temperatures["tags"])
    is_known = labels != UNKNOWN
    is_given = probabilities >= np.array(calibration.tag_thresholds)
    return TagAnswers(rows, is_known, labels == 1, is_given & is_known, probabilities)


def reliability(
    outputs: HeadOutputs, calibration: Calibration
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Confidence of each head's answers and whether they are right, by head.

    Of the tags every decision counts: its probability, and whether the tag holds.
    """
    pairs = {
        head: (given.confidence, given.is_correct)
        for head, given in answers(outputs, calibration).items()
    }
    probabilities, truth, _ = _tag_decisions(tag_answers(outputs, calibration))
    return pairs | ({"tags": (probabilities, truth)} if len(truth) else {})


def _answers(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    is_counted: NDArray[np.bool_],
    *,
    predicted: NDArray[np.int64] | None = None,
) -> Answers:
    rows = np.flatnonzero((labels != UNKNOWN) & is_counted)
    chosen = probabilities.argmax(axis=1) if predicted is None else predicted
    return Answers(rows, labels[rows], chosen[rows], probabilities[rows])


def _escalation_precision(
    given: Answers, weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    values = {}
    for name, score, truth in (
        ("escalate", given.probabilities[:, 2], given.truth == 2),
        ("at_least_watch", 1.0 - given.probabilities[:, 0], given.truth >= 1),
    ):
        if 0 < truth.sum() < len(truth):
            values[f"{name}_average_precision"] = metrics.average_precision(score, truth, weights)
    return values


def _tag_counts(
    tags: TagAnswers, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    w = weights[:, tags.rows]
    return w @ (tags.truth & tags.given).astype(float), w @ tags.truth, w @ tags.given


def _tag_decisions(
    tags: TagAnswers,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Probability, truth and turn of every tag whose label is known."""
    row = np.repeat(tags.rows, tags.is_known.sum(axis=1))
    return tags.probabilities[tags.is_known], tags.truth[tags.is_known], row
