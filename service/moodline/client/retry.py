"""When a failed call is sent again: a pure rule, and its course over one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moodline.client.errors import MoodlineRpcError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a call is sent again.

    UNAVAILABLE is retried after an exponential back-off, RESOURCE_EXHAUSTED only where the server
    names a delay, and not before it; nothing else is. Every wait is spread at random, so that
    clients that failed together do not return together.

    Attributes:
        max_attempts: Times that a call is sent at most, the first included; 1 never retries.
        initial_backoff_s: Longest wait after the first failure, in seconds.
        backoff_multiplier: Growth of that wait with each further failure.
        max_backoff_s: Where the growth ends, in seconds.
    """

    max_attempts: int = 5
    initial_backoff_s: float = 0.25
    backoff_multiplier: float = 2.0
    max_backoff_s: float = 5.0

    def delay_s(self, error: MoodlineRpcError, *, attempt_count: int, share: float) -> float | None:
        """Return how long to wait before the next attempt, in seconds; None not to retry.

        Args:
            error: What the last attempt was answered by.
            attempt_count: Attempts so far, 1 or more.
            share: Chance, evenly spread over [0, 1).
        """
        if attempt_count >= self.max_attempts or not error.is_retryable:
            return None
        backoff_s = min(
            self.initial_backoff_s * self.backoff_multiplier ** (attempt_count - 1),
            self.max_backoff_s,
        )
        if error.retry_after_s is not None:
            return error.retry_after_s + share * self.initial_backoff_s
        return backoff_s * (1 + share) / 2


class RetryCourse:
    """The attempts of one call against its deadline."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        timeout_s: float,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        """Start the clock of the call.

        Args:
            policy: When to retry.
            timeout_s: Time for all attempts and the waits between them, in seconds.
            clock: Monotonic time, in seconds.
            chance: A number evenly spread over [0, 1).
        """
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self._deadline_s = clock() + timeout_s
        self._attempt_count = 0

    def remaining_s(self) -> float:
        """Time that is left for the call, in seconds, 0 or more."""
        return max(0.0, self._deadline_s - self._clock())

    def next_delay_s(self, errors: Sequence[MoodlineRpcError]) -> float | None:
        """Count a failed attempt; return how long to wait before the next one.

        Args:
            errors: What failed in it: the call, or the retryable conversations of a batch.

        Returns:
            Seconds; None if it must not be sent again, or could not be before the deadline.
        """
        self._attempt_count += 1
        share = self._chance()
        delays_s = [
            self._policy.delay_s(error, attempt_count=self._attempt_count, share=share)
            for error in errors
        ]
        # None beside a number cannot be: the errors of a batch are retryable ones alone.
        known_delays_s = [delay_s for delay_s in delays_s if delay_s is not None]
        longest_s = max(known_delays_s, default=None)
        return None if longest_s is None or longest_s >= self.remaining_s() else longest_s
