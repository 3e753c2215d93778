"""What stands in a table or under a headline: numbers that always say what they rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SMALL_COUNT: Final = 20
"""A share or mean of fewer is marked: one case more or less moves a share by over 5 points."""

ABSENT: Final = "–"
MINUS: Final = "−"


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table, or the value of a headline.

    Attributes:
        text: What it says.
        basis: What it rests on, shown smaller; may be empty.
        is_numeric: Whether it is aligned as numbers are.
        is_small: Whether it rests on fewer than `SMALL_COUNT`, which is marked.
    """

    text: str
    basis: str = ""
    is_numeric: bool = False
    is_small: bool = False


def count(value: int) -> Cell:
    """Return a number of things, with thousands apart."""
    return Cell(_grouped(value), is_numeric=True)


def share(part: int, whole: int) -> Cell:
    """Return a share in percent with both counts; nothing of nothing is no share."""
    if whole == 0:
        return Cell(ABSENT, "0 of 0", is_numeric=True)
    basis = f"{_grouped(part)} of {_grouped(whole)}"
    return Cell(f"{part / whole:.1%}", basis, is_numeric=True, is_small=whole < SMALL_COUNT)


def mean(value: float | None, whole: int, *, is_signed: bool = True) -> Cell:
    """Return a mean with how many it rests on; without any there is none.

    Args:
        value: The mean; None if there is none.
        whole: How many it is of.
        is_signed: Whether values above 0 carry a plus.
    """
    if value is None or whole == 0:
        return Cell(ABSENT, "n = 0", is_numeric=True)
    text = number(value, is_signed=is_signed)
    return Cell(text, f"n = {_grouped(whole)}", is_numeric=True, is_small=whole < SMALL_COUNT)


def value(amount: float | None, *, is_signed: bool = True) -> Cell:
    """Return one measured value, that of a single conversation for instance."""
    return Cell(ABSENT if amount is None else number(amount, is_signed=is_signed), is_numeric=True)


def number(amount: float, *, is_signed: bool = True) -> str:
    """Return a number with two decimals and a true minus sign; what rounds to 0 has no sign."""
    rounded = round(amount, 2)
    if rounded == 0:
        return "0.00"
    sign = MINUS if rounded < 0 else "+" if is_signed else ""
    return f"{sign}{abs(rounded):.2f}"


def _grouped(amount: int) -> str:
    # A thin no-break space: neither a point nor a comma means the same in every country.
    return f"{amount:,}".replace(",", "\u202f")
