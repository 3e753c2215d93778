"""Masks texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from moodline.masking import cards, numbers, phones
from moodline.masking.addresses import email_spans, iban_spans
from moodline.masking.folding import FoldedText, fold
from moodline.masking.national_ids import (
    ID_DIGIT_COUNTS,
    is_national_id,
    lettered_id_spans,
)
from moodline.masking.policy import Kind, MaskingPolicy

DEFAULT_POLICY: Final = MaskingPolicy()
_SEARCHABLE: Final = re.compile(r"[0-9@]")


@dataclass(frozen=True, slots=True)
class Replacement:
    """A placeholder and what it stands for, in code points.

    Attributes:
        kind: What was found.
        start: First code point in the original.
        end: One past the last.
        new_start: First code point of the placeholder in the masked text.
        new_end: One past the last.
    """

    kind: Kind
    start: int
    end: int
    new_start: int
    new_end: int


@dataclass(frozen=True, slots=True)
class MaskedText:
    """A text without personal data.

    Attributes:
        text: The text with placeholders.
        replacements: In the order of the text; they do not overlap.
    """

    text: str
    replacements: tuple[Replacement, ...]

    @property
    def counts(self) -> Mapping[Kind, int]:
        """How many were found of each kind that was."""
        return Counter(replacement.kind for replacement in self.replacements)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a span of the original is in the masked text, in code points.

        What begins or ends inside of personal data takes in the whole placeholder.
        """
        return self._position(start, is_end=False), self._position(end, is_end=True)

    def _position(self, position: int, *, is_end: bool) -> int:
        shift = 0
        for replacement in self.replacements:
            if position <= replacement.start:
                break
            if position < replacement.end:
                return replacement.new_end if is_end else replacement.new_start
            shift = replacement.new_end - replacement.end
        return position + shift


def mask_text(text: str, policy: MaskingPolicy = DEFAULT_POLICY) -> MaskedText:
    """Put placeholders such as `[CARD]` in the place of personal data.

    Args:
        text: What somebody wrote or said, in any script.
        policy: What to look for.

    Returns:
        The masked text; masking it again changes nothing. Takes time linear in the length.

    Source: docs/personal-data.md.
    """
    folded = fold(text)
    if not policy.kinds or _SEARCHABLE.search(folded.text) is None:
        return MaskedText(text, ())
    found = sorted(
        (*folded.original_span(start, end), kind) for start, end, kind in _find(folded, policy)
    )
    return _replaced(text, found)


def _find(folded: FoldedText, policy: MaskingPolicy) -> list[tuple[int, int, Kind]]:
    """Look for one kind after the other, the surest first; what is found is not read again."""
    found: list[tuple[int, int, Kind]] = []
    text = folded.text
    for search in _SEARCHES:
        spans = [span for span in search(text, policy) if span[2] in policy.kinds]
        found += spans
        text = _blanked(text, spans)
    return found


def _emails(text: str, _policy: MaskingPolicy) -> Iterator[tuple[int, int, Kind]]:
    return ((start, end, Kind.EMAIL) for start, end in email_spans(text))


def _ibans(text: str, _policy: MaskingPolicy) -> Iterator[tuple[int, int, Kind]]:
    return ((start, end, Kind.IBAN) for start, end in iban_spans(text))


def _long_chains(text: str, _policy: MaskingPolicy) -> Iterator[tuple[int, int, Kind]]:
    for chain in numbers.chains(text):
        if sum(len(group.digits) for group in chain) > numbers.MAX_CHAIN_DIGITS:
            yield chain[0].start, chain[-1].end, Kind.NUMBER


def _cards(text: str, _policy: MaskingPolicy) -> Iterator[tuple[int, int, Kind]]:
    def is_card(window: numbers.Window) -> bool:
        return cards.is_card(window.digits)

    return ((*span, Kind.CARD) for span in _windows_that(text, is_card, cards.DIGIT_COUNTS))


def _national_ids(text: str, policy: MaskingPolicy) -> Iterator[tuple[int, int, Kind]]:
    countries = policy.id_countries
    lettered = [(start, end, Kind.NATIONAL_ID) for start, end in lettered_id_spans(text, countries)]
    yield from lettered
    rest = numbers.blank_dates(_blanked(text, lettered))

    def is_id(window: numbers.Window) -> bool:
        return is_national_id(rest, window, countries)

    for span in _windows_that(rest, is_id, ID_DIGIT_COUNTS):
        yield (*span, Kind.NATIONAL_ID)


def _phones(text: str, policy: MaskingPolicy) -> Iterator[tuple[int, int, Kind]]:
    dateless = numbers.blank_dates(text)
    for start, end, is_phone in phones.phone_spans(dateless, policy.phone_regions):
        yield start, end, Kind.PHONE if is_phone else Kind.NUMBER


_SEARCHES: Final = (_emails, _ibans, _long_chains, _cards, _national_ids, _phones)


def _windows_that(
    text: str, fits: Callable[[numbers.Window], bool], digit_counts: range
) -> Iterator[tuple[int, int]]:
    """Yield the longest fitting window at each group of digits, left to right."""
    for chain in numbers.chains(text):
        # What has been found is no part of a longer number around the next.
        rest, first = chain, 0
        while first < len(rest):
            window = next(
                (
                    window
                    for window in numbers.windows(text, rest, first, digit_counts)
                    if not window.is_inside_longer_number and fits(window)
                ),
                None,
            )
            if window is None:
                first += 1
            else:
                yield window.start, window.end
                rest, first = rest[first + len(window.groups) :], 0


def _blanked(text: str, spans: Iterable[tuple[int, int, Kind]]) -> str:
    """Put line breaks, which nothing that is looked for goes across, in the place of spans."""
    characters = list(text)
    for start, end, _ in spans:
        characters[start:end] = "\n" * (end - start)
    return "".join(characters)


def _replaced(text: str, found: Iterable[tuple[int, int, Kind]]) -> MaskedText:
    parts: list[str] = []
    replacements: list[Replacement] = []
    position = length = 0
    for start, end, kind in found:
        new_start = length + start - position
        new_end = new_start + len(kind.placeholder)
        parts += (text[position:start], kind.placeholder)
        replacements.append(Replacement(kind, start, end, new_start, new_end))
        position, length = end, new_end
    return MaskedText("".join(parts) + text[position:], tuple(replacements))
