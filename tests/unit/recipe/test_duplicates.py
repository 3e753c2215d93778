"""Copies of held-out texts are found whatever they are dressed in."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="the recipe needs the train extra")

from models.recipe.duplicates import (
    MIN_LETTERS,
    SIMILARITY,
    drop_duplicates,
    find_duplicates,
    find_near_copies,
    normalise,
)
from models.recipe.examples import Example, ExampleTurn, TurnLabels

LONG = "The courier left my parcel with a neighbour nobody knows, and the depot hangs up on me."
NEARLY = "The courier left our parcel with a neighbour nobody knows and the depot hangs up on me"
OTHER = "Could you tell me which of the two tariffs includes calls to landlines abroad, please?"


def example(
    *texts: str,
    source: str = "a",
    split: str = "train",
    labels: TurnLabels | None = None,
    is_customer: bool = True,
) -> Example:
    turns = tuple(ExampleTurn(is_customer, text, labels) for text in texts)
    return Example(f"{source}{texts}{labels}", source, "en", split, turns)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("@Acme my line is down https://t.co/x1 #fail", "my LINE is down fail"),
        ("@user no signal http", "No signal!!! 😡"),
        ("transfer 250 to account 12-34", "Transfer 9 to account 77"),
        ("write to <EMAIL> or [EMAIL]", "write to or"),
        ("so sloooow", "so slow"),
        ("İSTANBUL ŞUBESİ AÇIK DEĞİL", "istanbul subesi acik degil"),  # codespell:ignore
        ("الإنترنتُ مقطوعٌ مُنذُ السّاعة", "الانترنت مقطوع منذ الساعه"),
        ("شبكـــة على الهاتف", "شبكه علي الهاتف"),
        ("ﷺ ﻻ يعمل", normalise("ﷺ ﻻ يعمل")),
    ],
)
def test_decoration_does_not_tell_copies_apart(one: str, other: str) -> None:
    assert normalise(one) == normalise(other) != ""


@pytest.mark.parametrize(
    ("one", "other"), [("I can log in", "I can't log in"), ("güzel", "güçlü"), ("شكرا", "شكوى")]
)
def test_other_words_stay_other_words(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def jaccard(one: str, other: str) -> float:
    first, second = ({t[i : i + 4] for i in range(len(t) - 3)} for t in (one, other))
    return len(first & second) / len(first | second)


@st.composite
def texts_with_edits(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    letters = st.text("abcdeşعم", min_size=MIN_LETTERS, max_size=60)
    texts = draw(st.lists(letters, min_size=1, max_size=8, unique=True))
    others = draw(st.lists(letters, max_size=4))
    for text in texts:
        at = draw(st.integers(0, len(text) - 1))
        others.append(text[:at] + draw(st.text("xy", max_size=3)) + text[at + 1 :])
    return texts, [other for other in others if len(other) >= 4]


@settings(deadline=None, derandomize=True)  # chance may let two n-grams have one hash
@given(texts_with_edits())
def test_near_copies_are_exactly_the_pairs_that_share_enough_ngrams(
    sides: tuple[list[str], list[str]],
) -> None:
    texts, others = sides
    found = find_near_copies(texts, others)
    for text in texts:
        near = [other for other in others if jaccard(text, other) >= SIMILARITY]
        assert found.get(text) == (near[0] if near else None)


@pytest.mark.parametrize(("text", "cause"), [(LONG.upper(), "copy"), (NEARLY, "near_copy")])
def test_what_stands_in_held_out_data_is_not_trained_on(text: str, cause: str) -> None:
    training = [example("Hello", text), example(OTHER)]
    kept, removals = drop_duplicates(training, [example(LONG, source="b", split="report")])
    assert kept == [training[1]]
    assert [(r.example_id, r.source, r.cause, r.of) for r in removals] == [
        (training[0].example_id, "a", cause, "b")
    ]


def test_short_texts_and_words_of_agents_are_nobodys_copy() -> None:
    held_out = [
        example("Thanks a lot", source="b"),
        example(LONG, source="c", is_customer=False),
        example(OTHER, source="d"),
    ]
    training = [example("thanks a lot"), example(LONG), example(OTHER, is_customer=False)]
    assert find_duplicates(training, held_out) == []


def test_a_repeat_of_one_source_is_kept_once_unless_its_labels_differ() -> None:
    negative, positive = TurnLabels(coarse_sentiment=0), TurnLabels(coarse_sentiment=2)
    training = [
        example(LONG, labels=negative),
        example(LONG + " 😡", labels=negative),
        example(LONG, labels=positive),
        example(LONG, source="b", labels=negative),
        example("👍", labels=positive),
        example("🙏", labels=positive),
    ]
    removals = find_duplicates(training, [])
    assert [(r.example_id, r.cause) for r in removals] == [(training[1].example_id, "repeat")]


def test_the_outcome_is_read_from_the_cache_for_the_same_texts_alone(tmp_path: Path) -> None:
    training, held_out = [example(LONG), example(OTHER)], [example(NEARLY, source="b")]
    first = drop_duplicates(training, held_out, tmp_path)
    (file,) = tmp_path.iterdir()
    assert drop_duplicates(training, held_out, tmp_path) == first
    file.write_text(json.dumps([]))
    assert drop_duplicates(training, held_out, tmp_path) == (training, [])
    kept, _ = drop_duplicates(training, [example(OTHER, source="b")], tmp_path)
    assert kept == [training[0]]
