"""What holds of any text."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from moodline.masking.folding import fold
from moodline.masking.policy import Kind
from moodline.masking.text import mask_text
from tests.unit.masking.numbers import around, cards, ibans, mobiles, tckns, written

pieces = st.one_of(
    st.text(max_size=12),
    st.text("0123456789 .,-/+()@:\n", max_size=30),
    st.sampled_from(["order no ", "phone ", "SSN ", "[CARD]", "0532 418 77 06", "a@b.com", " TL"]),
    written(cards),
    written(tckns),
    written(ibans),
    mobiles,
)
texts = st.lists(pieces, max_size=8).map("".join)


def check_masked(before: str, number: str, after: str, kind: Kind) -> None:
    masked = mask_text(f"{before} {number} {after}")
    assert kind in masked.counts
    assert not any(sign.isdecimal() for sign in masked.text)


@given(around, written(cards), around)
def test_a_card_is_masked_in_any_text(before: str, number: str, after: str) -> None:
    check_masked(before, number, after, Kind.CARD)


@given(around, written(tckns), around)
@example("", "10000000078", "%")
@example("", "10000000078", "TL")
def test_a_tckn_is_masked_in_any_text(before: str, number: str, after: str) -> None:
    check_masked(before, number, after, Kind.NATIONAL_ID)


@given(around, written(ibans), around)
def test_an_iban_is_masked_in_any_text(before: str, number: str, after: str) -> None:
    check_masked(before, number, after, Kind.IBAN)


@given(texts)
def test_masked_text_masks_to_itself(text: str) -> None:
    masked = mask_text(text).text
    assert mask_text(masked).text == masked


@given(texts, st.data())
def test_spans_map_and_all_else_stays(text: str, data: st.DataObject) -> None:
    masked = mask_text(text)
    end = new_end = 0
    for found in masked.replacements:
        assert text[end : found.start] == masked.text[new_end : found.new_start]
        assert masked.text[found.new_start : found.new_end] == found.kind.placeholder
        assert masked.span(found.start, found.end) == (found.new_start, found.new_end)
        end, new_end = found.end, found.new_end
    assert text[end:] == masked.text[new_end:]
    start = data.draw(st.integers(0, len(text)))
    first, last = masked.span(start, data.draw(st.integers(start, len(text))))
    assert 0 <= first <= last <= len(masked.text)


@given(st.text())
def test_what_is_searched_says_where_it_comes_from(text: str) -> None:
    folded = fold(text)
    assert len(folded.origins) == len(folded.text) + 1
    assert list(folded.origins) == sorted(set(folded.origins))
    for sign, origin in zip(folded.text, folded.origins, strict=False):
        assert fold(text[origin]).text == sign
