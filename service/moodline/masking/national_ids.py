"""Numbers that a state gives to persons."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from stdnum import luhn
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar, pan
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.tr import tckimlik
from stdnum.us import itin, ssn

from moodline.masking.contexts import (
    is_joined,
    is_part_of_code,
    surroundings,
)
from moodline.masking.numbers import Window

Layout = tuple[int, ...]


class Proof(Enum):
    """What it takes, beside the check digits, to believe that a number is an id."""

    NOTHING = auto()
    NOT_A_REFERENCE = auto()
    """Nobody calls it the number of an order and the like."""
    LAYOUT_OR_WORD = auto()
    """It is grouped as on the card, or somebody calls it by its name."""


@dataclass(frozen=True, slots=True)
class NationalId:
    """An id that people give in digits.

    Attributes:
        country: ISO 3166.
        name: As people there call it.
        length: Digits.
        is_valid: Takes the digits.
        proof: What else it takes.
        layouts: Sizes of its groups as on the card; read with `LAYOUT_OR_WORD` alone.
        separators: What may stand between those groups.
        words: Its names.
    """

    country: str
    name: str
    length: int
    is_valid: Callable[[str], bool]
    proof: Proof
    layouts: frozenset[Layout] = frozenset()
    separators: frozenset[str] = frozenset({"-", " "})
    words: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class LetteredId:
    """An id with letters.

    Attributes:
        country: ISO 3166.
        name: As people there call it.
        pattern: Of a folded text; what it finds is checked by `is_valid`, without separators.
        is_valid: Takes capital letters and digits.
    """

    country: str
    name: str
    pattern: re.Pattern[str]
    is_valid: Callable[[str], bool]


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _lettered(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![0-9A-Za-z]){pattern}(?![0-9A-Za-z])", re.IGNORECASE)


def _is_saudi_id(digits: str) -> bool:
    """Citizens' begin with 1, residents' with 2. Source: Absher, National Information Center."""
    return digits[0] in "12" and luhn.is_valid(digits)


def _is_emirates_id(digits: str) -> bool:
    """784, year of birth, seven digits, check digit. Source: ICP, Emirates ID."""
    return digits[:3] == "784" and digits[3:5] in ("19", "20") and luhn.is_valid(digits)


_EGYPTIAN_GOVERNORATES: Final = frozenset(
    "01 02 03 04 11 12 13 14 15 16 17 18 19 21 22 23 24 25 26 27 28 29 31 32 33 34 35 88".split()
)


def _is_egyptian_id(digits: str) -> bool:
    """Century, date of birth, governorate, serial number, check digit of unpublished make.

    Source: Egypt, Civil Status Organization.
    """
    if digits[0] not in "23" or digits[7:9] not in _EGYPTIAN_GOVERNORATES:
        return False
    try:
        dt.date(
            {"2": 1900, "3": 2000}[digits[0]] + int(digits[1:3]), int(digits[3:5]), int(digits[5:7])
        )
    except ValueError:
        return False
    return True


def _is_french_id(digits: str) -> bool:
    return digits[0] in "1278" and nir.is_valid(digits)


def _is_any(_letters: str) -> bool:
    """Of ids without check digits the pattern is all there is."""
    return True


_SSN_WORDS: Final = _words(r"\bssn\b|social security|\bitin\b|taxpayer")

DIGIT_IDS: Final = (
    NationalId("TR", "TCKN", 11, tckimlik.is_valid, Proof.NOTHING),
    NationalId("AE", "Emirates ID", 15, _is_emirates_id, Proof.NOTHING),
    NationalId("EG", "national id", 14, _is_egyptian_id, Proof.NOT_A_REFERENCE),
    NationalId("SA", "national id, Iqama", 10, _is_saudi_id, Proof.NOT_A_REFERENCE),
    NationalId("BE", "NISS", 11, nn.is_valid, Proof.NOT_A_REFERENCE),
    NationalId("BR", "CPF", 11, cpf.is_valid, Proof.NOT_A_REFERENCE),
    NationalId("DE", "IdNr", 11, idnr.is_valid, Proof.NOT_A_REFERENCE),
    NationalId("FR", "NIR", 15, _is_french_id, Proof.NOT_A_REFERENCE),
    NationalId("PL", "PESEL", 11, pesel.is_valid, Proof.NOT_A_REFERENCE),
    NationalId(
        *("US", "SSN", 9, ssn.is_valid, Proof.LAYOUT_OR_WORD),
        layouts=frozenset({(3, 2, 4)}),
        separators=frozenset({"-"}),
        words=_SSN_WORDS,
    ),
    NationalId(
        *("US", "ITIN", 9, itin.is_valid, Proof.LAYOUT_OR_WORD),
        layouts=frozenset({(3, 2, 4)}),
        separators=frozenset({"-"}),
        words=_SSN_WORDS,
    ),
    NationalId(
        *("GB", "NHS number", 10, nhs.is_valid, Proof.LAYOUT_OR_WORD), words=_words(r"\bnhs\b")
    ),
    NationalId(
        *("IN", "Aadhaar", 12, aadhaar.is_valid, Proof.LAYOUT_OR_WORD),
        layouts=frozenset({(4, 4, 4)}),
        words=_words(r"\baa?dhaa?r\b|\buid(?:ai)?\b"),
    ),
    NationalId(
        *("NL", "BSN", 9, bsn.is_valid, Proof.LAYOUT_OR_WORD),
        words=_words(r"\bbsn\b|burgerservicenummer|sofinummer"),
    ),
)
"""Ids of digits alone, the surest first. Source: `stdnum`, and where it has none, the function."""

LETTERED_IDS: Final = (
    LetteredId(
        "GB",
        "NINO",
        # Source: HMRC, National Insurance Manual NIM39110.
        _lettered(
            r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
            r"([ -]?)[0-9]{2}\1[0-9]{2}\1[0-9]{2}\1[A-D]"
        ),
        _is_any,
    ),
    LetteredId("ES", "DNI", _lettered(r"[0-9]{8}[ -]?[A-Z]"), dni.is_valid),
    LetteredId("ES", "NIE", _lettered(r"[XYZ][ -]?[0-9]{7}[ -]?[A-Z]"), nie.is_valid),
    LetteredId(
        "IT",
        "codice fiscale",
        _lettered(
            r"[A-Z]{3}([ ]?)[A-Z]{3}\1[0-9LMNPQ-V]{2}[A-EHLMPR-T][0-9LMNPQ-V]{2}\1"
            r"[A-Z][0-9LMNPQ-V]{3}[A-Z]"
        ),
        codicefiscale.is_valid,
    ),
    LetteredId("IN", "PAN", _lettered(r"[A-Z]{5}[0-9]{4}[A-Z]"), pan.is_valid),
)
"""Ids with letters."""

ID_DIGIT_COUNTS: Final = range(9, 16)


def is_national_id(text: str, window: Window, countries: Sequence[str]) -> bool:
    """Whether a window of a folded text is an id of one of the countries."""
    digits = window.digits
    if text[window.start - 1 : window.start] == "+":
        return False
    known = [i for i in DIGIT_IDS if i.length == len(digits) and i.country in countries]
    return (
        any(entry.is_valid(digits) and _is_believed(text, window, entry) for entry in known)
        and not is_part_of_code(text, window.start, window.end)
        and not is_joined(text, window.start, window.end, ".,-")
    )


def lettered_id_spans(text: str, countries: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the ids with letters in a folded text, left to right."""
    spans = [
        match.span()
        for known in LETTERED_IDS
        if known.country in countries
        for match in known.pattern.finditer(text)
        if known.is_valid(re.sub("[^0-9A-Za-z]", "", match.group()).upper())
        and not surroundings(text, *match.span()).is_reference
    ]
    end = 0
    for span in sorted(spans):
        if span[0] >= end:
            end = span[1]
            yield span


def _is_believed(text: str, window: Window, known: NationalId) -> bool:
    around = surroundings(text, window.start, window.end)
    if known.proof is Proof.NOTHING:
        return window.has_one_separator
    if known.proof is Proof.NOT_A_REFERENCE:
        is_plain = window.has_one_separator or known.country == "BR"
        return is_plain and not around.is_reference and not around.is_amount
    is_laid_out = window.layout in known.layouts and all(
        separator in known.separators for separator in window.separators
    )
    is_named = known.words is not None and around.tells(known.words)
    return is_named or (is_laid_out and not around.is_reference)
