"""Intervals: conversations are drawn, whole, and the width is what theory says."""

import numpy as np
import pytest

from benchmarks.accuracy.bootstrap import conversation_weights, entry

CONVERSATIONS = np.array(["a", "a", "b", "c", "c", "c"])


def test_the_first_row_counts_every_turn_once() -> None:
    assert conversation_weights(CONVERSATIONS)[0].tolist() == [1] * 6


def test_the_turns_of_a_conversation_are_drawn_together() -> None:
    weights = conversation_weights(CONVERSATIONS, resamples=200)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3:] == weights[:, 3:4]).all()
    drawn = weights[1:, [0, 2, 3]]
    assert (drawn.sum(axis=1) == 3).all()
    assert len(np.unique(drawn, axis=0)) > 5


def test_two_models_on_the_same_turns_get_the_same_draws_and_other_turns_others() -> None:
    weights = conversation_weights(CONVERSATIONS)
    assert (weights == conversation_weights(CONVERSATIONS)).all()
    other = np.array(["d", "d", "e", "f", "f", "f"])
    assert (weights != conversation_weights(other)).any()


@pytest.mark.parametrize("turns_each", [1, 5])
def test_an_interval_is_as_wide_as_the_number_of_conversations_allows(turns_each: int) -> None:
    """Five equal turns of a conversation tell no more than one."""
    count = 400
    values = np.repeat(np.random.default_rng(2).normal(size=count), turns_each)
    conversations = np.repeat(np.arange(count).astype(str), turns_each)
    weights = conversation_weights(conversations)
    found = entry((weights @ values) / weights.sum(axis=1), len(values))
    expected = 2 * 1.96 * values.std() / np.sqrt(count)
    assert found["value"] == pytest.approx(values.mean(), abs=1e-4)
    assert found["high"] - found["low"] == pytest.approx(expected, rel=0.12)
    assert found["n"] == count * turns_each


def test_resamples_without_a_figure_are_left_out_of_the_interval() -> None:
    found = entry(np.array([0.5, np.nan, 0.4, 0.6]), 10)
    assert 0.4 <= found["low"] < found["high"] <= 0.6
