"""Phrases are found however they are spelt, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moodline.rules.phrases import PhraseError, Phrases, fold


def found(phrase: str, text: str) -> str | None:
    span = Phrases([phrase]).find(text)
    assert (span is not None) is Phrases([phrase]).is_in(fold(text))
    return None if span is None else text[span.start : span.end]


@pytest.mark.parametrize(
    ("phrase", "text", "words"),
    [
        # Case and the four letters i of Turkish.
        ("ISRARLA İPTAL", "ısrarla iptal diyorum", "ısrarla iptal"),
        ("istiyorum", "İSTİYORUM!", "İSTİYORUM"),
        ("ıstıyorum", "istiyorum", "istiyorum"),
        # Diacritics, composed or not, and those who type without them.
        ("şikâyet", "bir SIKAYET var", "SIKAYET"),
        ("şikayet", "s\u0327ika\u0302yet", "s\u0327ika\u0302yet"),
        # Suffixes after an apostrophe, straight or curly.
        ("Moodtel", "Moodtel'den memnunum", "Moodtel"),
        ("don't", "I don’t know", "don’t"),
        # Arabic: marks, alef, ya, ta marbuta, tatweel, presentation forms, digits.
        ("الغاء", "أريد إلغاءَ الاشتراك", "إلغاءَ"),
        ("شكوي رسميه", "قدمت شكوى رسميّة", "شكوى رسميّة"),
        ("محامي", "مُحـــامِيّ", "مُحـــامِيّ"),
        ("لا", "قلت \ufefb", "\ufefb"),
        ("كود 123", "الكود؟ كود ١٢٣", "كود ١٢٣"),
        # Wildcards: for letters of a word, for words in between.
        ("iptal*", "aboneliğimi iptalini istedim", "iptalini"),
        ("*محامي", "سأكلم بمحامي", "بمحامي"),
        ("speak to * manager", "let me speak to your damn manager", "speak to your damn manager"),
        ("speak to * manager", "speak to manager", "speak to manager"),
        ("caught fire", "It caught\n  fire.", "caught\n  fire"),
        ("fire", "🔥fire🔥", "fire"),
    ],
)
def test_a_phrase_is_found_and_quoted_as_it_was_written(phrase: str, text: str, words: str) -> None:
    assert found(phrase, text) == words


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("cat", "concatenate"),
        ("iptal", "iptalini"),
        ("speak to * manager", "speak to a b c d e f manager"),
        ("legal action", "action legal"),
        ("fire", ""),
    ],
)
def test_words_are_found_whole_and_in_order(phrase: str, text: str) -> None:
    assert found(phrase, text) is None


@pytest.mark.parametrize(
    ("phrase", "problem"),
    [
        ("*", "begin and end"),
        ("cancel *", "begin and end"),
        ("!?", "begin and end"),
        ("a * b * c * d * e", "more than 3 wildcards for words"),
        ("a*b*c*d", "more than 2 wildcards for letters"),
        ("x" * 201, "201 characters, more than 200"),
    ],
)
def test_a_phrase_that_cannot_be_found_is_refused(phrase: str, problem: str) -> None:
    with pytest.raises(PhraseError, match=problem):
        Phrases([phrase])


@given(st.text(max_size=80), st.text(max_size=40))
def test_a_span_quotes_what_folds_to_the_phrase(text: str, around: str) -> None:
    phrase = "müşteri hizmetleri"
    whole = f"{around} {phrase.upper()} {text}"
    span = Phrases([phrase]).find(whole)
    assert span is not None
    assert fold(whole[span.start : span.end]).split() == fold(phrase).split()


@given(st.text(max_size=200))
def test_any_text_can_be_searched(text: str) -> None:
    phrases = Phrases(["iptal*", "a * b"])
    assert (phrases.find(text) is not None) is phrases.is_in(fold(text))
