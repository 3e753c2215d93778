"""Tells which transcripts could not be read or scored, and never quotes them."""

from __future__ import annotations

from typing import Final

from rich.console import Console

from moodline.cli import render
from moodline.errors import FieldViolation
from moodline.jobs.answers import Refused
from moodline.jobs.items import Item

MAX_TOLD_FAILURES: Final = 20


class FailureTeller:
    """Tells the first failures as they come, and counts all."""

    def __init__(self, console: Console) -> None:
        """Take the console on standard error."""
        self._console = console
        self._told: set[FieldViolation] = set()
        self.failed_count = 0

    def tell(self, item: Item, refusal: Refused) -> None:
        """Take an item that was not scored, and why."""
        self.failed_count += 1
        if self.failed_count == MAX_TOLD_FAILURES + 1:
            self._console.print("further failures are not told one by one", soft_wrap=True)
        if self.failed_count > MAX_TOLD_FAILURES:
            return
        for index, violation in enumerate(refusal.violations):
            if index and not violation.field and violation in self._told:
                continue  # What was looked for is long, and the same for every unknown shape.
            self._told.add(violation)
            is_at_place = violation.field in {"", item.place}
            problem = render.escaped(violation.description if is_at_place else str(violation))
            self._console.print(f"{item.source}: {item.place}: {problem}", soft_wrap=True)


def error_console() -> Console:
    """Return the console on standard error."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)
