"""Taking quoted and random words out of a turn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy.faithfulness import RANDOM_DRAWS, Movement, shortened, summarize
from moodline.domain import Evidence


def quote(text: str, words: str) -> Evidence:
    start = text.index(words)
    return Evidence(start, start + len(words), words, "sentiment", 1.0)


def test_the_first_text_lacks_the_quote_and_the_others_as_many_other_words() -> None:
    text = "I waited  three whole hours and\nthe line went dead"
    without_quote, *random = shortened(
        text, quote(text, "three whole hours"), np.random.default_rng(1)
    )
    assert without_quote == "I waited and the line went dead"
    assert len(random) == RANDOM_DRAWS
    for each in random:
        assert "three whole hours".split() == [w for w in each.split() if w in "three whole hours"]
        assert len(each.split()) == len(text.split()) - 3
    assert len(set(random)) > 1


def test_a_turn_without_as_many_other_words_is_left_out() -> None:
    text = "really awful service"
    assert shortened(text, quote(text, "awful service"), np.random.default_rng(1)) == []


@given(
    st.lists(st.sampled_from(["so", "it", "فقط", "çok", "😡"]), min_size=2, max_size=9),
    st.data(),
)
def test_words_are_only_taken_out(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    start = len(" ".join([*words[:first], ""]))
    end = len(" ".join(words[: last + 1]))
    found = shortened(
        text, Evidence(start, end, text[start:end], "urgency", 1.0), np.random.default_rng(0)
    )
    count = last - first + 1
    assert bool(found) == (len(words) - count >= count)
    if found:
        assert found[0].split() == words[:first] + words[last + 1 :]
        assert {len(each.split()) for each in found} == {len(words) - count}


def test_the_ratio_is_of_the_mean_movements() -> None:
    movements = [
        Movement(f"c{i // 2}", "en", "sentiment", 0.4 + 0.2 * (i % 2), 0.25, 2) for i in range(40)
    ]
    found = summarize(movements)
    assert found["value"] == pytest.approx(2.0)
    # Both turns of a conversation are drawn together, so no resample differs.
    assert (found["low"], found["high"]) == (pytest.approx(2.0), pytest.approx(2.0))
    assert (found["n"], found["conversations"], found["share_moved_more"]) == (40, 20, 1.0)


def test_too_few_quotes_give_no_ratio() -> None:
    assert summarize([Movement("c", "en", "sentiment", 0.4, 0.2, 1)] * 3) == {}
