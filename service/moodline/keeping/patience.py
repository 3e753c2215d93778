"""Calls the store until it answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from moodline.errors import StoreError, StoreUnavailableError

CALL_TIMEOUT_S: Final = 10.0
"""How long one call may take: a connection that died without a word else keeps it for minutes."""
FIRST_WAIT_S: Final = 0.1
MAX_WAIT_S: Final = 5.0

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class Patience:
    """How long somebody waits for a store that does not answer: without end, until told."""

    def __init__(self) -> None:
        self._deadline_s: float | None = None
        self._is_limited = asyncio.Event()

    def limit(self, seconds: float) -> None:
        """Wait so long from now on; a second limit changes nothing."""
        if self._deadline_s is None:
            self._deadline_s = asyncio.get_running_loop().time() + seconds
            self._is_limited.set()

    async def call(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Call the store, and again with growing waits as long as it fails.

        Args:
            ask: A call that may be repeated.

        Raises:
            StoreUnavailableError: If it still fails at the limit.
        """
        failure_count = 0
        while True:
            try:
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    return await ask()
            except (StoreError, TimeoutError) as error:
                failure_count += 1
                if failure_count == 1:
                    _log.warning("store_unavailable", problem=str(error) or "no answer")
                if not await self._wait(failure_count):
                    raise store_unavailable() from error

    async def _wait(self, failure_count: int) -> bool:
        """Wait before the next call; False if there shall be none."""
        longest_s = min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failure_count - 1, 32))
        wait_s = longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads calls, hides nothing
        if self._deadline_s is None:
            try:
                # Whoever is told to wait no longer tries once more at once.
                async with asyncio.timeout(wait_s):
                    await self._is_limited.wait()
            except TimeoutError:
                pass
            return True
        left_s = self._deadline_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            return False
        await asyncio.sleep(min(wait_s, left_s))
        return True


def store_unavailable() -> StoreUnavailableError:
    """What callers are told; the log says more."""
    return StoreUnavailableError(
        "The store of signals does not answer; send the call again after a while."
    )
