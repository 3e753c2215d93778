"""Phone numbers, in international form and as people write them at home."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from phonenumbers import (
    Leniency,
    PhoneNumber,
    PhoneNumberMatch,
    PhoneNumberMatcher,
    PhoneNumberType,
    country_code_for_region,
    number_type,
)

from moodline.masking.contexts import is_joined, is_part_of_code, surroundings

MIN_DIGITS: Final = 7
MAX_SEARCHED_DIGITS: Final = 1000
"""Of one text; the library takes some 0.1 ms a digit. Long numbers beyond are masked unread."""

_CHAIN: Final = re.compile(r"[+(]*[0-9](?:[ \t\-./()~+]{0,4}[0-9])*\)?\+?")
_INTERNATIONAL_PREFIX: Final = re.compile(r"(?<![0-9+])00(?=[ \-]?[1-9])")
_PLUS_BEHIND: Final = re.compile(r"(?<![0-9+])([1-9][0-9 \-]{8,18})\+\Z")
_MIN_TRUNK_DIGITS: Final = 10
_NO_REGION: Final = None
_MOBILE: Final = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
_PERSONAL: Final = _MOBILE | {
    PhoneNumberType.FIXED_LINE,
    PhoneNumberType.PERSONAL_NUMBER,
    PhoneNumberType.VOIP,
}
"""Not the hotlines of companies."""


def phone_spans(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int, bool]]:
    """Yield the phone numbers in a folded text without dates, left to right.

    Args:
        text: The text.
        regions: Countries whose national form is known.

    Returns:
        First character, one past the last, and whether it was read as a phone number; if not, it
        is a number that there was no time to read.
    """
    searched_count = 0
    is_bare = not any(character.isalpha() for character in text)
    for chain in _CHAIN.finditer(text):
        digit_count = sum(sign.isdigit() for sign in chain.group())
        if digit_count < MIN_DIGITS:
            continue
        searched_count += digit_count
        if searched_count > MAX_SEARCHED_DIGITS:
            yield (*chain.span(), False)
            continue
        for start, end in _chain_spans(text, chain, regions, is_bare=is_bare):
            yield start, end, True


def _chain_spans(
    text: str, chain: re.Match[str], regions: Sequence[str], *, is_bare: bool
) -> list[tuple[int, int]]:
    behind = _PLUS_BEHIND.search(chain.group())
    if behind is not None and any(PhoneNumberMatcher(f"+{behind.group(1)}", _NO_REGION)):
        # Written from right to left, the plus can end up behind.
        return [(chain.start() + behind.start(), chain.end())]
    # The same length, so that what is found stays where it is.
    plain = _INTERNATIONAL_PREFIX.sub(" +", chain.group())
    found: list[tuple[int, int]] = []
    for region in (_NO_REGION, *regions):
        for match in PhoneNumberMatcher(plain, region, leniency=Leniency.VALID):
            if number_type(match.number) not in _PERSONAL:
                continue
            start, end = chain.start() + match.start, chain.start() + match.end
            if plain[match.start] == "+" and text[start] == "0":
                start -= 1
            if match.raw_string.lstrip("(").startswith("+") or _is_believed(
                text, (start, end), match, region, is_bare=is_bare
            ):
                found.append((start, end))
    return _without_overlaps(found)


def _is_believed(
    text: str, span: tuple[int, int], match: PhoneNumberMatch, region: str | None, *, is_bare: bool
) -> bool:
    """Whether a number that could be a phone's at home is one."""
    assert region is not None
    if is_part_of_code(text, *span) or is_joined(text, *span, ".,"):
        return False
    around = surroundings(text, *span)
    if around.is_amount:
        return False
    digits = "".join(sign for sign in match.raw_string if sign.isdigit())
    is_grouped = not match.raw_string.isdigit()
    is_mobile = number_type(match.number) in _MOBILE
    if digits.startswith("0") and is_grouped:
        return True
    if around.is_reference:
        return False
    has_trunk = digits.startswith("0") or _has_country_code(digits, region, match.number)
    if around.tells_phone:
        return True
    if has_trunk:
        return is_mobile or len(digits) > _MIN_TRUNK_DIGITS
    if is_grouped:
        return _is_grouped_as_usual(match.raw_string, region)
    # Digits and nothing else are as a rule the answer to the question for a number.
    return is_bare and is_mobile


def _has_country_code(digits: str, region: str, number: PhoneNumber) -> bool:
    return digits == f"{country_code_for_region(region)}{number.national_number}"


def _is_grouped_as_usual(raw: str, region: str) -> bool:
    matches = PhoneNumberMatcher(raw, region, leniency=Leniency.STRICT_GROUPING)
    return any(match.raw_string == raw for match in matches)


def _without_overlaps(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Keep the longer of two that overlap, else the one further left; in the order of the text."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(set(spans), key=lambda span: (span[0] - span[1], span)):
        if all(end <= other_start or start >= other_end for other_start, other_end in kept):
            kept.append((start, end))
    return sorted(kept)
