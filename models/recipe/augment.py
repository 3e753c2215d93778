"""Text variants that the trade brings: speech recognition, hurried typing, script and dialect."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Final

import yaml

from models.recipe.config import RECIPE_DIR

_PUNCTUATION = re.compile(r"[^\w\s@#'’]+")
_WORD = re.compile(r"\w+")
_TURKISH_PLAIN: Final = str.maketrans("çğıöşüÇĞİÖŞÜ", "cgiosuCGIOSU")
_TURKISH_LOWER: Final = str.maketrans("Iİ", "ıi")
_TURKISH_UPPER: Final = str.maketrans("ıi", "Iİ")
_ARABIC_PLAIN: Final = str.maketrans("أإآىة", "ااايه")
_ARABIC_MARKS = re.compile("[\u064b-\u0652\u0640]")
_VOWELS: Final = "aeıioöuüاوي"
_WORD_VARIANT_SHARE: Final = 0.8
"""Of the words that have a variant; a mixture is how people write."""

_KINDS: Final = (
    "recognised",
    "lower",
    "upper",
    "script",
    "typo",
    "stretched",
    "emoji",
    "dialect",
    "mixed",
)


class Variants:
    """Makes variants; holds the words of variants.yaml.

    Attributes:
        kinds: What it can make.
    """

    kinds = _KINDS

    def __init__(self) -> None:
        tables = yaml.safe_load((RECIPE_DIR / "variants.yaml").read_text(encoding="utf-8"))
        self._fillers: Mapping[str, list[str]] = tables["fillers"]
        self._emoji: list[str] = tables["emoji"]
        self._words: dict[str, Mapping[str, Mapping[str, str]]] = {
            "dialect": tables["dialect"],
            "mixed": tables["mixed"],
        }

    def vary(self, text: str, language: str, rng: random.Random, *, share: float) -> str:
        """Return `text`, or with probability `share` one variant of it."""
        if rng.random() >= share:
            return text
        return self.make(rng.choice(self.kinds), text, language, rng)

    def make(self, kind: str, text: str, language: str, rng: random.Random) -> str:
        """Return one variant of a kind; `text` itself where the kind finds nothing to change.

        Raises:
            KeyError: If there is no such kind.
        """
        match kind:
            case "recognised":
                return self._as_recognised(text, language, rng)
            case "lower":
                return _lower(text, language)
            case "upper":
                return (text.translate(_TURKISH_UPPER) if language == "tr" else text).upper()
            case "script":
                return _plain_script(text, language)
            case "typo":
                return _with_typos(text, rng)
            case "stretched":
                return _stretched(text, rng)
            case "emoji":
                return f"{text} {rng.choice(self._emoji)}"
            case _:
                return self._with_words(self._words[kind].get(language, {}), text, rng)

    def _as_recognised(self, text: str, language: str, rng: random.Random) -> str:
        words = _lower(_PUNCTUATION.sub(" ", text), language).split()
        fillers = self._fillers.get(language)
        if fillers and len(words) > 4:
            words.insert(rng.randrange(len(words)), rng.choice(fillers))
        return " ".join(words) or text

    def _with_words(self, table: Mapping[str, str], text: str, rng: random.Random) -> str:
        def variant(found: re.Match[str]) -> str:
            word = found[0]
            other = table.get(word.lower())
            if other is None or rng.random() >= _WORD_VARIANT_SHARE:
                return word
            return other.capitalize() if word[0].isupper() else other

        return _WORD.sub(variant, text)


def _lower(text: str, language: str) -> str:
    return (text.translate(_TURKISH_LOWER) if language == "tr" else text).lower()


def _plain_script(text: str, language: str) -> str:
    if language == "tr":
        return text.translate(_TURKISH_PLAIN)
    if language == "ar":
        return _ARABIC_MARKS.sub("", text).translate(_ARABIC_PLAIN)
    return text.replace("'", "").replace("’", "")


def _with_typos(text: str, rng: random.Random) -> str:
    """One slip for about every 25 characters: two letters swapped, one lost or one doubled."""
    for _ in range(1 + len(text) // 25):
        if len(text) < 6:
            return text
        at = rng.randrange(1, len(text) - 2)
        kept = rng.choice((text[at + 1] + text[at], text[at + 1], text[at] * 2 + text[at + 1]))
        text = text[:at] + kept + text[at + 2 :]
    return text


def _stretched(text: str, rng: random.Random) -> str:
    """Draw out a vowel, or the end of the sentence, as people do who shout or plead."""
    places = [i for i, letter in enumerate(text) if letter.lower() in _VOWELS]
    if places and rng.random() < 0.5:
        at = rng.choice(places)
        return text[:at] + text[at] * rng.randint(2, 4) + text[at:]
    if text[-1] in "!?.":
        return text + text[-1] * rng.randint(1, 3)
    return text
