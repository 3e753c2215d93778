"""What is told of transcripts that could not be scored."""

import io

from rich.console import Console

from moodline.cli.failures import MAX_TOLD_FAILURES, FailureTeller
from moodline.errors import FieldViolation
from moodline.jobs.answers import Refused
from moodline.jobs.items import Item


def item(number: int) -> Item:
    return Item("in.jsonl", number, f"line {number}", "", b"", b"", None, None, 0)


def test_the_first_failures_are_told_and_all_are_counted() -> None:
    stream = io.StringIO()
    failures = FailureTeller(Console(file=stream, width=40))
    refusal = Refused("INVALID_REQUEST", (FieldViolation("turns[0].text", "is empty"),))
    failures.tell(item(1), Refused("UNREADABLE", (FieldViolation("", "is no \u202eJSON"),)))
    for number in range(2, MAX_TOLD_FAILURES + 4):
        failures.tell(item(number), refusal)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == [
        "in.jsonl: line 1: is no \\u202eJSON",
        "in.jsonl: line 2: turns[0].text: is empty",
    ]
    assert len(lines) == MAX_TOLD_FAILURES + 1
    assert lines[-1] == "further failures are not told one by one"
    assert failures.failed_count == MAX_TOLD_FAILURES + 3


def test_what_was_looked_for_is_told_once_and_places_are_not_told_twice() -> None:
    stream = io.StringIO()
    failures = FailureTeller(Console(file=stream, width=40))
    looked_for = FieldViolation("", "looked for jsonl")
    for number in (1, 2):
        unknown = FieldViolation("", "is in no known format")
        failures.tell(item(number), Refused("UNREADABLE", (unknown, looked_for)))
    failures.tell(item(3), Refused("UNREADABLE", (FieldViolation("line 3", "is no row"),)))
    assert stream.getvalue().splitlines() == [
        "in.jsonl: line 1: is in no known format",
        "in.jsonl: line 1: looked for jsonl",
        "in.jsonl: line 2: is in no known format",
        "in.jsonl: line 3: is no row",
    ]
