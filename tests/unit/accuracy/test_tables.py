"""The tables stand between their markers, and aims are judged as they read."""

import pytest

from benchmarks.accuracy.aims import compare_with_aims
from benchmarks.accuracy.bench import dump
from benchmarks.accuracy.lexicons import NEGATIVE, NEUTRAL, POSITIVE, coarse
from benchmarks.accuracy.tables import BEGIN, END, splice


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    assert splice(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new") == (
        f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    )


@pytest.mark.parametrize("text", ["no marker", f"{BEGIN} {BEGIN} {END}", BEGIN])
def test_a_text_without_both_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        splice(text, "new")


def test_raw_results_are_json_with_a_figure_a_line() -> None:
    text = dump({"a": {"x": {"value": 0.5, "n": 3}}, "b": [], "c": [[1, 2], [3, 4]]})
    assert '  "x": {"value": 0.5, "n": 3}\n' in text
    assert "  [1, 2],\n" in text


@pytest.mark.parametrize(
    ("score", "threshold", "expected"),
    [
        (0.05, 0.05, POSITIVE),
        (0.049, 0.05, NEUTRAL),
        (-0.05, 0.05, NEGATIVE),
        (0.0, 0.0, NEUTRAL),
        (-0.001, 0.0, NEGATIVE),
    ],
)
def test_scores_of_lexicons_become_three_ways(
    score: float, threshold: float, expected: int
) -> None:
    assert coarse(score, threshold) == expected


def figure(value: float, n: int = 500) -> dict[str, float]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "n": n}


def results(umsab: float, arabic: float) -> dict[str, object]:
    return {
        "figures": {
            "umsab": {
                "all": {"sentiment3_macro_f1": figure(umsab)},
                "ar": {"sentiment3_macro_f1": figure(arabic)},
                "mean of languages": {"sentiment3_macro_f1": figure(umsab)},
            }
        },
        "calibration": {
            "conversations": {"en": {"urgency": {"ece": 0.06, "ece_by_chance": 0.04, "n": 90}}}
        },
        "model": {"megabytes": 42.5, "version": "moodline-base 1"},
        "faithfulness": {"aspects": {"sentiment": {"all": figure(1.01)}}},
        "float": {
            "version": "moodline-base 1",
            "differences": {
                "umsab": {
                    "sentiment3_macro_f1": {"difference": 0.002, "n": 500},
                    "sentiment3_ece": {"difference": 0.006, "n": 500},
                }
            },
        },
    }


def met(**values: float) -> dict[str, str]:
    serving = {
        "model": "moodline-base 1",
        "throughput_rounds": [{"engine_turns_per_s": s} for s in (390, 410, 420)],
    }
    return {row["what"]: row["met"] for row in compare_with_aims(results(**values), serving)}


def test_each_aim_is_judged() -> None:
    found = met(umsab=0.66, arabic=0.55)
    assert found["UMSAB, 8 languages, macro-F1"] == "the first"
    assert found["UMSAB, Arabic, macro-F1"] == "no"
    assert found["UMSAB, English, macro-F1"] == "not measured"
    # 0.66 - 0.55 is more than 0.08.
    assert found["sentiment of any language below its whole set, macro-F1"] == "no"
    # An error that grows is a loss, though its difference is positive.
    assert found["8 bits below float, each figure"] == "no"
    assert found["calibration error (ECE), each head and language"] == "no"
    assert found["all files of the artifact, MB"] == "yes"
    assert found["turns a second, engine alone, 2 cores"] == "yes"
    # The interval reaches below 1.
    assert found["quoted words against random ones, movement of the sentiment score, ratio"] == "no"


def test_what_is_passed_after_the_first_aim_is_told() -> None:
    found = met(umsab=0.70, arabic=0.64)
    assert found["UMSAB, 8 languages, macro-F1"] == "both"
    assert found["sentiment of any language below its whole set, macro-F1"] == "yes"


def test_the_speed_of_another_model_does_not_count() -> None:
    rows = compare_with_aims(results(0.7, 0.7), {"model": "moodline-base 0"})
    assert {r["what"]: r["met"] for r in rows}["turns a second, engine alone, 2 cores"] == (
        "not measured"
    )
