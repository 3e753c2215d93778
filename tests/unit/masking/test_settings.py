"""What is masked is set in the environment."""

from __future__ import annotations

import pytest

from moodline.errors import SettingsError
from moodline.masking.policy import Kind, MaskingPolicy
from moodline.settings import load_settings


def test_everything_known_is_masked_unless_it_is_set_otherwise() -> None:
    assert load_settings({}).masking.policy() == MaskingPolicy()


def test_kinds_and_countries_are_lists_with_commas() -> None:
    settings = load_settings(
        {
            "MOODLINE_MASKING__KINDS": "CARD,IBAN",
            "MOODLINE_MASKING__PHONE_REGIONS": "TR,DE",
            "MOODLINE_MASKING__ID_COUNTRIES": "TR",
        }
    )
    assert settings.masking.policy() == MaskingPolicy(
        frozenset({Kind.CARD, Kind.IBAN}), ("TR", "DE"), ("TR",)
    )


@pytest.mark.parametrize(
    ("name", "value"), [("PHONE_REGIONS", "TR,XX"), ("ID_COUNTRIES", "XX"), ("KINDS", "XX")]
)
def test_what_is_not_known_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"MOODLINE_MASKING__(?s:.*)(XX|{name})"):
        load_settings({f"MOODLINE_MASKING__{name}": value})
