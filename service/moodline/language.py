"""The language of a conversation, from what its customers have written so far.

Detection is py3langid's (docs/languages.md, measured there); this module decides what may be
concluded from it: nothing from an "ok", and no reading of what the model cannot read. Results
are causal: the language after a turn rests on that turn and those before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import langcodes
import regex
from langcodes.tag_parser import LanguageTagError
from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

from moodline.domain import Absence, WarningCode

UNDETERMINED: Final = "und"

# Languages in which the model's quality is measured and published, with their script.
MEASURED_LANGUAGES: Final = {"ar": "Arab", "en": "Latn", "tr": "Latn"}
# Languages that the encoder knows and that nobody has measured here.
UNMEASURED_LANGUAGES: Final = ("de", "es", "fr", "hi", "it", "nl", "pt")

# Source of the constants: docs/languages.md, "How it decides".
MAX_DETECTION_CHARS: Final = 500
MIN_SUPPORTED_PROBABILITY: Final = 0.6
MIN_OTHER_PROBABILITY: Final = 0.9
MIN_ARABIZI_WORD_COUNT: Final = 2

_SUPPORTED: Final = frozenset(MEASURED_LANGUAGES) | frozenset(UNMEASURED_LANGUAGES)
# Members of the macrolanguage `ar` (ISO 639-3) that callers declare or the detector names.
_ARABIC_VARIETIES: Final = frozenset(
    {"aeb", "acm", "afb", "ajp", "apc", "apd", "arb", "arq", "ars", "ary", "arz", "ayl", "ayn"}
)
# The detector's name for text in no language.
_NO_LANGUAGE: Final = "zxx"
_ARABIC_IN_LATIN_LETTERS: Final = "ar-Latn"

_LETTER: Final = regex.compile(r"\p{L}")
_READABLE_LETTER: Final = regex.compile(
    r"[[\p{Script=Latin}\p{Script=Arabic}\p{Script=Devanagari}]&&\p{L}]", regex.V1
)
# Addresses, handles, links, amounts and codes say nothing about the language.
_NOT_A_WORD: Final = regex.compile(r"\S*[@/\d_]\S*")
# Digits that stand for Arabic letters (3 = ع, 7 = ح ...) inside or before lower-case letters.
_ARABIZI_WORD: Final = regex.compile(r"(?<!\w)(?:[a-z]+[235679]+[a-z]+|[235679][a-z]{3,})(?!\w)")


class LanguageSupport(StrEnum):
    """What may be promised for a language."""

    MEASURED = "MEASURED"
    UNMEASURED = "UNMEASURED"
    UNSUPPORTED = "UNSUPPORTED"
    UNKNOWN = "UNKNOWN"


def normalize_language(tag: str) -> str:
    """Return a BCP-47 tag in its canonical form, e.g. `tr-TR` for `TR_tr`; `und` for an empty one.

    Raises:
        ValueError: If `tag` does not have the shape of a BCP-47 tag.
    """
    if not tag:
        return UNDETERMINED
    try:
        return langcodes.standardize_tag(tag)
    except LanguageTagError as error:
        raise ValueError(
            "Expected a BCP-47 language tag such as 'en', 'tr-TR' or 'ar-EG', or nothing to "
            "have the language detected."
        ) from error


def support_of(tag: str) -> LanguageSupport:
    """Return what may be promised for a normalized tag; script counts, region does not."""
    language = langcodes.Language.get(tag)
    primary = language.language or UNDETERMINED
    if primary == UNDETERMINED:
        return LanguageSupport.UNKNOWN
    if primary in _ARABIC_VARIETIES:
        primary = "ar"
    if primary not in _SUPPORTED:
        return LanguageSupport.UNSUPPORTED
    if primary in MEASURED_LANGUAGES and language.script in (None, MEASURED_LANGUAGES[primary]):
        return LanguageSupport.MEASURED
    return LanguageSupport.UNMEASURED


def is_readable(text: str) -> bool:
    """Tell whether at least half of the letters are in a script that the model reads.

    Text without letters (emoji, digits) is readable.
    """
    letter_count = len(_LETTER.findall(text))
    return 2 * len(_READABLE_LETTER.findall(text)) >= letter_count


@dataclass(frozen=True, slots=True)
class TurnLanguage:
    """The language of a conversation as known after a customer turn.

    Attributes:
        language: BCP-47 tag, `und` while unknown.
        support: What may be promised for it.
        is_readable: Whether the turn itself is in a script that the model reads.
    """

    language: str
    support: LanguageSupport
    is_readable: bool

    @property
    def is_measured(self) -> bool:
        """Whether the model's quality in this language is measured and published."""
        return self.support is LanguageSupport.MEASURED

    @property
    def absence(self) -> Absence | None:
        """Why the turn must not be scored, if so."""
        if self.is_readable and self.support is not LanguageSupport.UNSUPPORTED:
            return None
        return Absence.UNSUPPORTED_LANGUAGE

    @property
    def warning(self) -> WarningCode | None:
        """What to warn of concerning the conversation's language, if anything."""
        return {
            LanguageSupport.UNMEASURED: WarningCode.UNMEASURED_LANGUAGE,
            LanguageSupport.UNSUPPORTED: WarningCode.UNSUPPORTED_LANGUAGE,
        }.get(self.support)


