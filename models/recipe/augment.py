"""Text variants that the trade brings: speech recognition, hurried typing, script habits."""

from __future__ import annotations

import random
import re
from typing import Final

_PUNCTUATION = re.compile(r"[^\w\s@#'’]+")
_TURKISH_PLAIN: Final = str.maketrans("çğıöşüÇĞİÖŞÜ", "cgiosuCGIOSU")
_ARABIC_PLAIN: Final = str.maketrans("أإآىة", "ااايه")
_ARABIC_MARKS = re.compile("[\u064b-\u0652\u0640]")
_FILLERS: Final = {
    "en": ("uh", "um", "you know"),
    "tr": ("ııı", "şey", "yani"),
    "ar": ("يعني", "اه", "طيب"),
}


def vary(text: str, language: str, rng: random.Random, *, share: float) -> str:
    """Return `text`, or with probability `share` one variant of it."""
    if rng.random() >= share:
        return text
    kind = rng.choice(("recognised", "lower", "script", "typo"))
    if kind == "recognised":
        return _as_recognised(text, language, rng)
    if kind == "script" and language == "tr":
        return text.translate(_TURKISH_PLAIN)
    if kind == "script" and language == "ar":
        return _ARABIC_MARKS.sub("", text).translate(_ARABIC_PLAIN)
    if kind == "typo":
        return _with_typo(text, rng)
    return text.lower()


def _as_recognised(text: str, language: str, rng: random.Random) -> str:
    words = _PUNCTUATION.sub(" ", text).lower().split()
    fillers = _FILLERS.get(language)
    if fillers and len(words) > 4:
        words.insert(rng.randrange(len(words)), rng.choice(fillers))
    return " ".join(words) or text


def _with_typo(text: str, rng: random.Random) -> str:
    if len(text) < 6:
        return text
    at = rng.randrange(1, len(text) - 2)
    if rng.random() < 0.5:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :]
