"""What is sent again, when, and when not any more."""

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodline.client.errors import MoodlineRpcError
from moodline.client.retry import RetryCourse, RetryPolicy

POLICY = RetryPolicy(
    max_attempts=4, initial_backoff_s=1.0, backoff_multiplier=2.0, max_backoff_s=3.0
)
UNAVAILABLE = MoodlineRpcError(grpc.StatusCode.UNAVAILABLE, "draining")
OVERLOADED = MoodlineRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after_s=7.0)
TOO_LARGE = MoodlineRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "message too large")


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def course_of(clock: FakeClock, *, timeout_s: float = 60.0, share: float = 0.0) -> RetryCourse:
    return RetryCourse(POLICY, timeout_s=timeout_s, clock=clock, chance=lambda: share)


def test_unavailable_is_retried_after_a_growing_and_bounded_wait() -> None:
    delays_s = [
        POLICY.delay_s(UNAVAILABLE, attempt_count=count, share=0.999999) for count in (1, 2, 3)
    ]
    assert delays_s == pytest.approx([1.0, 2.0, 3.0], rel=1e-5)


@given(share=st.floats(0, 1, exclude_max=True), attempt_count=st.integers(1, 3))
def test_waits_are_spread_over_the_upper_half_of_the_backoff(
    share: float, attempt_count: int
) -> None:
    delay_s = POLICY.delay_s(UNAVAILABLE, attempt_count=attempt_count, share=share)
    longest_s = min(2.0 ** (attempt_count - 1), 3.0)
    assert delay_s is not None
    assert longest_s / 2 <= delay_s <= longest_s


@given(share=st.floats(0, 1, exclude_max=True))
def test_overload_is_never_retried_before_the_delay_that_the_server_names(share: float) -> None:
    delay_s = POLICY.delay_s(OVERLOADED, attempt_count=1, share=share)
    assert delay_s is not None
    assert 7.0 <= delay_s <= 8.0


def test_exhaustion_without_a_delay_is_not_retried() -> None:
    assert POLICY.delay_s(TOO_LARGE, attempt_count=1, share=0.0) is None


@pytest.mark.parametrize(
    "code",
    [
        code
        for code in grpc.StatusCode
        if code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
    ],
)
def test_no_other_code_is_retried_even_with_a_delay(code: grpc.StatusCode) -> None:
    error = MoodlineRpcError(code, "no", retry_after_s=1.0)
    assert POLICY.delay_s(error, attempt_count=1, share=0.0) is None


def test_the_attempts_are_bounded() -> None:
    course = course_of(FakeClock())
    delays_s = [course.next_delay_s([UNAVAILABLE]) for _ in range(4)]
    assert delays_s == [0.5, 1.0, 1.5, None]


def test_nothing_is_retried_that_could_not_be_before_the_deadline() -> None:
    clock = FakeClock()
    course = course_of(clock, timeout_s=10.0)
    assert course.next_delay_s([OVERLOADED]) == 7.0
    clock.now_s += 7.0
    assert course.remaining_s() == pytest.approx(3.0)
    assert course.next_delay_s([OVERLOADED]) is None
    clock.now_s += 7.0
    assert course.remaining_s() == 0.0


def test_items_of_a_batch_wait_for_the_longest_delay() -> None:
    assert course_of(FakeClock()).next_delay_s([UNAVAILABLE, OVERLOADED]) == 7.0
