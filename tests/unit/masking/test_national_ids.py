"""Each national id is told by its check digits."""

from __future__ import annotations

import pytest

from moodline.masking.national_ids import DIGIT_IDS, LETTERED_IDS
from moodline.masking.policy import ID_COUNTRIES, Kind, MaskingPolicy
from moodline.masking.text import mask_text

VALID = {
    ("TR", "TCKN"): "kimlik 38204917510",
    ("AE", "Emirates ID"): "id 784-1987-5042316-6",
    ("EG", "national id"): "id 29308152104567",
    ("SA", "national id, Iqama"): "id 1048273658",
    ("BE", "NISS"): "id 85073003328",
    ("BR", "CPF"): "id 390.533.447-05",
    ("DE", "IdNr"): "id 36574261809",
    ("FR", "NIR"): "id 2 95 10 99 126 111 93",
    ("PL", "PESEL"): "id 44051401359",
    ("US", "SSN"): "id 536-90-4399",
    ("US", "ITIN"): "id 912-90-3456",
    ("GB", "NHS number"): "NHS 943 476 5870",
    ("IN", "Aadhaar"): "id 2341 2341 2346",
    ("NL", "BSN"): "BSN 111222333",
    ("GB", "NINO"): "id JK 48 21 93 C",
    ("ES", "DNI"): "id 54362315K",
    ("ES", "NIE"): "id X-5253868-R",
    ("IT", "codice fiscale"): "id RCCMNL83S18D969H",
    ("IN", "PAN"): "id ACUPA7085R",
}
"""Of each id one that nobody is known to have."""


def test_every_known_id_is_tried() -> None:
    known = {(entry.country, entry.name) for entry in (*DIGIT_IDS, *LETTERED_IDS)}
    assert known == VALID.keys()
    assert {country for country, _ in known} == set(ID_COUNTRIES)


@pytest.mark.parametrize(("country", "text"), [(c, t) for (c, _), t in VALID.items()])
def test_an_id_is_masked_where_its_country_is_known(country: str, text: str) -> None:
    only = MaskingPolicy(kinds=frozenset({Kind.NATIONAL_ID}), id_countries=(country,))
    assert mask_text(text, only).text == f"{text.split()[0]} [NATIONAL_ID]"
    others = MaskingPolicy(
        kinds=frozenset({Kind.NATIONAL_ID}),
        id_countries=tuple(c for c in ID_COUNTRIES if c != country),
    )
    assert mask_text(text, others).text == text


@pytest.mark.parametrize(
    "text",
    [
        "kimlik 38204917511",
        "id 784-1987-5042316-7",
        "id 29313152104567",
        "id 1048273659",
        "id 666-90-4399",
        "id GB 48 21 93 C",
        "id 54362315A",
        "id RCCMNL83S18D969A",
    ],
)
def test_a_wrong_digit_letter_or_date_makes_it_no_id(text: str) -> None:
    assert mask_text(text).text == text
