"""The arithmetic of the accuracy figures, against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.recipe import metrics

ONCE = np.ones((1, 4))


def counts(*rows: list[int]) -> np.ndarray:
    return np.array([rows], dtype=float)


def test_confusion_counts_truth_by_row_and_weighs_turns() -> None:
    truth, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    weights = np.array([[1, 1, 1, 1], [2, 0, 3, 1]], dtype=float)
    found = metrics.confusion(truth, predicted, 3, weights)
    assert found[0].tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert found[1].tolist() == [[2, 0, 0], [0, 3, 0], [1, 0, 0]]


def test_macro_f1_and_recall_are_means_over_the_classes_that_occur() -> None:
    # F1 4/5 and 2/3, recall 1 and 1/2; the third class is never true.
    found = counts([2, 0, 0], [1, 1, 0], [0, 0, 0])
    assert metrics.macro_f1(found) == pytest.approx([(4 / 5 + 2 / 3) / 2])
    assert metrics.macro_recall(found) == pytest.approx([0.75])


def test_a_class_that_is_only_predicted_costs_the_others_their_recall() -> None:
    assert metrics.macro_f1(counts([1, 1], [0, 0])) == pytest.approx([2 / 3])


def test_kappa_weighs_a_miss_by_its_squared_distance() -> None:
    # One miss by one grade; chance would give 15/3 = 5.
    assert metrics.quadratic_weighted_kappa(
        counts([1, 0, 0], [0, 0, 1], [0, 0, 1])
    ) == pytest.approx([0.8])
    assert metrics.quadratic_weighted_kappa(counts([1, 0], [0, 3])) == pytest.approx([1.0])
    assert metrics.quadratic_weighted_kappa(counts([3, 0], [0, 0])) == pytest.approx([0.0])


def test_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    confidence = np.array([0.9, 0.9, 0.6, 0.6])
    is_correct = np.array([True, False, True, True])
    found = metrics.expected_calibration_error(confidence, is_correct, ONCE)
    assert found == pytest.approx([(0.8 + 0.8) / 4])


def test_a_certain_answer_falls_into_the_last_bin() -> None:
    assert metrics.confidence_bins(np.array([0.0, 1.0])).tolist() == [0, metrics.ECE_BIN_COUNT - 1]


def test_chance_alone_makes_the_more_calibration_error_the_fewer_answers() -> None:
    rng = np.random.default_rng(1)
    few, many = (
        metrics.calibration_error_of_chance(
            rng.uniform(0.3, 1.0, size=count), simulations=50, rng=rng
        )
        for count in (50, 20_000)
    )
    assert few > 0.05
    assert many < 0.02
    assert metrics.calibration_error_of_chance(np.ones(30), simulations=5, rng=rng) == 0.0


def test_average_precision_is_the_mean_precision_at_each_true_row() -> None:
    truth = np.array([True, False, True, False])
    score = np.array([0.9, 0.8, 0.7, 0.1])
    assert metrics.average_precision(score, truth, ONCE) == pytest.approx([(1 + 2 / 3) / 2])


def test_average_precision_of_equal_scores_does_not_depend_on_their_order() -> None:
    score = np.full(4, 0.5)
    for truth in ([True, False, False, False], [False, False, False, True]):
        assert metrics.average_precision(score, np.array(truth), ONCE) == pytest.approx([0.25])


def test_average_precision_without_a_true_row_is_no_number() -> None:
    truth = np.array([True, False, False, False])
    weights = np.array([[0.0, 1.0, 1.0, 2.0]])
    assert np.isnan(metrics.average_precision(np.arange(4.0), truth, weights)).all()


def test_tags_are_counted_together_or_each_for_itself() -> None:
    right, actual, told = (
        np.array([[2.0, 0.0, 0.0]]),
        np.array([[2.0, 2, 0]]),
        np.array([[2.0, 0, 2]]),
    )
    assert metrics.micro_f1(right, actual, told) == pytest.approx([2 * 2 / (4 + 4)])
    # The third tag is never true: it costs the micro figure alone.
    assert metrics.macro_tag_f1(right, actual, told) == pytest.approx([0.5])


@given(st.integers(0, 2**32 - 1))
def test_a_weight_stands_for_as_many_copies(seed: int) -> None:
    """So a row of bootstrap counts gives the figure of the resample itself."""
    rng = np.random.default_rng(seed)
    count = rng.integers(2, 13)
    truth, predicted = rng.integers(0, 3, size=(2, count))
    score = rng.integers(0, 6, size=count) / 5
    times = rng.integers(0, 4, size=count)
    truth[0], times[0] = 1, 2
    copied = np.repeat(np.arange(count), times)
    for figure in (metrics.macro_f1, metrics.macro_recall, metrics.quadratic_weighted_kappa):
        weighted = figure(metrics.confusion(truth, predicted, 3, times[None].astype(float)))
        whole = figure(
            metrics.confusion(truth[copied], predicted[copied], 3, np.ones((1, len(copied))))
        )
        assert weighted == pytest.approx(whole)
    for measure in (metrics.expected_calibration_error, metrics.average_precision):
        weighted = measure(score, truth == 1, times[None].astype(float))
        whole = measure(score[copied], truth[copied] == 1, np.ones((1, len(copied))))
        assert weighted == pytest.approx(whole)
