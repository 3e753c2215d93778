"""Ways to write the same words differently; none of them changes what is meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

_PUNCTUATION: Final = re.compile(r"[^\w\s'’]+")
_TURKISH_PLAIN: Final = str.maketrans("çğıöşüâîûÇĞİÖŞÜ", "cgiosuaiuCGIOSU")
_ARABIC_PLAIN: Final = str.maketrans("أإآةى", "ااا\u0647\u064a")
_FINAL_YEH: Final = re.compile(r"ي\b")
_JOINING_PAIR: Final = re.compile(r"([بتثجحخسشصضطظعغفقكلمنهي])(?=[بتثجحخسشصضطظعغفقكمنهي]\w)")


def lower(text: str, language: str) -> str:
    """All small letters."""
    if language == "tr":
        text = text.replace("I", "ı").replace("İ", "i")
    return text.lower()


def upper(text: str, language: str) -> str:
    """All capitals."""
    if language == "tr":
        text = text.replace("i", "İ")
    return text.upper()


def unpunctuated(text: str, language: str) -> str:
    """As speech recognition writes it: small letters, no punctuation."""
    return " ".join(_PUNCTUATION.sub(" ", lower(text, language)).split())


def plain_turkish(text: str, _language: str) -> str:
    """Turkish typed with the letters of an English keyboard."""
    return text.translate(_TURKISH_PLAIN)


def plain_arabic(text: str, _language: str) -> str:
    """Alif without hamza, ha for ta marbuta, yeh for alif maqsura."""
    return text.translate(_ARABIC_PLAIN)


def dotless_yeh(text: str, _language: str) -> str:
    """Yeh without dots at the end of words, as in Egypt."""
    return _FINAL_YEH.sub("ى", text)


def stretched(text: str, _language: str) -> str:
    """The first word that allows it stretched by tatweel."""
    return _JOINING_PAIR.sub(r"\1ـــ", text, count=1)


PERTURBATIONS: Final[Mapping[str, Callable[[str, str], str]]] = {
    function.__name__: function
    for function in (
        lower,
        upper,
        unpunctuated,
        plain_turkish,
        plain_arabic,
        dotless_yeh,
        stretched,
    )
}
"""By the names that the case files use; each takes text and language."""