class LanguageDetector:
    """Detects the language of a text; built once (about 0.6 s, 75 MB) and shared.

    Not changed by use, so that any number of threads may call it.
    """

    def __init__(self) -> None:
        self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def detect(self, text: str) -> str | None:
        """Return the language of `text` as a BCP-47 tag, or None if it does not tell.

        Source: docs/languages.md, "How it decides".
        """
        words = " ".join(_NOT_A_WORD.sub(" ", text).split())
        probabilities: dict[str, float] = {}
        for name, probability in self._identifier.rank(words):
            language = "ar" if name in _ARABIC_VARIETIES else name
            probabilities[language] = probabilities.get(language, 0.0) + probability
        best = max(probabilities, key=probabilities.__getitem__)
        if best not in _SUPPORTED | {_NO_LANGUAGE} and (
            probabilities[best] >= MIN_OTHER_PROBABILITY
        ):
            return best
        # Among the supported languages alone: the probabilities under the condition that it is one.
        supported = {name: p for name, p in probabilities.items() if name in _SUPPORTED}
        total = sum(supported.values())
        best = max(supported, key=supported.__getitem__)
        share = supported[best] / total if total > 0 else 0.0
        if share < MIN_OTHER_PROBABILITY and (
            len(set(_ARABIZI_WORD.findall(text))) >= MIN_ARABIZI_WORD_COUNT
        ):
            return _ARABIC_IN_LATIN_LETTERS
        return best if share >= MIN_SUPPORTED_PROBABILITY else None


@dataclass(frozen=True, slots=True)
class _Heard:
    """What is kept of the customers' turns: their first words and the conclusion so far."""

    text: str = ""
    language: str = UNDETERMINED


class LanguageTracker:
    """Follows the language of one conversation, customer turn by customer turn.

    A declared language stands, whatever the turns look like. Else the first
    `MAX_DETECTION_CHARS` code points of the customers' text decide: each turn may add to what is
    known until they are full, and nothing is detected after that.
    """

    def __init__(self, detector: LanguageDetector, *, declared: str = "") -> None:
        """Start without a turn.

        Args:
            detector: Shared by all conversations.
            declared: BCP-47 tag declared by the caller; empty or `und` to detect it.

        Raises:
            ValueError: If `declared` does not have the shape of a BCP-47 tag.
        """
        self._detector = detector
        self._heard = _Heard(language=normalize_language(declared))
        self._is_declared = self._heard.language != UNDETERMINED

    @property
    def language(self) -> str:
        """The language as known so far: BCP-47 tag, `und` while unknown."""
        return self._heard.language

    @property
    def support(self) -> LanguageSupport:
        """What may be promised for the language as known so far."""
        return support_of(self._heard.language)

    def add(self, text: str) -> TurnLanguage:
        """Take the next customer turn and return the language as known after it."""
        self._heard = self._after(text)
        return _turn_language(self._heard, text)

    def preview(self, text: str) -> TurnLanguage:
        """Return what `add` would return, without adding the turn."""
        return _turn_language(self._after(text), text)

    def _after(self, text: str) -> _Heard:
        room = MAX_DETECTION_CHARS - len(self._heard.text)
        if self._is_declared or room <= 0 or not _LETTER.search(text):
            return self._heard
        heard = replace(self._heard, text=f"{self._heard.text}{text[:room]}\n")
        detected = self._detector.detect(heard.text)
        return heard if detected is None else replace(heard, language=detected)


def _turn_language(heard: _Heard, text: str) -> TurnLanguage:
    return TurnLanguage(heard.language, support_of(heard.language), is_readable(text))
