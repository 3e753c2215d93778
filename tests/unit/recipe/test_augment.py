"""Variants of training texts: what each kind changes, and that nothing else is."""

import random

import pytest

from models.recipe.augment import Variants

VARIANTS = Variants()


def make(kind: str, text: str, language: str) -> str:
    return VARIANTS.make(kind, text, language, random.Random(7))


def test_recognised_speech_has_no_case_and_no_punctuation() -> None:
    text = make("recognised", "Where IS it? I called, twice!", "en")
    assert text == text.lower()
    assert not set(text) & set("?!,")


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("upper", "iade ılık", "İADE ILIK"),
        ("lower", "IŞIK İPTAL", "ışık iptal"),
        ("upper", "it is late", "IT IS LATE"),
    ],
)
def test_case_follows_the_language(kind: str, text: str, expected: str) -> None:
    language = "en" if "late" in text else "tr"
    assert make(kind, text, language) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("tr", "şikâyetçiyim, ödüyorum", "sikâyetciyim, oduyorum"),
        ("ar", "أُريد إلغاء الخدمة", "اريد الغاء الخدمه"),
        ("en", "it doesn't work", "it doesnt work"),
    ],
)
def test_script_habits_drop_what_keyboards_hide(language: str, text: str, expected: str) -> None:
    assert make("script", text, language) == expected


@pytest.mark.parametrize(
    ("kind", "language", "text"),
    [
        ("dialect", "tr", "Siparişi hâlâ bekliyorum ve çalışmıyor"),
        ("dialect", "ar", "لماذا الهاتف ليس جيد الآن"),
        ("dialect", "en", "thanks because people came late"),
        ("mixed", "tr", "siparişim için iade ve destek"),
        ("mixed", "ar", "مشكلة في الدفع و التطبيق"),
    ],
)
def test_words_become_their_forms_of_the_region_or_of_another_language(
    kind: str, language: str, text: str
) -> None:
    changed = make(kind, text, language)
    assert changed != text
    kept = set(text.split()) & set(changed.split())
    assert kept, "only the words of the table change"


def test_a_language_without_a_table_stays_as_it_is() -> None:
    assert make("mixed", "wo ist mein Paket", "de") == "wo ist mein Paket"


def test_emoji_only_join_the_text() -> None:
    assert make("emoji", "where is it", "en").startswith("where is it ")


@pytest.mark.parametrize("kind", Variants.kinds)
@pytest.mark.parametrize("text", ["a", "?", "أ", "ab!", "12 34"])
def test_no_kind_loses_a_short_text(kind: str, text: str) -> None:
    for language in ("en", "tr", "ar"):
        assert make(kind, text, language).strip()


def test_the_share_decides_how_many_texts_vary() -> None:
    rng = random.Random(1)
    texts = ["Please tell me where my order is, I am waiting!"] * 400
    assert [VARIANTS.vary(t, "en", rng, share=0.0) for t in texts] == texts
    varied = [VARIANTS.vary(t, "en", rng, share=1.0) for t in texts]
    assert sum(v != t for v, t in zip(varied, texts, strict=True)) > 300
