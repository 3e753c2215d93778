"""Finds phrases in text of any of the languages, however it is spelt (docs/rules.md, Phrases).

Text and phrases are folded in the same way, character by character, so that a match in the folded
text has a place in the original one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_PHRASE_CHARS: Final = 200
MAX_GAPS: Final = 3
"""The most wildcards for words that a phrase may hold."""
MAX_GAP_WORDS: Final = 5
"""The most words that such a wildcard stands for."""
MAX_WORD_WILDCARDS: Final = 2
"""The most wildcards for letters that a word of a phrase may hold."""
MAX_WILDCARD_CHARS: Final = 30
"""The most letters that such a wildcard stands for."""
_WILDCARD: Final = "*"
# Stands for a wildcard in a folded phrase, where `*` would have become a space.
_MARK: Final = "\0"
_GAP: Final = f"(?:[^ ]+ +){{0,{MAX_GAP_WORDS}}}"

# Letters that no decomposition tells to be the same, and what tells nothing: variation selectors.
_SAME_LETTERS: Final = {
    "ı": "i",
    "ø": "o",
    "đ": "d",
    "ł": "l",
    # Alef wasla; ya without dots and of Persian; kaf of Persian; ta marbuta as ha; bare hamza.
    "\N{ARABIC LETTER ALEF WASLA}": "\N{ARABIC LETTER ALEF}",
    "\N{ARABIC LETTER ALEF MAKSURA}": "\N{ARABIC LETTER YEH}",
    "\N{ARABIC LETTER FARSI YEH}": "\N{ARABIC LETTER YEH}",
    "\N{ARABIC LETTER KEHEH}": "\N{ARABIC LETTER KAF}",
    "\u0629": "\u0647",
    "\N{ARABIC LETTER HAMZA}": "",
    "\N{ARABIC TATWEEL}": "",
    **{chr(selector): "" for selector in range(0xFE00, 0xFE10)},
}
# Canonical combining classes of what is written above or below a letter: of Latin and of Arabic.
# Others, as the vowel signs of Devanagari, are part of the word.
_LATIN_MARK_CLASS: Final = 200
_ARABIC_MARK_CLASSES: Final = range(27, 37)


class PhraseError(ValueError):
    """A phrase that can never be found; the message says why."""


def _fold_char(char: str) -> str:
    """Fold one character: letters and digits to plain ones, all else to a space or nothing."""
    folded = ""
    for part in unicodedata.normalize("NFKD", char).casefold():
        part = _SAME_LETTERS.get(part, part)
        category = unicodedata.category(part) if part else "Cf"
        combining = unicodedata.combining(part) if part else 0
        if category == "Cf" or combining >= _LATIN_MARK_CLASS or combining in _ARABIC_MARK_CLASSES:
            continue
        if category[0] in "LNM":
            folded += str(unicodedata.decimal(part, part))
        else:
            folded += " "
    return folded


class _FoldTable(dict[int, str]):
    """For `str.translate`; folds a character when it is first seen."""

    def __missing__(self, code: int) -> str:
        folded = self[code] = _fold_char(chr(code))
        return folded


_FOLD: Final = _FoldTable()


def fold(text: str) -> str:
    """Fold a text: case, diacritics, forms of letters, tatweel, digits; signs become spaces."""
    return text.translate(_FOLD)


@dataclass(frozen=True, slots=True)
class Span:
    """Code points [start, end) of a text."""

    start: int
    end: int


class Phrases:
    """A list of phrases, found together."""

    def __init__(self, phrases: Iterable[str]) -> None:
        """Compile the phrases.

        Raises:
            PhraseError: If one of them is too long or can never be found.
        """
        alternatives = _any_of([_pattern(phrase) for phrase in phrases])
        self._pattern = re.compile(rf"(?<![^ ])(?:{alternatives})(?![^ ])")

    def is_in(self, folded: str) -> bool:
        """Tell whether a folded text says one of them."""
        return self._pattern.search(folded) is not None

    def find(self, text: str) -> Span | None:
        """Return where `text` first says one of them."""
        match = self._pattern.search(fold(text))
        if match is None:
            return None
        # Where each character of the folded text comes from; needed for the few that match alone.
        origins = [index for index, char in enumerate(text) for _ in _FOLD[ord(char)]]
        end = origins[match.end() - 1] + 1
        while end < len(text) and not _FOLD[ord(text[end])]:
            end += 1  # Marks of the last letter.
        return Span(origins[match.start()], end)


def check_phrase(phrase: str) -> None:
    """Check a phrase without compiling it.

    Raises:
        PhraseError: If it is too long or can never be found.
    """
    _pattern(phrase)


def _pattern(phrase: str) -> str:
    if len(phrase) > MAX_PHRASE_CHARS:
        raise PhraseError(f"has {len(phrase)} characters, more than {MAX_PHRASE_CHARS}; shorten it")
    words = _MARK.join(map(fold, phrase.split(_WILDCARD))).split()
    is_gap = [not word.strip(_MARK) for word in words]
    if not words or is_gap[0] or is_gap[-1]:
        raise PhraseError("must begin and end with a word, not with nothing or a wildcard")
    if sum(is_gap) > MAX_GAPS:
        raise PhraseError(f"has more than {MAX_GAPS} wildcards for words; use fewer")
    parts = [_GAP if gap else _word(word) for word, gap in zip(words, is_gap, strict=True)]
    # A gap ends with the space before the next word.
    return "".join(
        part if gap or index == len(parts) - 1 else f"{part} +"
        for index, (part, gap) in enumerate(zip(parts, is_gap, strict=True))
    )


def _any_of(patterns: list[str]) -> str:
    """Join patterns by their first letter: at each word, `re` tries the parts of `|` one by one."""
    by_letter: dict[str, list[str]] = {}
    for pattern in patterns:
        by_letter.setdefault(pattern[0] if pattern[0].isalnum() else "", []).append(pattern)
    return "|".join(
        f"{letter}(?:{'|'.join(pattern[len(letter) :] for pattern in group)})"
        for letter, group in by_letter.items()
    )


def _word(word: str) -> str:
    pieces = word.split(_MARK)
    if len(pieces) - 1 > MAX_WORD_WILDCARDS:
        raise PhraseError(
            f"has more than {MAX_WORD_WILDCARDS} wildcards for letters in a word; use fewer"
        )
    return f"[^ ]{{0,{MAX_WILDCARD_CHARS}}}".join(map(re.escape, pieces))
