"""Logits of the conversation head to calibrated scores; pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from moodline.artifact import Calibration, Labels
from moodline.domain import (
    Escalation,
    EscalationLevel,
    Evidence,
    NamedProbability,
    Sentiment,
    TurnScores,
    Urgency,
)

TurnLogits = Mapping[str, NDArray[np.float32]]
"""Logits of one turn by head name; each of *shape* `(n,)`."""


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of the last dimension's classes."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of each logit, without overflow for large negative ones."""
    probabilities: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return probabilities


def escalation_probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(NONE), P(WATCH), P(ESCALATE) from the two continuation-ratio logits.

    The first is the logit of P(at least WATCH), the second that of P(ESCALATE | at least WATCH),
    so the levels can never contradict each other.

    Args:
        logits: *Shape:* `(..., 2)`.

    Source: Agresti, Categorical Data Analysis, "Continuation-ratio logit models".
    """
    at_least_watch, escalate_given_watch = np.moveaxis(sigmoid(logits), -1, 0)
    escalate = at_least_watch * escalate_given_watch
    return np.stack([1.0 - at_least_watch, at_least_watch - escalate, escalate], axis=-1)


def score_turn(
    logits: TurnLogits,
    *,
    labels: Labels,
    calibration: Calibration,
    evidence: tuple[Evidence, ...] = (),
) -> TurnScores:
    """Calibrate the logits of one customer turn.

    Args:
        logits: Of all heads.
        labels: Label order of each head.
        calibration: Temperatures and thresholds.
        evidence: The words that the scores rest on.
    """
    scaled = {
        name: values.astype(np.float64) / calibration.temperatures[name]
        for name, values in logits.items()
    }
    sentiment = softmax(scaled["sentiment"])
    grades = np.linspace(-1.0, 1.0, len(labels.sentiment))
    urgency = softmax(scaled["urgency"])
    stage = softmax(scaled["stage"])
    csat = softmax(scaled["csat"])
    tags = sigmoid(scaled["tags"])
    return TurnScores(
        sentiment=Sentiment(
            label=labels.sentiment[int(sentiment.argmax())],
            score=float(sentiment @ grades),
            probabilities=dict(zip(labels.sentiment, sentiment.tolist(), strict=True)),
        ),
        urgency=Urgency(
            level=labels.urgency[int(urgency.argmax())],
            probabilities=dict(zip(labels.urgency, urgency.tolist(), strict=True)),
        ),
        stage=NamedProbability(labels.stage[int(stage.argmax())], float(stage.max())),
        tags=_tags(tags, labels, calibration),
        escalation=_escalation(
            escalation_probabilities(scaled["escalation"]),
            calibration,
            early_warning=float(sigmoid(scaled["early_warning"])[0]),
        ),
        expected_csat=float(csat @ np.arange(1, len(csat) + 1)),
        evidence=evidence,
        tag_probabilities=dict(zip(labels.tags, tags.tolist(), strict=True)),
    )


def _tags(
    probabilities: NDArray[np.float64], labels: Labels, calibration: Calibration
) -> tuple[NamedProbability, ...]:
    given = [
        NamedProbability(name, probability)
        for name, probability, threshold in zip(
            labels.tags, probabilities.tolist(), calibration.tag_thresholds, strict=True
        )
        if probability >= threshold
    ]
    return tuple(sorted(given, key=lambda tag: -tag.probability))


def _escalation(
    probabilities: NDArray[np.float64], calibration: Calibration, *, early_warning: float
) -> Escalation:
    none, watch, escalate = probabilities.tolist()
    if escalate >= calibration.escalate_threshold:
        level = EscalationLevel.ESCALATE
    elif watch + escalate >= calibration.watch_threshold:
        level = EscalationLevel.WATCH
    else:
        level = EscalationLevel.NONE
    return Escalation(
        level=level,
        probability=escalate,
        probabilities={
            EscalationLevel.NONE: none,
            EscalationLevel.WATCH: watch,
            EscalationLevel.ESCALATE: escalate,
        },
        early_warning=None if level is EscalationLevel.ESCALATE else early_warning,
    )
