"""Chains of digit groups, as people write long numbers: `4111 1111-1111 1111`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

MAX_CHAIN_DIGITS: Final = 100
"""A longer chain is masked whole: nobody writes so, and it could hide anything."""

_CHAIN: Final = re.compile(r"[0-9]+(?:[ \t\-./_()]{1,3}[0-9]+)*")
_GROUP: Final = re.compile(r"[0-9]+")
_DATE_OR_TIME: Final = re.compile(
    r"""(?<![0-9])(?<![0-9][\-./])
    (?:
        [0-9]{1,2}([\-./])[0-9]{1,2}\1(?:[0-9]{4}|[0-9]{2})
        | (?:19|20)[0-9]{2}([\-./])[0-9]{1,2}\2[0-9]{1,2}
    )
    (?![\-./]?[0-9])
    | (?<![0-9:])[0-9]{1,2}(?::[0-9]{2}){1,2}(?![0-9:])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class DigitGroup:
    """Digits without anything between them, and where they are."""

    start: int
    end: int
    digits: str


@dataclass(frozen=True, slots=True)
class Window:
    """Neighbouring groups of a chain.

    Attributes:
        groups: At least one.
        separators: What stands between them.
        before: The group before, if there is one in the chain.
    """

    groups: tuple[DigitGroup, ...]
    separators: tuple[str, ...]
    before: DigitGroup | None

    @property
    def start(self) -> int:
        """First character."""
        return self.groups[0].start

    @property
    def end(self) -> int:
        """One past the last."""
        return self.groups[-1].end

    @property
    def digits(self) -> str:
        """Without separators."""
        return "".join(group.digits for group in self.groups)

    @property
    def layout(self) -> tuple[int, ...]:
        """How many digits each group has."""
        return tuple(len(group.digits) for group in self.groups)

    @property
    def has_one_separator(self) -> bool:
        """Whether the same stands between all groups; so for a single group."""
        return len(set(self.separators)) <= 1

    @property
    def is_inside_longer_number(self) -> bool:
        """Whether the groups go on to the left in the same way: `9400 5112 0620 8212` from 5112."""
        return (
            len(self.groups) > 1
            and self.before is not None
            and len(self.before.digits) == len(self.groups[0].digits)
        )


def blank_dates(text: str) -> str:
    """Blank dates and times of day."""
    return _DATE_OR_TIME.sub(lambda match: "\n" * len(match.group()), text)


def chains(text: str) -> Iterator[tuple[DigitGroup, ...]]:
    """Yield the groups of each chain of a folded text."""
    for chain in _CHAIN.finditer(text):
        yield tuple(
            DigitGroup(group.start(), group.end(), group.group())
            for group in _GROUP.finditer(text, *chain.span())
        )


def windows(
    text: str, chain: tuple[DigitGroup, ...], first: int, digit_counts: range
) -> Iterator[Window]:
    """Yield the windows that begin at a group and have so many digits, the longest first.

    Args:
        text: The folded text.
        chain: Groups of one chain.
        first: Index of the group.
        digit_counts: Wanted numbers of digits, rising.
    """
    count = 0
    ends = []
    for index in range(first, len(chain)):
        count += len(chain[index].digits)
        if count > digit_counts[-1]:
            break
        if count in digit_counts:
            ends.append(index + 1)
    for end in reversed(ends):
        groups = chain[first:end]
        separators = tuple(text[left.end : right.start] for left, right in pairwise(groups))
        yield Window(groups, separators, chain[first - 1] if first > 0 else None)
