"""Thresholds tell what holds beyond the few rows that they are fitted on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("scipy", reason="the recipe needs the train extra")

from models.recipe.calibrate import _best_threshold

Rows = tuple[NDArray[np.float64], NDArray[np.bool_]]


def drawn(count: int, *, seed: int, shift: float = 0.5) -> Rows:
    """Probabilities of which the true ones lie higher by `shift`, on the average."""
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.2
    return np.clip(rng.normal(0.2, 0.15, count) + shift * truth, 0, 1), truth


def test_a_threshold_lies_between_what_is_and_what_is_not() -> None:
    truth = np.arange(60) % 3 == 0
    probability = np.where(truth, 0.62, 0.31)
    assert 0.31 < _best_threshold(probability, truth) <= 0.62


def test_a_threshold_of_few_rows_is_near_that_of_many() -> None:
    wanted = _best_threshold(*drawn(20_000, seed=1))
    found = [_best_threshold(*drawn(120, seed=seed)) for seed in range(2, 22)]
    assert np.abs(np.array(found) - wanted).max() < 0.12


def test_one_threshold_of_several_labels_heeds_the_rare_ones_too() -> None:
    common, rare = drawn(600, seed=30), drawn(600, seed=31, shift=0.1)
    alone = _best_threshold(*common)
    rare_truth = rare[1] & (np.arange(600) % 5 == 0)
    together = _best_threshold(
        np.stack([common[0], rare[0]], axis=1), np.stack([common[1], rare_truth], axis=1)
    )
    assert together < alone


def test_a_label_that_no_row_has_changes_nothing() -> None:
    probability, truth = drawn(200, seed=40)
    with_absent = _best_threshold(
        np.stack([probability, np.zeros(200)], axis=1),
        np.stack([truth, np.zeros(200, bool)], axis=1),
    )
    assert with_absent == _best_threshold(probability, truth)
