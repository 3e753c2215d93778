"""Personal data is masked, whatever it is written in, and other numbers are not."""

from __future__ import annotations

from typing import Any

import pytest
from phonenumbers import PhoneNumberMatcher

from moodline.masking import phones
from moodline.masking.policy import Kind, MaskingPolicy
from moodline.masking.text import mask_text
from scripts import masking_doc


@pytest.mark.parametrize(("language", "text", "wanted"), masking_doc.sentences())
def test_sentences_are_masked_where_they_should_be(
    language: str, text: str, wanted: frozenset[masking_doc.Found]
) -> None:
    assert masking_doc.found_in(text) == wanted, language


def test_the_page_tells_the_figures_of_now() -> None:
    assert masking_doc.DOC.read_text(encoding="utf-8") == masking_doc.render()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("kartım ٤١١١-١١١١-١١١١-١١١١!", "kartım [CARD]!"),
        ("４１１１ １１１１ １１１１ １１１１", "[CARD]"),
        ("4111\u200b1111\u20601111\u200f1111", "[CARD]"),
        ("4\ufe0f\u20e31\ufe0f\u20e311 1111 1111 1111", "[CARD]"),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[CARD]"),
        ("4111 1111 1111 1111 12/29 123", "[CARD] 12/29 123"),
        ("4111111111111111 5500 0000 0000 0004", "[CARD] [CARD]"),
        ("\u202bهاتفي ٠٥٥١٨٤٧٣٢٠\u202c", "\u202bهاتفي [PHONE]\u202c"),
        ("رقمي ٩٦٦٥٥١٨٤٧٣٢٠+", "رقمي [PHONE]"),
        ("0090 532 418 77 06'dan", "[PHONE]'dan"),
        ("مرحباada@example.com", "[EMAIL]"),
        ("(müşteri@örnek.com.tr)", "([EMAIL])"),
        ("ada＠example．com", "[EMAIL]"),
        ("tr33 0006 1005 1978 6457 8413 26'ya", "[IBAN]'ya"),
        ("حسابيTR330006100519786457841326", "حسابي[IBAN]"),
    ],
)
def test_scripts_marks_and_separators_hide_nothing(text: str, masked: str) -> None:
    assert mask_text(text).text == masked


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # wrong check digit
        "9111 1111 1111 1111",  # no issuer
        "4444444444444448"[:15],  # too short
        "0000 0000 0000 0000",
        "TR34 0006 1005 1978 6457 8413 26",
        "kimlik 10000000147",
        "784-1990-1234567-2",
        "9400 5112 0620 8212 3456 78",
        "1Z999AA10123456784",
        "ada@localhost, @ada, 5 @ 3.50",
        "call 444 0 123 or 800-555-0199",
        "1.234.567,89 TL ve 2.345.678.901 $",
        "05.12.2024 10:30 - 2024-05-12 11:45:00",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert mask_text(text).text == text


@pytest.mark.parametrize(
    ("text", "is_masked"),
    [
        ("my number is 2127364120", True),
        ("it says 2127364120", False),
        ("2127364120", True),
        ("order number 2127364120", False),
        ("sipariş numaram 5324187706", False),
        ("telefon numaram 5324187706", True),
        ("5324187706 numaralı siparişim", False),
        ("رقم الطلب ٠٥٥١٨٤٧٣٢٠", False),
        ("رقم الجوال ٠٥٥١٨٤٧٣٢٠", True),
        ("SSN 523418806", True),
        ("item 523418806", False),
        ("the SSN is 523 41 8806", True),
    ],
)
def test_words_beside_a_number_decide_what_digits_alone_do_not(text: str, is_masked: bool) -> None:
    assert bool(mask_text(text).replacements) is is_masked


def test_of_several_readings_the_surest_wins_and_the_rest_is_read_on() -> None:
    assert mask_text("4111111111111111@example.com").text == "[EMAIL]"
    assert mask_text("kart 4111111111111111 05324187706").text == "kart [CARD] [PHONE]"


def test_spans_of_the_original_are_found_again_in_the_masked_text() -> None:
    text = "mail ada@example.com or +44 7911 123456 now"
    masked = mask_text(text)
    assert masked.text == "mail [EMAIL] or [PHONE] now"
    assert masked.counts == {Kind.EMAIL: 1, Kind.PHONE: 1}

    def words(part: str) -> str:
        start = text.index(part)
        first, last = masked.span(start, start + len(part))
        return masked.text[first:last]

    assert words("mail") == "mail"
    assert words("or") == "or"
    assert words(" now") == " now"
    assert words("ada") == "[EMAIL]"
    assert words("example.com or +44") == "[EMAIL] or [PHONE]"
    assert masked.span(0, len(text)) == (0, len(masked.text))


def test_only_what_the_policy_names_is_masked() -> None:
    text = "4111111111111111 ada@example.com 0532 418 77 06 kimlik 10000000146"
    no_phones = MaskingPolicy(kinds=frozenset(Kind) - {Kind.PHONE})
    assert mask_text(text, no_phones).text == "[CARD] [EMAIL] 0532 418 77 06 kimlik [NATIONAL_ID]"
    elsewhere = MaskingPolicy(phone_regions=("FR",), id_countries=("SA",))
    assert mask_text(text, elsewhere).text == "[CARD] [EMAIL] 0532 418 77 06 kimlik 10000000146"
    assert mask_text(text, MaskingPolicy(kinds=frozenset())).text == text


@pytest.mark.parametrize(
    ("wrong", "named"), [({"phone_regions": ("XX",)}, "XX"), ({"id_countries": ("tr",)}, "tr")]
)
def test_countries_that_are_not_known_are_refused(
    wrong: dict[str, tuple[str, ...]], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        MaskingPolicy(**wrong)  # type: ignore[arg-type]


HOSTILE = [
    *("1" * 20_000, "1 " * 10_000, "٠" * 20_000, "1-" * 10_000, "1x" * 10_000, "(1" * 10_000),
    *(
        "532 " * 5_000,
        "0532 123 x " * 1_818,
        "4111 1111 1111 1111 x" * 950,
        "9" * 99 + "x" * 19_901,
    ),
    *("@" * 20_000, "a@" * 10_000, "a" * 20_000 + "@", "a@b." * 5_000, "a@" + "b." * 9_999),
    *("TR33 " * 4_000, "TR33" * 5_000, "AB123456C " * 2_000, "order no " * 2_200 + "5324187706"),
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_make_the_phone_library_read_little(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is what costs; all else looks at each character a bounded number of times."""
    read: list[int] = []

    def counting(chain: str, *arguments: Any, **options: Any) -> PhoneNumberMatcher:
        read.append(sum(sign.isdigit() for sign in chain))
        return PhoneNumberMatcher(chain, *arguments, **options)

    monkeypatch.setattr(phones, "PhoneNumberMatcher", counting)
    masked = mask_text(text)
    region_count = 1 + len(MaskingPolicy().phone_regions)
    # A number that is found may be read once more, for its grouping.
    assert sum(read) <= 2 * region_count * phones.MAX_SEARCHED_DIGITS
    assert mask_text(masked.text).text == masked.text


def test_a_chain_too_long_to_read_is_masked_whole() -> None:
    assert mask_text(f"see {'12 ' * 60}ok").text == "see [NUMBER] ok"
    many = " ; ".join(["0532 418 77 06"] * 100)
    assert set(mask_text(many).counts) == {Kind.PHONE, Kind.NUMBER}
    assert "418" not in mask_text(many).text
