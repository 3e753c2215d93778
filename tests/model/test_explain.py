"""What evidence is read from: words without which a score falls."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the recipe needs the train extra")

from torch import Tensor  # noqa: E402

from models.recipe.examples import Example, ExampleTurn, TurnLabels  # noqa: E402
from models.recipe.explain import ExplainedTurn, fit_map, sample_turns, support  # noqa: E402
from models.recipe.labels import ASPECTS, HEADS  # noqa: E402


def logits_of(**rows: list[list[float]]) -> dict[str, Tensor]:
    count = len(next(iter(rows.values())))
    return {name: torch.zeros(count, width) for name, width in HEADS.items()} | {
        name: torch.tensor(values) for name, values in rows.items()
    }


def test_a_word_supports_what_falls_without_it_and_only_that() -> None:
    angry, calm, angrier = [9.0, 0, 0, 0, 0], [0.0, 0, 9, 0, 0], [19.0, 0, 0, 0, 0]
    sentiment, *others = support(logits_of(sentiment=[angry, calm, angrier])).T
    assert sentiment[0] > 0.9
    assert sentiment[1] == 0
    assert all((other == 0).all() for other in others)


def test_a_word_of_praise_supports_praise() -> None:
    glad, calm, angry = [0.0, 0, 0, 0, 9], [0.0, 0, 9, 0, 0], [9.0, 0, 0, 0, 0]
    sentiment = support(logits_of(sentiment=[glad, calm, angry]))[:, 0]
    assert 0.9 < sentiment[0] < sentiment[1]


def test_escalation_and_urgency_are_supported_by_levels() -> None:
    found = support(
        logits_of(
            urgency=[[0.0, 0, 0, 9], [9.0, 0, 0, 0]],
            escalation=[[9.0, 9.0], [9.0, -9.0]],
        )
    )
    by_aspect = dict(zip(ASPECTS, found[0].tolist(), strict=True))
    assert by_aspect["urgency"] == pytest.approx(3, abs=0.01)
    assert by_aspect["escalation"] == pytest.approx(1, abs=0.01)
    assert by_aspect["stage"] == 0


def test_the_fitted_map_weighs_the_words_that_support() -> None:
    generator = torch.Generator().manual_seed(1)
    width, turns = 8, []
    for number in range(400):
        hidden = torch.randn(6, width, generator=generator)
        telling = number % 6
        hidden[:, 0] = 0
        hidden[telling, 0] = 9  # What the map has to find.
        words = torch.zeros(6, len(ASPECTS))
        words[telling] = 1.0
        turns.append(ExplainedTurn(hidden, torch.arange(6), words))
    evidence = fit_map(turns[:300], width=width)
    found = [int(evidence(turn.hidden)[:, 0].argmax()) for turn in turns[300:]]
    assert found == [number % 6 for number in range(300, 400)]


def test_turns_are_sampled_of_what_was_labelled_by_our_guide() -> None:
    def example(name: str, text: str, labels: TurnLabels | None) -> Example:
        turns = (ExampleTurn(True, text, labels), ExampleTurn(False, "One moment please", None))
        return Example(name, "own", "en", "train", turns)

    ours = TurnLabels(sentiment=1, urgency=2)
    examples = [
        example("ours", "this is the third time", ours),
        example("short", "thanks", ours),
        example("coarse", "this is the third time", TurnLabels(coarse_sentiment=0)),
        example("unlabelled", "this is the third time", None),
    ]
    assert [(e.example_id, index) for e, index in sample_turns(examples)] == [("ours", 0)]
