"""From logits to calibrated scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moodline.artifact import Calibration, Labels
from moodline.domain import EscalationLevel, SentimentLabel, UrgencyLevel
from moodline.engine import HEADS
from moodline.scoring import TurnLogits, escalation_probabilities, score_turn

LABELS = Labels(
    sentiment=tuple(SentimentLabel),
    urgency=tuple(UrgencyLevel),
    escalation=tuple(EscalationLevel),
    stage=("none", "support", "renewal"),
    tags=("billing", "praise"),
)
CALIBRATION = Calibration(
    temperatures=dict.fromkeys(HEADS, 1.0),
    tag_thresholds=(0.5, 0.9),
    watch_threshold=0.5,
    escalate_threshold=0.4,
)


def logits(**given: list[float]) -> TurnLogits:
    flat = {
        "sentiment": [0.0] * 5,
        "urgency": [0.0] * 4,
        "stage": [0.0] * 3,
        "tags": [-9.0] * 2,
        "escalation": [-9.0] * 2,
        "csat": [0.0] * 5,
        "early_warning": [0.0],
    }
    return {name: np.array(given.get(name, values), np.float32) for name, values in flat.items()}


def test_even_grades_score_zero_and_extreme_ones_one() -> None:
    even = score_turn(logits(), labels=LABELS, calibration=CALIBRATION)
    best = score_turn(logits(sentiment=[0, 0, 0, 0, 50]), labels=LABELS, calibration=CALIBRATION)
    assert even.sentiment.score == pytest.approx(0.0)
    assert best.sentiment.score == pytest.approx(1.0)
    assert best.sentiment.label is SentimentLabel.VERY_POSITIVE


@given(arrays(np.float32, 5, elements=st.floats(-20, 20, width=32)))
def test_sentiment_probabilities_sum_to_one_and_bound_the_score(values: np.ndarray) -> None:
    scores = score_turn(logits(sentiment=list(values)), labels=LABELS, calibration=CALIBRATION)
    assert sum(scores.sentiment.probabilities.values()) == pytest.approx(1.0)
    assert -1.0 <= scores.sentiment.score <= 1.0


def test_a_temperature_softens_but_keeps_the_label() -> None:
    warm = CALIBRATION.model_copy(
        update={"temperatures": {**CALIBRATION.temperatures, "sentiment": 3.0}}
    )
    given_logits = logits(sentiment=[0, 3, 0, 0, 0])
    sharp = score_turn(given_logits, labels=LABELS, calibration=CALIBRATION).sentiment
    soft = score_turn(given_logits, labels=LABELS, calibration=warm).sentiment
    assert sharp.label is soft.label is SentimentLabel.NEGATIVE
    assert soft.probabilities[soft.label] < sharp.probabilities[sharp.label]


def test_tags_are_given_from_their_own_threshold_the_most_probable_first() -> None:
    def names(values: list[float]) -> list[str]:
        scores = score_turn(logits(tags=values), labels=LABELS, calibration=CALIBRATION)
        return [tag.name for tag in scores.tags]

    assert names([0.1, 2.0]) == ["billing"]  # P(praise) = 0.88 is below its 0.9
    assert names([0.1, 3.0]) == ["praise", "billing"]
    assert names([-1.0, -1.0]) == []


@given(arrays(np.float64, (3, 2), elements=st.floats(-30, 30)))
def test_escalation_levels_never_contradict_each_other(values: np.ndarray) -> None:
    probabilities = escalation_probabilities(values)
    assert probabilities.shape == (3, 3)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ([-3.0, 0.0], EscalationLevel.NONE),
        ([2.0, -2.0], EscalationLevel.WATCH),
        ([2.0, 1.0], EscalationLevel.ESCALATE),
    ],
)
def test_the_thresholds_choose_the_escalation_level(
    values: list[float], level: EscalationLevel
) -> None:
    scores = score_turn(logits(escalation=values), labels=LABELS, calibration=CALIBRATION)
    assert scores.escalation.level is level
    assert scores.escalation.probability == pytest.approx(
        scores.escalation.probabilities[EscalationLevel.ESCALATE]
    )


@pytest.mark.parametrize(
    ("escalation", "expected"), [([-3.0, 0.0], 0.5), ([2.0, -2.0], 0.5), ([2.0, 1.0], None)]
)
def test_an_early_warning_is_given_until_the_conversation_has_escalated(
    escalation: list[float], expected: float | None
) -> None:
    scores = score_turn(logits(escalation=escalation), labels=LABELS, calibration=CALIBRATION)
    assert scores.escalation.early_warning == pytest.approx(expected)


def test_an_early_warning_is_calibrated() -> None:
    cool = replace(CALIBRATION, 4.0)
    warm = score_turn(logits(early_warning=[2.0]), labels=LABELS, calibration=CALIBRATION)
    soft = score_turn(logits(early_warning=[2.0]), labels=LABELS, calibration=cool)
    assert warm.escalation.early_warning == pytest.approx(1 / (1 + np.exp(-2.0)))
    assert soft.escalation.early_warning == pytest.approx(1 / (1 + np.exp(-0.5)))


def replace(calibration: Calibration, early_warning: float) -> Calibration:
    temperatures = {**calibration.temperatures, "early_warning": early_warning}
    return calibration.model_copy(update={"temperatures": temperatures})


def test_expected_csat_is_the_mean_of_the_grades() -> None:
    even = score_turn(logits(), labels=LABELS, calibration=CALIBRATION)
    worst = score_turn(logits(csat=[50, 0, 0, 0, 0]), labels=LABELS, calibration=CALIBRATION)
    assert even.expected_csat == pytest.approx(3.0)
    assert worst.expected_csat == pytest.approx(1.0)
