"""Padding and its inverse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from moodline.batching.padding import pad_batch, split_output
from moodline.inference import EncoderOutput


@dataclass(frozen=True)
class Ids:
    input_ids: tuple[int, ...]


WINDOWS = [Ids((5, 6, 7)), Ids((8,))]


def output(rows: int = 2, length: int = 4) -> EncoderOutput:
    vectors = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    evidence = np.arange(rows * 2 * length, dtype=np.float32).reshape(rows, 2, length)
    return EncoderOutput(vectors, evidence)


def test_windows_are_padded_on_the_right() -> None:
    inputs = pad_batch(WINDOWS, 4)
    assert inputs.input_ids.tolist() == [[5, 6, 7, 0], [8, 0, 0, 0]]
    assert inputs.attention_mask.tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
    assert inputs.input_ids.dtype == inputs.attention_mask.dtype == np.int64


def test_a_window_that_does_not_fit_is_never_cut() -> None:
    with pytest.raises(ValueError, match="3 tokens but the batch is padded to 2"):
        pad_batch(WINDOWS, 2)


def test_each_window_gets_its_own_row_without_padding() -> None:
    first, second = split_output(output(), WINDOWS)
    assert first.vector.tolist() == [0, 1, 2]
    assert first.evidence.tolist() == [[0, 1, 2], [4, 5, 6]]
    assert second.evidence.tolist() == [[8], [12]]


def test_encodings_are_read_only_and_do_not_keep_the_batch_alive() -> None:
    encoding = split_output(output(), WINDOWS)[0]
    assert encoding.vector.base is None
    with pytest.raises(ValueError, match="read-only"):
        encoding.vector[0] = 1


@pytest.mark.parametrize(("rows", "length"), [(1, 4), (3, 4), (2, 2)])
def test_an_engine_that_answers_in_another_shape_is_an_error(rows: int, length: int) -> None:
    with pytest.raises(ValueError, match="The engine returned"):
        split_output(output(rows, length), WINDOWS)


def test_a_vector_that_is_not_finite_is_an_error() -> None:
    broken = output()
    broken.vectors[1, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        split_output(broken, WINDOWS)
