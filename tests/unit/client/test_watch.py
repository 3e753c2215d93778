"""When a watch comes back by itself, and from where."""

from __future__ import annotations

import grpc
import pytest

from moodline.client.errors import MoodlineRpcError
from moodline.client.retry import RetryPolicy
from moodline.client.watch import WatchCourse
from moodline.v1.signal_pb2 import SignalEvent
from moodline.v1.signal_service_pb2 import SignalFilter, WatchSignalsResponse

POLICY = RetryPolicy(max_attempts=2, initial_backoff_s=1.0, max_backoff_s=4.0)
GONE = MoodlineRpcError(grpc.StatusCode.UNAVAILABLE, "gone")


def course(resume_token: str = "") -> WatchCourse:
    return WatchCourse(
        POLICY,
        signal_filter=SignalFilter(min_severity="high"),
        resume_token=resume_token,
        chance=lambda: 0.0,
    )


def test_it_comes_back_with_the_last_token_and_the_filter() -> None:
    watch = course("t0")
    assert watch.request().resume_token == "t0"
    assert watch.take(WatchSignalsResponse(resume_token="t1")) is None
    event = SignalEvent(event_id="e1")
    assert watch.take(WatchSignalsResponse(event=event, resume_token="t2")) == event
    assert watch.request().resume_token == "t2"
    assert watch.request().filter.min_severity == "high"


def test_a_server_that_was_never_reached_ends_it() -> None:
    watch = course()
    assert watch.delay_s(GONE) == 0.5
    with pytest.raises(MoodlineRpcError):
        watch.delay_s(GONE)


def test_once_something_was_told_it_waits_longer_and_longer_without_end() -> None:
    watch = course()
    watch.take(WatchSignalsResponse(resume_token="t1"))
    assert [watch.delay_s(GONE) for _ in range(5)] == [0.5, 1.0, 2.0, 2.0, 2.0]
    watch.take(WatchSignalsResponse(resume_token="t2"))
    assert watch.delay_s(None) == 0.5


@pytest.mark.parametrize(
    ("code", "reason", "comes_back"),
    [
        (grpc.StatusCode.INTERNAL, "", True),
        (grpc.StatusCode.INTERNAL, "INTERNAL", False),
        (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", False),
        (grpc.StatusCode.UNAVAILABLE, "DRAINING", True),
    ],
)
def test_only_a_broken_stream_is_opened_again(
    code: grpc.StatusCode, reason: str, comes_back: bool
) -> None:
    watch = course()
    watch.take(WatchSignalsResponse(resume_token="t1"))
    error = MoodlineRpcError(code, "", reason=reason)
    if comes_back:
        assert watch.delay_s(error) == 0.5
    else:
        with pytest.raises(MoodlineRpcError):
            watch.delay_s(error)
