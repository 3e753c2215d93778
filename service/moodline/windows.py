"""Cuts a long turn into overlapping windows; training and serving share this one function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_OVERLAP_SHARE: Final = 0.25
"""Share of a window that repeats the end of the one before, so that no word loses its context."""


@dataclass(frozen=True, slots=True)
class TokenWindow:
    """A run of a turn's tokens, framed by the turn's own first and last special token.

    Attributes:
        input_ids: Token ids, special tokens included.
        start: Index in the turn's tokens of the first content token of this window.
        weight: Content tokens that no earlier window holds; the turn's vector is the mean of its
            windows' vectors by this weight.
    """

    input_ids: tuple[int, ...]
    start: int
    weight: int


def split_windows(token_ids: Sequence[int], *, window_tokens: int) -> tuple[TokenWindow, ...]:
    """Split the tokens of one turn; nothing is left out.

    Args:
        token_ids: Tokens with one special token at each end.
        window_tokens: Longest window, special tokens included.

    Returns:
        At least one window; windows after the first overlap their predecessor.
    """
    first, content, last = token_ids[0], token_ids[1:-1], token_ids[-1]
    room = window_tokens - 2
    if len(content) <= room:
        return (TokenWindow(tuple(token_ids), start=1, weight=max(len(content), 1)),)
    step = room - int(room * WINDOW_OVERLAP_SHARE)
    windows = []
    covered = 0
    for begin in range(0, len(content) - room + step, step):
        end = min(begin + room, len(content))
        ids = (first, *content[begin:end], last)
        windows.append(TokenWindow(ids, start=begin + 1, weight=end - covered))
        covered = end
    return tuple(windows)
