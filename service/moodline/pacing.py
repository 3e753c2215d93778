"""Lets long work on the event loop leave room for live turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")

TURNS_PER_PASS: Final = 8
"""Turns that are worked on in one pass of the event loop: one to four milliseconds."""


class Pacer:
    """Shares the event loop among long conversations: one chunk of one of them in each pass.

    Yielding after each chunk is not enough: with eight conversations under way, eight chunks would
    run before a live turn gets its pass.
    """

    def __init__(self) -> None:
        self._pass = asyncio.Lock()

    async def map(self, work: Callable[[_In], _Out], turns: Sequence[_In]) -> list[_Out]:
        """Work on turns in order; what fits into one pass does not wait for others.

        Args:
            work: Takes a fraction of a millisecond.
            turns: Any number.
        """
        if len(turns) <= TURNS_PER_PASS:
            return [work(turn) for turn in turns]
        results: list[_Out] = []
        for start in range(0, len(turns), TURNS_PER_PASS):
            async with self._pass:
                results.extend(map(work, turns[start : start + TURNS_PER_PASS]))
                # Inside, so that the next chunk of anybody runs in a later pass.
                await asyncio.sleep(0)
        return results
