"""Numbers of payment cards."""

from __future__ import annotations

from typing import Final

from stdnum import luhn

DIGIT_COUNTS: Final = range(14, 20)

_ISSUERS: Final = (
    # first, last, lengths
    ("2200", "2204", range(16, 20)),  # Mir
    ("2221", "2720", range(16, 17)),  # Mastercard
    ("300", "305", range(14, 20)),  # Diners Club
    ("3095", "3095", range(14, 20)),
    ("34", "34", range(15, 16)),  # American Express
    ("3528", "3589", range(16, 20)),  # JCB
    ("36", "36", range(14, 20)),
    ("37", "37", range(15, 16)),
    ("38", "39", range(14, 20)),
    ("4", "4", (16, 19)),  # Visa; its 13 digits are gone, and those of many bar codes
    ("50", "50", range(16, 20)),  # Maestro, Meeza, RuPay, Verve
    ("51", "55", range(16, 17)),  # Mastercard
    ("56", "58", range(16, 20)),  # Maestro
    ("6", "6", range(16, 20)),  # Discover, Maestro, RuPay, Troy, UnionPay
    ("81", "82", range(16, 20)),  # UnionPay, RuPay
    ("9682", "9682", range(16, 17)),  # mada
    ("9792", "9792", range(16, 17)),  # Troy
)
"""Source: ISO/IEC 7812; the issuers' ranges as of 2025, joined where they touch."""


def is_card(digits: str) -> bool:
    """Whether digits are such as an issuer gives, in beginning, length and check digit."""
    return (
        any(
            first <= digits[: len(first)] <= last and len(digits) in lengths
            for first, last, lengths in _ISSUERS
        )
        # One digit over and over has the right sum, but is no card.
        and len(set(digits)) > 1
        and luhn.is_valid(digits)
    )
