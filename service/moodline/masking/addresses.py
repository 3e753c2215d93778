"""E-mail addresses and bank accounts: what a fixed sign or beginning gives away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from stdnum import iban, numdb

_LOCAL_PART: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")
_DOMAIN: Final = re.compile(r"@(?:[^\W_](?:[\w-]{0,62})\.){1,8}[^\W\d_]{2,63}")
_SPOKEN_EDGE: Final = ".'`!#$%&*/=?^|~-"
"""Signs that are written before an address more often than they begin one."""

_IBAN_START: Final = re.compile(r"(?<![A-Za-z])[A-Za-z]{2}(?=[ \-.]?[0-9][ \-.]?[0-9])")
_IBAN_SIGN: Final = re.compile(r"[ \-.]{0,2}([0-9A-Za-z])")
_BBAN_PART: Final = re.compile(r"([0-9]+)!")


def email_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the addresses in a folded text, left to right."""
    at, end = text.find("@"), 0
    while at >= 0:
        domain = _DOMAIN.match(text, at)
        if domain is not None:
            # Sliced, or the search would begin anew at each character of a long text.
            local = _local_part(text[max(end, at - 64) : at])
            if local:
                end = domain.end()
                yield at - len(local), end
        at = text.find("@", max(at + 1, end))


def iban_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the account numbers in a folded text, left to right."""
    position = 0
    while start := _IBAN_START.search(text, position):
        position = start.end()
        length = _iban_length(start.group().upper())
        if length is None:
            continue
        signs, end = [start.group()], start.end()
        for _ in range(length - 2):
            sign = _IBAN_SIGN.match(text, end)
            if sign is None:
                break
            signs.append(sign.group(1))
            end = sign.end()
        number = "".join(signs)
        is_whole = not text[end : end + 1].isdigit()
        # The check of a country's own digits would let typing errors through.
        if len(number) == length and is_whole and iban.is_valid(number, check_country=False):
            yield start.start(), end
            position = end


def _local_part(before: str) -> str:
    match = _LOCAL_PART.search(before)
    return "" if match is None else match.group().lstrip(_SPOKEN_EDGE)


@cache
def _iban_length(country: str) -> int | None:
    (_, properties), *_ = numdb.get("iban").info(country)
    bban = properties.get("bban")
    return None if bban is None else 4 + sum(int(size) for size in _BBAN_PART.findall(bban))
