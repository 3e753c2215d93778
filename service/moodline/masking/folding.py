"""One plain form of a text to search in, whatever script, width or marks it was written with."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_DROPPED_CATEGORIES: Final = frozenset({"Cf", "Mn", "Me"})
"""Zero-width characters, bidi marks, soft hyphens; accents, vowel signs, keycaps."""
_TATWEEL: Final = "\u0640"
_DOTLESS_I: Final = "\u0131"


@dataclass(frozen=True, slots=True)
class FoldedText:
    """A text to search in, and where its characters come from.

    Attributes:
        text: ASCII digits, letters without accents, one kind of space and one of dash; without
            characters that nobody sees.
        origins: Index in the original of each character of `text`, and at the end its length.
            *Shape:* `len(text) + 1`.
    """

    text: str
    origins: Sequence[int]

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Return what a span of at least one character covers in the original.

        Unseen characters inside belong to it, those at its edges do not.
        """
        return self.origins[start], self.origins[end - 1] + 1


def fold(text: str) -> FoldedText:
    """Return the form to search in; takes time linear in the length."""
    if text.isascii():
        return FoldedText(text, range(len(text) + 1))
    known: dict[str, str] = {}
    characters: list[str] = []
    origins: list[int] = []
    for index, character in enumerate(text):
        folded = known.get(character)
        if folded is None:
            folded = known[character] = _fold_character(character)
        if folded:
            characters.append(folded)
            origins.append(index)
    return FoldedText("".join(characters), [*origins, len(text)])


def _fold_character(character: str) -> str:
    """Return one character, or none."""
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category in _DROPPED_CATEGORIES or character == _TATWEEL:
        return ""
    if category == "Zs":
        return " "
    if category == "Pd" or character == "\u2212":
        return "-"
    if character == _DOTLESS_I:
        return "i"
    parts = unicodedata.normalize("NFKD", character)
    return parts[0] if all(unicodedata.category(mark) == "Mn" for mark in parts[1:]) else character
