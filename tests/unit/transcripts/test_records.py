"""Values are read as vendors write them, and what is wrong is told by path."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodline.errors import InvalidRequestError
from moodline.transcripts.records import (
    MAX_TOLD_VIOLATIONS,
    EpochMs,
    Milliseconds,
    Record,
    SecondsAsMs,
    Text,
    epoch_ms,
    moment_of,
    read_record,
)

MOMENT = datetime(2026, 3, 17, 14, 2, 0, 250_000, UTC)
MOMENT_MS = 1_773_756_120_250


class Sample(Record):
    text: Text = ""
    at_ms: Milliseconds | None = None
    after: SecondsAsMs | None = None
    moment: EpochMs | None = None
    parts: tuple[Sample, ...] = ()


@pytest.mark.parametrize(
    "written",
    [
        1_773_756_120.25,
        MOMENT_MS,
        1_773_756_120_250_000,
        "1773756120.25",
        "2026-03-17T14:02:00.250Z",
        "2026-03-17 14:02:00.250",
        "2026-03-17T17:02:00.250+03:00",
    ],
)
def test_a_moment_is_read_however_it_is_written(written: object) -> None:
    assert epoch_ms(written) == MOMENT_MS
    assert moment_of(MOMENT_MS) == MOMENT


def test_a_mail_date_is_read() -> None:
    assert epoch_ms("Tue, 17 Mar 2026 14:02:00 -0000") == 1_773_756_120_000


@given(st.integers(1_000_000_000, 4_000_000_000))
def test_seconds_milliseconds_and_microseconds_are_told_apart(seconds: int) -> None:
    assert epoch_ms(seconds) == epoch_ms(seconds * 1_000) == epoch_ms(seconds * 1_000_000)


@pytest.mark.parametrize("written", ["soon", "", True, [], {}, "12:99", float("nan"), "1e9999"])
def test_what_is_no_moment_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="should be a date and time"):
        epoch_ms(written)


def test_numbers_may_be_text_and_null_is_nothing() -> None:
    sample = read_record(Sample, {"at_ms": "480", "after": "0.4805", "text": 12, "moment": None})
    assert (sample.at_ms, sample.after, sample.text, sample.moment) == (480, 480, "12", None)


def test_everything_that_is_wrong_is_told_by_its_path_without_the_value() -> None:
    secret = "my card"
    record = {"parts": [{}, {"at_ms": secret, "text": [secret]}, secret], "text": "\ud83d"}
    with pytest.raises(InvalidRequestError) as caught:
        read_record(Sample, record, at="calls[2]")
    assert [violation.field for violation in caught.value.violations] == [
        "calls[2].text",
        "calls[2].parts[1].text",
        "calls[2].parts[1].at_ms",
        "calls[2].parts[2]",
    ]
    assert secret not in str(caught.value)


def test_no_more_is_told_than_people_read() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_record(Sample, {"parts": [{"at_ms": "x"}] * 50})
    assert len(caught.value.violations) == MAX_TOLD_VIOLATIONS + 1
    assert caught.value.violations[-1].description == "and 30 more; correct these first"
