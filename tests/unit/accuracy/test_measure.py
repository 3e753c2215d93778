"""From logits to the raw results."""

from typing import Any

import numpy as np
import pytest

from benchmarks.accuracy.measure import (
    GUIDE,
    calibration_figures,
    confusions,
    differences,
    figures,
    lexicon_figures,
    tag_figures,
    worst_answers,
)
from models.recipe.collect import HeadOutputs
from models.recipe.evaluate import head_figures
from models.recipe.examples import UNKNOWN
from models.recipe.labels import GRADED_LABELS, HEADS, TAGS
from moodline.artifact import Calibration

CALIBRATION = Calibration(
    temperatures=dict.fromkeys(HEADS, 1.0),
    tag_thresholds=(0.5,) * len(TAGS),
    watch_threshold=0.5,
    escalate_threshold=0.5,
)
COUNT = 30


def outputs(
    source: str = "annotated_dev",
    *,
    truth: np.ndarray,
    predicted: np.ndarray,
    language: str = "en",
    **labels: np.ndarray,
) -> HeadOutputs:
    """Turns, one a conversation, whose grades of sentiment are said with confidence."""
    count = len(truth)
    unknown = np.full(count, UNKNOWN)
    return HeadOutputs(
        logits={
            **{head: np.zeros((count, size)) for head, size in HEADS.items()},
            "sentiment": 6.0 * np.eye(5)[predicted],
            "tags": np.full((count, len(TAGS)), 3.0),
        },
        labels={
            **dict.fromkeys(GRADED_LABELS, unknown),
            "sentiment": truth,
            "tags": np.full((count, len(TAGS)), UNKNOWN),
            **labels,
        },
        sources=np.array([source] * count),
        languages=np.array([language] * count),
        example_ids=np.array([f"id-{i}" for i in range(count)]),
        turn_indices=np.arange(count),
        is_last=np.ones(count, bool),
    )


def graded(wrong_count: int, **more: Any) -> HeadOutputs:
    """Half of the turns very negative, half very positive; the first ones are taken for neutral."""
    truth = np.repeat([0, 4], COUNT // 2)
    predicted = np.where(np.arange(COUNT) < wrong_count, 2, truth)
    return outputs(truth=truth, predicted=predicted, **more)


def test_a_figure_carries_its_interval_and_what_it_rests_on() -> None:
    found = figures(graded(5), CALIBRATION)["annotated_dev"]["all"]["sentiment3_macro_recall"]
    assert found["value"] == pytest.approx((10 / 15 + 1) / 2, abs=1e-4)
    assert found["low"] < found["value"] < found["high"]
    assert found["n"] == COUNT


def test_the_benchmark_and_the_card_tell_the_same_figures() -> None:
    card = head_figures(graded(7), CALIBRATION)
    found = figures(graded(7), CALIBRATION)["annotated_dev"]["all"]
    assert {name: each["value"] for name, each in found.items()} == {
        name: value for name, value in card.items() if name != "turn_count"
    }


def test_too_few_turns_or_turns_of_one_class_give_no_figure() -> None:
    few = outputs(truth=np.array([0, 4] * 5), predicted=np.array([0, 4] * 5))
    alike = outputs(truth=np.full(COUNT, 2), predicted=np.full(COUNT, 2))
    assert figures(few, CALIBRATION)["annotated_dev"] == {}
    assert figures(alike, CALIBRATION)["annotated_dev"] == {}


def test_only_tags_whose_label_is_known_are_counted() -> None:
    tags = np.full((COUNT, len(TAGS)), UNKNOWN)
    tags[:, 0] = [1] * 20 + [0] * 10
    known = graded(0, tags=tags)
    # Every tag is given everywhere: 20 right, 10 wrong, and nothing is held against the others.
    assert head_figures(known, CALIBRATION)["tags_micro_f1"] == pytest.approx(0.8, abs=1e-4)
    assert tag_figures(known, CALIBRATION)["annotated_dev"] == {
        TAGS[0]: pytest.approx({"value": 0.8, "low": 0.69, "high": 0.9, "n": 20}, abs=0.05)
    }


def test_confusions_count_every_turn() -> None:
    found = confusions(graded(5), CALIBRATION)[GUIDE]["sentiment"]["counts"]
    assert found == [[10, 0, 5, 0, 0], [0] * 5, [0] * 5, [0] * 5, [0, 0, 0, 0, 15]]


def test_the_worst_answers_are_told_by_id_alone() -> None:
    found = worst_answers(graded(3), CALIBRATION)["annotated_dev"]["sentiment"]
    assert [each["id"] for each in found] == ["id-0", "id-1", "id-2"]
    assert found[0] | {"probability": None} == {
        "id": "id-0",
        "turn": 0,
        "language": "en",
        "truth": "VERY_NEGATIVE",
        "predicted": "NEUTRAL",
        "probability": None,
    }


def test_a_model_does_not_differ_from_itself_and_a_worse_one_does() -> None:
    same = differences(graded(2), graded(2), (CALIBRATION, CALIBRATION))["annotated_dev"]
    assert {each["difference"] for each in same.values()} == {0.0}
    worse = differences(graded(2), graded(12), (CALIBRATION, CALIBRATION))["annotated_dev"]
    assert worse["sentiment3_macro_recall"]["difference"] == pytest.approx(10 / 15 / 2, abs=1e-4)
    assert worse["sentiment3_macro_recall"]["low"] > 0


def test_lexicons_are_judged_on_the_same_turns() -> None:
    right = np.repeat([0, 2], COUNT // 2)
    found = lexicon_figures(graded(5), CALIBRATION, {"always right": right})["annotated_dev"]
    assert found["always right"]["sentiment3_macro_recall"]["value"] == 1.0
    assert found["moodline"]["sentiment3_macro_recall"]["value"] == pytest.approx(5 / 6, abs=1e-4)
    assert {each["sentiment3_macro_f1"]["n"] for each in found.values()} == {COUNT}


def test_reliability_holds_every_answer_in_a_bin() -> None:
    found = calibration_figures(graded(5), CALIBRATION)[GUIDE]["en"]["sentiment"]
    (only,) = found["bins"]
    assert (only["n"], only["correct"]) == (COUNT, pytest.approx(25 / 30, abs=1e-4))
    assert found["ece"] == pytest.approx(only["confidence"] - 25 / 30, abs=1e-3)
    assert found["ece_by_chance"] < found["ece"]
