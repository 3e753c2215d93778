"""How a watch of signals goes on after its stream broke; the part that sync and asyncio share."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import grpc

from moodline.client.errors import MoodlineRpcError
from moodline.client.retry import RetryPolicy
from moodline.v1.signal_pb2 import SignalEvent
from moodline.v1.signal_service_pb2 import SignalFilter, WatchSignalsRequest, WatchSignalsResponse

_BROKEN: Final = frozenset(
    {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED}
)
"""What networks and proxies make of a stream that they cut; ours come with a reason."""


class WatchCourse:
    """Where a watch stands.

    Attributes:
        resume_token: Stands for all that was told so far.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        signal_filter: SignalFilter | None,
        resume_token: str,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take where it begins.

        Args:
            policy: How to wait; once something was told, there is no last attempt.
            signal_filter: Which signals to tell; None for all.
            resume_token: Where an earlier watch ended; empty for now.
            chance: A number evenly spread over [0, 1).
        """
        self.resume_token = resume_token
        self._policy = policy
        self._filter = signal_filter
        self._chance = chance
        self._failure_count = 0
        self._was_told = False

    def request(self) -> WatchSignalsRequest:
        """Return what to open the next stream with."""
        return WatchSignalsRequest(filter=self._filter, resume_token=self.resume_token)

    def take(self, response: WatchSignalsResponse) -> SignalEvent | None:
        """Take a message; return its event, None of a heart-beat."""
        self._failure_count = 0
        self._was_told = True
        self.resume_token = response.resume_token
        return response.event if response.HasField("event") else None

    def delay_s(self, error: MoodlineRpcError | None) -> float:
        """Return how long to wait before the next stream, in seconds.

        Args:
            error: Why the stream ended; None if the server just ended it.

        Raises:
            MoodlineRpcError: The error, if another stream would not help.
        """
        self._failure_count += 1
        is_broken = error is None or (error.code in _BROKEN and not error.reason)
        is_last = not self._was_told and self._failure_count >= self._policy.max_attempts
        if error is not None and (is_last or not (error.is_retryable or is_broken)):
            raise error
        retry_after_s = 0.0 if error is None else error.retry_after_s or 0.0
        backoff_s = min(
            self._policy.max_backoff_s,
            self._policy.initial_backoff_s
            * self._policy.backoff_multiplier ** min(self._failure_count - 1, 32),
        )
        return retry_after_s + backoff_s * (1 + self._chance()) / 2
