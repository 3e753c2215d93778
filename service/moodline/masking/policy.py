"""What is looked for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from phonenumbers import SUPPORTED_REGIONS

DEFAULT_PHONE_REGIONS: Final = ("TR", "SA", "AE", "EG", "US", "GB")
ID_COUNTRIES: Final = (
    *("TR", "SA", "AE", "EG", "US", "GB"),
    *("BE", "BR", "DE", "ES", "FR", "IN", "IT", "NL", "PL"),
)
"""All whose national ids are known."""


class Kind(StrEnum):
    """A kind of personal data; its placeholder is the name in square brackets."""

    EMAIL = "EMAIL"
    IBAN = "IBAN"
    CARD = "CARD"
    NATIONAL_ID = "NATIONAL_ID"
    PHONE = "PHONE"
    NUMBER = "NUMBER"
    """Digits that may hide one of the others: too many of them, or cut off by a quote's edge."""

    @property
    def placeholder(self) -> str:
        """What stands in the text instead."""
        return f"[{self.value}]"


@dataclass(frozen=True, slots=True)
class MaskingPolicy:
    """What is looked for.

    Attributes:
        kinds: Kinds that are masked; none masks nothing.
        phone_regions: ISO 3166 countries whose phone numbers are known in their national form; the
            international form is known of all.
        id_countries: ISO 3166 countries whose national ids are known.
    """

    kinds: frozenset[Kind] = frozenset(Kind)
    phone_regions: tuple[str, ...] = DEFAULT_PHONE_REGIONS
    id_countries: tuple[str, ...] = ID_COUNTRIES

    def __post_init__(self) -> None:
        """Check the countries.

        Raises:
            ValueError: If one is not known; it would find nothing, unnoticed.
        """
        unknown = sorted(set(self.phone_regions) - SUPPORTED_REGIONS)
        if unknown:
            raise ValueError(
                f"phone_regions has {', '.join(unknown)}; give countries as two capital letters, "
                "such as TR."
            )
        unknown = sorted(set(self.id_countries) - set(ID_COUNTRIES))
        if unknown:
            raise ValueError(
                f"id_countries has {', '.join(unknown)}; those known are {', '.join(ID_COUNTRIES)}."
            )
