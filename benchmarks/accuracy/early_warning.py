"""How far ahead early warnings see, on whole conversations.

A conversation is warned of when the probability first exceeds a threshold, chosen so that a given
share of the conversations that never reach ESCALATE is warned of too. What a warning is worth
beyond the escalation head is told by the same figures of P(ESCALATE) on the same turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.bootstrap import conversation_weights, conversations_of, entry
from models.recipe import metrics
from models.recipe.collect import HeadOutputs
from models.recipe.examples import UNKNOWN
from moodline.artifact import Calibration
from moodline.scoring import escalation_probabilities, sigmoid

FALSE_ALARM_SHARES: Final = (0.1, 0.2)
"""Of the conversations that never escalate, how many may be warned of."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Course:
    """The customer turns of a conversation before ESCALATE holds, in order.

    Attributes:
        scores: Of each turn. *Shape:* `(turns,)`.
        escalates: Whether ESCALATE holds from the turn after them on.
    """

    scores: NDArray[np.float64]
    escalates: bool


def measure_early_warning(outputs: HeadOutputs, calibration: Calibration) -> Json:
    """Figures of the early warning and, to compare, of P(ESCALATE) before it holds."""
    warning = sigmoid(outputs.logits["early_warning"][:, 0])
    escalate = escalation_probabilities(
        outputs.logits["escalation"] / calibration.temperatures["escalation"]
    )[:, 2]
    known = np.flatnonzero(outputs.labels["early_warning"] != UNKNOWN)
    truth = outputs.labels["early_warning"][known] == 1
    if not truth.any():
        return {}
    weights = conversation_weights(conversations_of(outputs))[:, known]
    result: Json = {
        "turns": len(known),
        "share_before_escalation": round(float(truth.mean()), 4),
        "scores": {},
    }
    for name, score in (("early_warning", warning), ("escalation", escalate)):
        precision = metrics.average_precision(score[known], truth, weights)
        found = courses(outputs, score)
        result["scores"][name] = {
            "average_precision": entry(precision, len(known)),
            "lead": [lead(found, share) for share in FALSE_ALARM_SHARES],
        }
    return result


def courses(outputs: HeadOutputs, score: NDArray[np.float64]) -> list[Course]:
    """Each conversation up to its escalation; those that escalate at once have no turn before."""
    conversations = conversations_of(outputs)
    level = outputs.labels["escalation"]
    found = []
    for name in np.unique(conversations[level != UNKNOWN]):
        rows = np.flatnonzero(conversations == name)
        rows = rows[np.argsort(outputs.turn_indices[rows])]
        before = rows[level[rows] != 2]
        found.append(Course(score[before], escalates=len(before) < len(rows)))
    return found


def lead(found: Sequence[Course], false_alarm_share: float) -> Json:
    """How many escalations are warned of, and how many customer turns before.

    Args:
        found: The conversations.
        false_alarm_share: Of those that never escalate, how many may be warned of, in (0, 1).
    """
    quiet = np.array([course.scores.max() for course in found if not course.escalates])
    threshold = float(np.quantile(quiet, 1.0 - false_alarm_share, method="higher"))
    escalating = [course for course in found if course.escalates]
    leads = [
        len(course.scores) - int(np.argmax(course.scores > threshold))
        for course in escalating
        if (course.scores > threshold).any()
    ]
    return {
        "false_alarm_share": false_alarm_share,
        "threshold": round(threshold, 4),
        "quiet_conversations": len(quiet),
        "escalating_conversations": len(escalating),
        "escalating_at_once": sum(not len(course.scores) for course in escalating),
        "warned": len(leads),
        "median_lead_turns": float(np.median(leads)) if leads else None,
    }
