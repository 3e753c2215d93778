"""What the answer of a receiver means for an action: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

RETRIED_CLIENT_ERRORS: Final = frozenset({408, 409, 425, 429})
"""Answers of 4xx that time may heal: timeout, conflict, too early, too many requests."""


class Verdict(StrEnum):
    """What becomes of an action; a label of `moodline_actions_total`."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """Tried again later."""
    DEAD = "dead"
    """Not tried again, unless somebody replays it."""
    SKIPPED = "skipped"
    """Done with nothing to do, because no endpoint is configured for it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt ended.

    Attributes:
        status: Of HTTP; None if none came.
        retry_after: The header, as it came; empty for none.
        error: Why no status came, in one stable word such as `timeout`.
    """

    status: int | None = None
    retry_after: str = ""
    error: str = ""

    @property
    def summary(self) -> str:
        """What is kept and logged of it; nothing that the receiver wrote."""
        return self.error or f"http_{self.status}"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again, and when to give up.

    Attributes:
        base_s: Upper end of the first wait, in seconds; it doubles with each attempt.
        max_wait_s: Upper end of every wait, in seconds.
        max_retry_after_s: Longest wait that a receiver may ask for, in seconds.
        give_up_after_s: Age, in seconds, at which an attempt that fails may be the last.
        min_attempts: Attempts that an action gets whatever its age, so that one that waited for a
            server that was down is not given up at the first trouble.
    """

    base_s: float = 2.0
    max_wait_s: float = 600.0
    max_retry_after_s: float = 86_400.0
    give_up_after_s: float = 259_200.0
    min_attempts: int = 20


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with an action after an attempt.

    Attributes:
        verdict: What becomes of it.
        wait_s: Until the next attempt, in seconds, if it failed.
    """

    verdict: Verdict
    wait_s: float = 0.0


def decide(
    answer: Answer,
    policy: RetryPolicy,
    *,
    attempt_count: int,
    age_s: float,
    chance: float,
    now: datetime,
) -> Decision:
    """Judge an attempt.

    Any status of 2xx is success. 4xx but `RETRIED_CLIENT_ERRORS` says that it will never work, so
    the action is dead at once. All else, redirects among it, is tried again after a wait drawn from
    0 to an upper end that doubles (full jitter, so that what failed together does not come back
    together), and not before the receiver's `Retry-After`.

    Args:
        answer: How the attempt ended.
        policy: The limits.
        attempt_count: With this one, at least 1.
        age_s: Since the action was planned or replayed.
        chance: Uniform in [0, 1).
        now: For `Retry-After` that names a time.

    Source: docs/actions.md, "Attempts".
    """
    status = answer.status
    if status is not None and 200 <= status < 300:
        return Decision(Verdict.DELIVERED)
    if status is not None and 400 <= status < 500 and status not in RETRIED_CLIENT_ERRORS:
        return Decision(Verdict.DEAD)
    if age_s >= policy.give_up_after_s and attempt_count >= policy.min_attempts:
        return Decision(Verdict.DEAD)
    # The exponent is bounded too: 2.0 to the power of a month of attempts overflows.
    upper_s = min(policy.max_wait_s, policy.base_s * 2.0 ** min(attempt_count - 1, 32))
    asked_s = min(policy.max_retry_after_s, retry_after_s(answer.retry_after, now=now))
    return Decision(Verdict.FAILED, max(chance * upper_s, asked_s))


def retry_after_s(value: str, *, now: datetime) -> float:
    """Return the wait that a `Retry-After` asks for, in seconds; 0 if it asks for none.

    Source: RFC 9110, section 10.2.3.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        # So many digits that float() gives infinity ask for the longest wait.
        return float(value)
    try:
        time = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    # A date without zone is one of UTC.
    time = time.replace(tzinfo=time.tzinfo or UTC)
    return max(0.0, (time - now).total_seconds())
