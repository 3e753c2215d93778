"""What an answer means, and how long to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from moodline.actions.retry import Answer, RetryPolicy, Verdict, decide, retry_after_s

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = RetryPolicy()
HOUR_S = 3600
DAY_S = 86_400


def verdict(answer: Answer, *, attempt_count: int = 1, age_s: float = 0.0) -> Verdict:
    return decide(
        answer, POLICY, attempt_count=attempt_count, age_s=age_s, chance=0.5, now=NOW
    ).verdict


def wait_s(*, attempt_count: int, chance: float, retry_after: str = "") -> float:
    answer = Answer(503, retry_after)
    return decide(
        answer, POLICY, attempt_count=attempt_count, age_s=0, chance=chance, now=NOW
    ).wait_s


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_success(status: int) -> None:
    assert verdict(Answer(status)) is Verdict.DELIVERED


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_what_can_never_work_is_dead_at_once(status: int) -> None:
    assert verdict(Answer(status)) is Verdict.DEAD


@pytest.mark.parametrize("status", [301, 302, 307, 408, 409, 425, 429, 500, 502, 503, 504])
def test_what_time_may_heal_is_tried_again(status: int) -> None:
    assert verdict(Answer(status)) is Verdict.FAILED


def test_no_answer_is_tried_again() -> None:
    assert verdict(Answer(error="timeout")) is Verdict.FAILED


def test_an_action_is_given_up_only_when_it_is_old_and_was_tried_often() -> None:
    old_s = POLICY.give_up_after_s
    assert old_s >= 3 * DAY_S
    often = POLICY.min_attempts
    assert verdict(Answer(503), attempt_count=10_000, age_s=old_s - 1) is Verdict.FAILED
    assert verdict(Answer(503), attempt_count=often - 1, age_s=old_s) is Verdict.FAILED
    assert verdict(Answer(503), attempt_count=often, age_s=old_s) is Verdict.DEAD
    assert verdict(Answer(200), attempt_count=often, age_s=old_s) is Verdict.DELIVERED


def test_waits_double_up_to_a_bound_and_are_spread_from_zero() -> None:
    ends = [wait_s(attempt_count=count, chance=1.0) for count in range(1, 6)]
    assert ends == [2, 4, 8, 16, 32]
    assert wait_s(attempt_count=100_000, chance=1.0) == POLICY.max_wait_s
    assert wait_s(attempt_count=5, chance=0.0) == 0
    assert wait_s(attempt_count=5, chance=0.25) == 8


def test_the_receiver_may_ask_for_a_longer_wait_but_not_for_ever() -> None:
    assert wait_s(attempt_count=1, chance=0.5, retry_after="120") == 120
    assert wait_s(attempt_count=8, chance=1.0, retry_after="120") == 256
    assert wait_s(attempt_count=1, chance=0.5, retry_after="9" * 400) == POLICY.max_retry_after_s


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        ("", 0),
        ("30", 30),
        (" 30 ", 30),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90),
        ("Sun, 01 Mar 2026 12:01:30", 90),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("٣٠", 0),
        ("Sun, 99 Mar 2026 12:01:30 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected_s: float) -> None:
    assert retry_after_s(value, now=NOW) == expected_s


def test_a_receiver_down_for_an_hour_is_far_from_being_given_up() -> None:
    """Even with the longest wait every time, attempts go on for days and come back within it."""
    passed_s = 0.0
    count = 0
    while passed_s <= HOUR_S:
        count += 1
        decision = decide(
            Answer(error="not_reachable"),
            POLICY,
            attempt_count=count,
            age_s=passed_s,
            chance=0.999,
            now=NOW + timedelta(seconds=passed_s),
        )
        assert decision.verdict is Verdict.FAILED
        passed_s += decision.wait_s
    assert passed_s <= HOUR_S + POLICY.max_wait_s
