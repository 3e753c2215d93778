"""What was aimed at and what was reached; pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any, Final

from benchmarks.accuracy.published import (
    AIMS,
    ALL,
    LANGUAGE_MEAN,
    MAX_ARTIFACT_MB,
    MAX_CALIBRATION_ERROR,
    MAX_LANGUAGE_GAP,
    MAX_QUANTIZATION_CHANGE,
    MIN_TURNS_PER_S,
    Aim,
)
from moodline.language import MEASURED_LANGUAGES

Json = dict[str, Any]

NOT_MEASURED: Final = "not measured"
_SPELLED: Final = {
    "qwk": "QWK",
    "ece": "ECE",
    "csat": "CSAT",
    " f1": " F1",
    "macro ": "macro-",
    "micro ": "micro-",
}


def compare_with_aims(results: Mapping[str, Any], serving: Mapping[str, Any]) -> list[Json]:
    """One row an aim: what, aim, reached, met.

    Args:
        results: Of this benchmark.
        serving: Of the serving benchmark, for the speed; counts if it measured the same model.
    """
    return [
        *(_figure_row(aim, results["figures"]) for aim in AIMS),
        _language_row("sentiment of any language below its whole set, macro-F1", results, None),
        _language_row(
            "the same, English, Turkish and Arabic alone", results, frozenset(MEASURED_LANGUAGES)
        ),
        _quantization_row(results.get("float")),
        _calibration_row(results["calibration"]),
        _row(
            "all files of the artifact, MB",
            f"at most {MAX_ARTIFACT_MB}",
            f"{results['model']['megabytes']:.1f}",
            is_met=results["model"]["megabytes"] <= MAX_ARTIFACT_MB,
        ),
        _speed_row(results["model"]["version"], serving),
        _faithfulness_row(results["faithfulness"]),
    ]


def _row(what: str, aim: str, reached: str, *, is_met: bool | None, then: str = "") -> Json:
    met = NOT_MEASURED if is_met is None else "yes" if is_met else "no"
    return {"what": what, "aim": aim, "reached": reached, "met": then or met}


def _figure_row(aim: Aim, figures: Mapping[str, Any]) -> Json:
    aimed = f"{aim.first:.2f}" + (f", then over {aim.then:.3f}" if aim.then else "")
    found = figures.get(aim.source, {}).get(aim.part, {}).get(aim.figure)
    if found is None:
        return _row(aim.what, aimed, "", is_met=None)
    is_met = found["value"] >= aim.first
    then = ""
    if aim.then is not None and is_met:
        then = "both" if found["value"] > aim.then else "the first"
    return _row(aim.what, aimed, with_interval(found), is_met=is_met, then=then)


def _language_row(what: str, results: Mapping[str, Any], languages: frozenset[str] | None) -> Json:
    gaps = [
        (whole["value"] - part["value"], source, language, part)
        for source, parts in results["figures"].items()
        if (whole := parts.get(ALL, {}).get("sentiment3_macro_f1"))
        for language, figures in parts.items()
        if language not in (ALL, LANGUAGE_MEAN)
        and (languages is None or language in languages)
        and (part := figures.get("sentiment3_macro_f1"))
    ]
    aim = f"at most {MAX_LANGUAGE_GAP}"
    if not gaps:
        return _row(what, aim, "", is_met=None)
    gap, source, language, part = max(gaps, key=lambda found: found[0])
    over = sum(found[0] > MAX_LANGUAGE_GAP for found in gaps)
    reached = (
        f"{gap:.3f} ({language} in `{source}`, n {part['n']:,}); "
        f"{over} of {len(gaps)} are above the aim"
    )
    return _row(what, aim, reached, is_met=gap <= MAX_LANGUAGE_GAP)


def _quantization_row(compared: Mapping[str, Any] | None) -> Json:
    what, aim = "8 bits below float, each figure", f"at most {MAX_QUANTIZATION_CHANGE}"
    if compared is None:
        return _row(what, aim, "", is_met=None)
    found = list(_losses(compared["differences"]))
    loss, source, name, count = max(found)
    loss += 0.0  # Never "-0.0000".
    over = sum(each[0] > MAX_QUANTIZATION_CHANGE for each in found)
    reached = (
        f"{loss:.4f} ({figure_title(name)} on `{source}`, n {count:,}); "
        f"{over} of {len(found)} are above the aim"
    )
    return _row(what, aim, reached, is_met=loss <= MAX_QUANTIZATION_CHANGE)


def _losses(compared: Mapping[str, Any]) -> Iterator[tuple[float, str, str, int]]:
    """How much worse 8 bits are: errors count with the other sign."""
    for source, figures in compared.items():
        for name, found in figures.items():
            sign = 1 if name.endswith(("_ece", "_error")) else -1
            yield sign * found["difference"], source, name, found["n"]


def _calibration_row(calibration: Mapping[str, Any]) -> Json:
    found = [
        (entry["ece"], head, language, scope, entry)
        for scope, languages in calibration.items()
        for language, heads in languages.items()
        for head, entry in heads.items()
    ]
    what = "calibration error (ECE), each head and language"
    aim = f"at most {MAX_CALIBRATION_ERROR}"
    if not found:
        return _row(what, aim, "", is_met=None)
    error, head, language, scope, entry = max(found, key=lambda each: each[0])
    over = sum(each[0] > MAX_CALIBRATION_ERROR for each in found)
    reached = (
        f"{error:.3f} ({head}, {language}, {scope}, n {entry['n']:,}; chance alone gives "
        f"{entry['ece_by_chance']:.3f}); {over} of {len(found)} are above the aim"
    )
    return _row(what, aim, reached, is_met=error <= MAX_CALIBRATION_ERROR)


def _speed_row(version: str, serving: Mapping[str, Any]) -> Json:
    what, aim = "turns a second, engine alone, 2 cores", f"at least {MIN_TURNS_PER_S}"
    if serving.get("model") != version:
        return _row(what, aim, "", is_met=None)
    rounds = [each["engine_turns_per_s"] for each in serving["throughput_rounds"]]
    speed = statistics.median(rounds)
    reached = f"{speed:.0f} (median of {len(rounds)} rounds of benchmarks/serving)"
    return _row(what, aim, reached, is_met=speed >= MIN_TURNS_PER_S)


def _faithfulness_row(faithfulness: Mapping[str, Any]) -> Json:
    what = "quoted words against random ones, movement of the sentiment score, ratio"
    found = faithfulness["aspects"].get("sentiment", {}).get(ALL)
    if found is None:
        return _row(what, "over 1", "", is_met=None)
    return _row(what, "over 1", with_interval(found), is_met=found["low"] > 1)


def with_interval(entry: Mapping[str, Any]) -> str:
    """A figure with its interval and what it rests on."""
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}], n {entry['n']:,}"


def figure_title(name: str) -> str:
    """A figure's name in words."""
    words = name.replace("sentiment3", "3-way sentiment").replace("_", " ")
    for short, long in _SPELLED.items():
        words = words.replace(short, long)
    return words
