"""The raw results of one or several models on labelled turns; pure but for the clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.bootstrap import (
    SEED,
    conversation_weights,
    conversations_of,
    entries,
    entry,
)
from benchmarks.accuracy.published import ALL, LANGUAGE_MEAN
from benchmarks.accuracy.sets import GUIDE_SETS
from models.recipe import metrics
from models.recipe.collect import HeadOutputs
from models.recipe.evaluate import (
    MIN_TURNS,
    Measured,
    answers,
    measure,
    measure_tags,
    reliability,
)
from models.recipe.examples import UNKNOWN
from models.recipe.labels import ESCALATION, SENTIMENT, STAGE, URGENCY
from moodline.artifact import Calibration
from moodline.language import MEASURED_LANGUAGES

GUIDE: Final = "conversations"
"""Name of all sets together that are labelled by the annotation guide."""
WORST_COUNT: Final = 10
CHANCE_SIMULATIONS: Final = 200

CLASS_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "sentiment3": ("negative", "neutral", "positive"),
    "sentiment": SENTIMENT,
    "urgency": URGENCY,
    "stage": STAGE,
    "escalation": ESCALATION,
    "csat": ("1", "2", "3", "4", "5"),
    "early_warning": ("no", "soon"),
}

Json = dict[str, Any]


def parts_of(outputs: HeadOutputs) -> Iterator[tuple[str, HeadOutputs]]:
    """All turns, then those of each language if there are several."""
    yield ALL, outputs
    languages = sorted(set(outputs.languages))
    if len(languages) > 1:
        for language in languages:
            yield language, outputs.where(outputs.languages == language)


def by_source(outputs: HeadOutputs) -> Iterator[tuple[str, HeadOutputs]]:
    """The turns of each set."""
    for source in sorted(set(outputs.sources)):
        yield source, outputs.where(outputs.sources == source)


def guide_part(outputs: HeadOutputs) -> HeadOutputs:
    """The turns of conversations that are labelled by the annotation guide."""
    return outputs.where(np.isin(outputs.sources, GUIDE_SETS))


def figures(outputs: HeadOutputs, calibration: Calibration) -> Json:
    """Every figure with its interval, by set and language."""
    result: Json = {}
    for source, of_source in by_source(outputs):
        measured = {
            part: measure(turns, calibration, _weights(turns))
            for part, turns in parts_of(of_source)
        }
        result[source] = {part: entries(found) for part, found in measured.items() if found}
        mean = _language_mean([found for part, found in measured.items() if part != ALL])
        if mean:
            result[source][LANGUAGE_MEAN] = entries(mean)
    return result


def _language_mean(parts: Sequence[Mapping[str, Measured]]) -> dict[str, Measured]:
    """Mean over the languages of the figures that every one has, as UMSAB reports it."""
    common = [name for name in parts[0] if all(name in part for part in parts)] if parts else []
    return {
        name: Measured(
            np.mean([part[name].values for part in parts], axis=0),
            sum(part[name].count for part in parts),
        )
        for name in common
    }


def tag_figures(outputs: HeadOutputs, calibration: Calibration) -> Json:
    """F1 of each tag, by set and for all conversations; `n` is how often it holds."""
    result: Json = {}
    for source, turns in (*by_source(outputs), (GUIDE, guide_part(outputs))):
        if len(turns.sources) and (turns.labels["tags"] != UNKNOWN).any():
            found = measure_tags(turns, calibration, _weights(turns))
            result[source] = entries(found)
    return result


def differences(
    ours: HeadOutputs, theirs: HeadOutputs, calibrations: tuple[Calibration, Calibration]
) -> Json:
    """What every figure of ours is above theirs on the same turns, in paired resamples."""
    result: Json = {}
    for source, our_turns in by_source(ours):
        weights = _weights(our_turns)
        ours_found = measure(our_turns, calibrations[0], weights)
        theirs_found = measure(theirs.where(theirs.sources == source), calibrations[1], weights)
        result[source] = {
            name: {
                "ours": round(float(found.values[0]), 4),
                "theirs": round(float(theirs_found[name].values[0]), 4),
                **_renamed(entry(found.values - theirs_found[name].values, found.count)),
            }
            for name, found in ours_found.items()
        }
    return result


def _weights(outputs: HeadOutputs) -> NDArray[np.float64]:
    return conversation_weights(conversations_of(outputs))


def _renamed(difference: Json) -> Json:
    return {"difference": difference.pop("value"), **difference}


def lexicon_figures(
    outputs: HeadOutputs, calibration: Calibration, predictions: Mapping[str, NDArray[np.int64]]
) -> Json:
    """Three-way sentiment of lexicons and ours on the same English turns, by set.

    Args:
        outputs: Of English turns alone.
        calibration: Ours.
        predictions: By lexicon: 0 negative, 1 neutral, 2 positive. *Shape:* `(turns,)`.
    """
    result: Json = {}
    for source in sorted(set(outputs.sources)):
        mask = outputs.sources == source
        turns = outputs.where(mask)
        given = answers(turns, calibration).get("sentiment3")
        if given is None or len(given.rows) < MIN_TURNS:
            continue
        weights = _weights(turns)[:, given.rows]
        result[source] = {}
        for name, predicted in {
            "moodline": given.predicted,
            **{name: values[mask][given.rows] for name, values in predictions.items()},
        }.items():
            counts = metrics.confusion(given.truth, predicted, 3, weights)
            result[source][name] = {
                "sentiment3_macro_f1": entry(metrics.macro_f1(counts), len(given.rows)),
                "sentiment3_macro_recall": entry(metrics.macro_recall(counts), len(given.rows)),
            }
    return result


def calibration_figures(outputs: HeadOutputs, calibration: Calibration) -> Json:
    """Calibration error and reliability of each head in each measured language.

    Of the conversations for every head, and of all sets together for three-way sentiment. Beside
    each error stands what chance alone would make of so few answers.
    """
    rng = np.random.default_rng(SEED)
    result: Json = {}
    for scope, turns, heads in (
        (GUIDE, guide_part(outputs), None),
        ("all sets", outputs, ("sentiment3",)),
    ):
        result[scope] = {}
        for language in sorted(MEASURED_LANGUAGES):
            found = reliability(turns.where(turns.languages == language), calibration)
            result[scope][language] = {
                head: _reliability_entry(*pair, rng)
                for head, pair in found.items()
                if (heads is None or head in heads) and len(pair[0]) >= MIN_TURNS
            }
    return result


def _reliability_entry(
    confidence: NDArray[np.float64], is_correct: NDArray[np.bool_], rng: np.random.Generator
) -> Json:
    bins = metrics.confidence_bins(confidence)
    error = metrics.expected_calibration_error(
        confidence, is_correct, np.ones((1, len(confidence)))
    )
    return {
        "ece": round(float(error[0]), 4),
        "ece_by_chance": round(
            metrics.calibration_error_of_chance(
                confidence, simulations=CHANCE_SIMULATIONS, rng=rng
            ),
            4,
        ),
        "n": len(confidence),
        "bins": [
            {
                "confidence": round(float(confidence[bins == index].mean()), 4),
                "correct": round(float(is_correct[bins == index].mean()), 4),
                "n": int((bins == index).sum()),
            }
            for index in np.unique(bins)
        ],
    }


def confusions(outputs: HeadOutputs, calibration: Calibration) -> Json:
    """Counts of what was predicted for what is true; rows are the truth.

    Every head of the conversations, three-way sentiment of each set.
    """
    result: Json = {}
    for source, turns in (*by_source(outputs), (GUIDE, guide_part(outputs))):
        found = answers(turns, calibration)
        heads = [
            head
            for head, given in found.items()
            if (source == GUIDE or head == "sentiment3") and len(np.unique(given.truth)) > 1
        ]
        counted = {
            head: {
                "classes": CLASS_NAMES[head],
                "counts": metrics.confusion(
                    found[head].truth,
                    found[head].predicted,
                    found[head].class_count,
                    np.ones((1, len(found[head].rows))),
                )[0]
                .astype(int)
                .tolist(),
            }
            for head in heads
        }
        if counted:
            result[source] = counted
    return result


def worst_answers(outputs: HeadOutputs, calibration: Calibration) -> Json:
    """Where a head is wrong and surest of it, by set: ids, never texts."""
    result: Json = {}
    for source, turns in by_source(outputs):
        for head, given in answers(turns, calibration).items():
            chosen = np.take_along_axis(given.probabilities, given.predicted[:, None], 1)[:, 0]
            actual = np.take_along_axis(given.probabilities, given.truth[:, None], 1)[:, 0]
            excess = np.where(given.predicted != given.truth, chosen - actual, -np.inf)
            names = CLASS_NAMES[head]
            found = [
                {
                    "id": str(turns.example_ids[given.rows[i]]),
                    "turn": int(turns.turn_indices[given.rows[i]]),
                    "language": str(turns.languages[given.rows[i]]),
                    "truth": names[given.truth[i]],
                    "predicted": names[given.predicted[i]],
                    "probability": round(float(chosen[i]), 3),
                }
                for i in np.argsort(-excess, kind="stable")[:WORST_COUNT]
                if np.isfinite(excess[i])
            ]
            if found:
                result.setdefault(source, {})[head] = found
    return result
