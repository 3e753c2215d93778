"""Lets calls in once the analyzer is warm, and out in good order when the process stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from moodline.analyzer import ConversationAnalyzer
from moodline.errors import DrainingError, NotReadyError


class CallGate:
    """Knows every open call; lives on the event loop of the server."""

    def __init__(self) -> None:
        self._analyzer: ConversationAnalyzer | None = None
        self._draining = asyncio.Event()
        self._open_calls: set[asyncio.Timeout] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def analyzer(self) -> ConversationAnalyzer:
        """The analyzer that serves the calls that were let in.

        Raises:
            NotReadyError: If the gate has not been opened.
        """
        if self._analyzer is None:
            raise NotReadyError("The service is starting; try again shortly.")
        return self._analyzer

    async def wait_until_draining(self) -> None:
        """Wait until the service shuts down: calls without an end of their own must end then."""
        await self._draining.wait()

    def open(self, analyzer: ConversationAnalyzer) -> None:
        """Let calls in from now on."""
        self._analyzer = analyzer

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Be an open call for as long as the block runs.

        Raises:
            NotReadyError: If the gate has not been opened.
            DrainingError: If the service is shutting down, or does so and cannot wait longer.
        """
        if self._draining.is_set():
            raise draining()
        _ = self.analyzer
        # A timeout that is only set when the service cannot wait longer.
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._open_calls.add(scope)
                self._is_idle.clear()
                yield
        except TimeoutError:
            if scope.expired():
                raise DrainingError(
                    "The service has shut down; send the call again, another replica will answer."
                ) from None
            raise
        finally:
            self._open_calls.discard(scope)
            if not self._open_calls:
                self._is_idle.set()

    async def drain(self, grace_s: float, *, farewell_s: float = 1.0) -> int:
        """Refuse new calls, wait for the open ones, and end those that take too long.

        Args:
            grace_s: How long open calls may take to finish, in seconds.
            farewell_s: How long those that are ended may take to tell their clients, in seconds.

        Returns:
            How many calls were ended.
        """
        self._draining.set()
        if await self._wait_until_idle(grace_s):
            return 0
        ended_count = len(self._open_calls)
        now_s = asyncio.get_running_loop().time()
        for scope in self._open_calls:
            scope.reschedule(now_s)
        await self._wait_until_idle(farewell_s)
        return ended_count

    async def _wait_until_idle(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_idle.wait()
        except TimeoutError:
            return False
        return True


def draining() -> DrainingError:
    """What callers are told while the service shuts down."""
    return DrainingError("The service is shutting down; another replica will answer.")
