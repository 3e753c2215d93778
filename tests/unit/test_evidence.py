"""From evidence weights of tokens to quoted words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodline.encoding import EncodedTurn
from moodline.evidence import MAX_EVIDENCE_WORDS, evidence_weights, find_evidence
from moodline.windows import split_windows

ASPECTS = ("sentiment", "urgency")


def offsets_by_word(text: str) -> np.ndarray:
    """One token a word, the space before it included, between two special tokens."""
    spans = [(0, 0)]
    position = 0
    for word in text.split(" "):
        start = max(0, position - 1)
        spans.append((start, position + len(word)))
        position += len(word) + 1
    return np.array([*spans, (0, 0)], dtype=np.int64)


def weights_of(*rows: list[float]) -> np.ndarray:
    return np.array([[0.0, *row, 0.0] for row in rows])


def test_the_heaviest_word_is_quoted_with_its_place() -> None:
    text = "the worst service ever"
    (found,) = find_evidence(
        text,
        offsets_by_word(text),
        weights_of([0.1, 0.8, 0.05, 0.05], [0.25] * 4),
        aspects=ASPECTS,
        wanted={"sentiment"},
    )
    assert (found.start, found.end, found.text) == (4, 9, "worst")
    assert found.weight == pytest.approx(0.8)


def test_heavy_neighbours_join_the_quote() -> None:
    text = "the worst service ever"
    (found,) = find_evidence(
        text,
        offsets_by_word(text),
        weights_of([0.05, 0.5, 0.4, 0.05], [0.25] * 4),
        aspects=ASPECTS,
        wanted={"sentiment"},
    )
    assert found.text == "worst service"


def test_a_quote_stays_within_its_sentence() -> None:
    text = "by mistake. Unbelievable."
    (found,) = find_evidence(
        text,
        offsets_by_word(text),
        weights_of([0.2, 0.3, 0.5], [0.25] * 3),
        aspects=ASPECTS,
        wanted={"sentiment"},
    )
    assert found.text == "Unbelievable."


def test_an_aspect_nobody_wants_is_not_quoted() -> None:
    text = "now please"
    found = find_evidence(
        text, offsets_by_word(text), weights_of([0.5, 0.5], [0.9, 0.1]), aspects=ASPECTS, wanted=()
    )
    assert found == ()


def test_offsets_count_code_points_beyond_the_basic_plane() -> None:
    text = "😡😡 çok kötü"
    (found,) = find_evidence(
        text,
        offsets_by_word(text),
        weights_of([0.0, 0.1, 0.9], [0.0] * 3),
        aspects=ASPECTS,
        wanted={"sentiment", "urgency"},
    )
    assert found.text == text[found.start : found.end] == "kötü"
    assert found.start == 7


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=40))
def test_a_quote_is_words_of_the_text_and_not_too_long(weights: list[float]) -> None:
    text = " ".join(f"w{i}" for i in range(len(weights)))
    total = sum(weights)
    (found,) = find_evidence(
        text,
        offsets_by_word(text),
        weights_of([w / total for w in weights], weights),
        aspects=ASPECTS,
        wanted={"sentiment"},
    )
    words = found.text.split()
    assert text[found.start : found.end] == found.text
    assert 1 <= len(words) <= MAX_EVIDENCE_WORDS
    assert f"w{int(np.argmax(weights))}" in words
    assert 0 < found.weight <= 1


def test_evidence_of_overlapping_windows_counts_each_token_once() -> None:
    count, window_tokens = 30, 16
    ids = [0, *range(10, 10 + count), 2]
    windows = split_windows(ids, window_tokens=window_tokens)
    assert len(windows) > 1
    offsets = np.array([(0, 0), *((i, i + 1) for i in range(count)), (0, 0)])
    logits = [np.zeros((2, len(window.input_ids)), np.float32) for window in windows]
    weights = evidence_weights(EncodedTurn(windows, offsets), logits)
    assert weights.shape == (2, count + 2)
    np.testing.assert_allclose(weights[:, 1:-1], 1 / count)
    np.testing.assert_allclose(weights[:, [0, -1]], 0.0)


def test_evidence_of_a_turn_without_words_is_zero() -> None:
    windows = split_windows([0, 2], window_tokens=16)
    weights = evidence_weights(
        EncodedTurn(windows, np.zeros((2, 2), np.int64)), [np.zeros((2, 2), np.float32)]
    )
    assert not weights.any()
