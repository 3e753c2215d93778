"""Cutting a long turn into overlapping windows."""

from hypothesis import given
from hypothesis import strategies as st

from moodline.windows import split_windows


def tokens(count: int) -> list[int]:
    return [0, *range(10, 10 + count), 2]


def test_a_short_turn_is_one_window_as_it_is() -> None:
    (window,) = split_windows(tokens(5), window_tokens=16)
    assert window.input_ids == tuple(tokens(5))
    assert window.start == 1


@given(st.integers(1, 400), st.integers(8, 64))
def test_windows_cover_every_token_once_by_weight(count: int, window_tokens: int) -> None:
    ids = tokens(count)
    windows = split_windows(ids, window_tokens=window_tokens)
    assert sum(window.weight for window in windows) == count
    covered = 1
    for window in windows:
        content = window.input_ids[1:-1]
        assert len(window.input_ids) <= window_tokens
        assert (window.input_ids[0], window.input_ids[-1]) == (ids[0], ids[-1])
        assert list(content) == ids[window.start : window.start + len(content)]
        assert window.start <= covered
        assert window.start + len(content) - covered == window.weight > 0
        covered = window.start + len(content)
    assert covered == len(ids) - 1


@given(st.integers(40, 400))
def test_neighbouring_windows_overlap(count: int) -> None:
    first, second, *_ = split_windows(tokens(count), window_tokens=32)
    assert second.start < first.start + len(first.input_ids) - 2


def test_a_turn_without_content_is_one_window() -> None:
    (window,) = split_windows([0, 2], window_tokens=16)
    assert window.weight == 1
