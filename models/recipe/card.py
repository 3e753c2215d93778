"""Writes MODEL_CARD.md from the manifest: every figure in it was measured by the export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from moodline.artifact import Manifest

_COLUMNS: Final = {
    "sentiment3_macro_f1": "sentiment 3-way F1",
    "sentiment3_macro_recall": "3-way recall",
    "sentiment_macro_f1": "sentiment 5-way F1",
    "sentiment_qwk": "sentiment QWK",
    "urgency_macro_f1": "urgency F1",
    "urgency_qwk": "urgency QWK",
    "stage_macro_f1": "stage F1",
    "tags_micro_f1": "tags micro-F1",
    "tags_macro_f1": "tags macro-F1",
    "escalation_macro_f1": "escalation F1",
    "escalate_average_precision": "escalate AP",
    "early_warning_average_precision": "early warning AP",
    "csat_macro_f1": "CSAT F1",
    "csat_mean_absolute_error": "CSAT mean error",
    "sentiment3_ece": "sentiment ECE",
}

_TEXT: Final = """# {name} {version}

Reads customer conversations turn by turn: sentiment (five grades), urgency, customer-journey stage,
tags, escalation and expected CSAT. Two networks: a {layers}-layer multilingual transformer that
reads each turn once, and a causal GRU over the turns. Licence {licence}; start encoder
`intfloat/multilingual-e5-small`, MIT.

## Intended use
Helping people who serve customers: marking turns, ordering queues, calling a supervisor. Not for
judging employees, not for decisions about a customer without a person, not for languages other
than English, Turkish and Arabic without measuring first ({unmeasured} are read, unmeasured).

## Training data
{data}

models/README.md names the source and licence of each. The labels of `annotated`, `written` and
`own` (and of their evaluation parts) were given by a large language model that read every
conversation by the annotation guide, not by a crowd of people.

## Figures
All on held-out rows that nothing was fitted on, of the model as shipped (8-bit). F1 is macro-F1
over the classes present unless named otherwise; a gap means that the set has no such label or
fewer than 20 turns.

`annotated_dev` are real contacts, `written` conversations written to be hard (feelings shown, not
named; few rows, so read it with care), the others single texts. `airline_tweets` and
`tweet_sentiment` are a fixed 40 % sample.

{shipped}

### Float against shipped
{change}

## What it is bad at
{weaknesses}

## Limits
One turn is read in overlapping windows of {window_tokens} tokens. Evidence spans are words without
which the score would fall, as the model estimates it in one pass: a hint and not a proof.
"""


def write_card(directory: Path, manifest: Manifest) -> None:
    """Write the card beside the manifest it is made from."""
    metrics: Mapping[str, Any] = manifest.metrics
    training: Mapping[str, Any] = manifest.training
    text = _TEXT.format(
        name=manifest.name,
        version=manifest.version,
        layers=len(training["layers"]),
        licence=manifest.licence,
        unmeasured=", ".join(manifest.languages.unmeasured),
        data=_table(
            ["source", "conversations or texts seen"],
            [[name, f"{count:,}"] for name, count in training["conversations_by_source"].items()],
        ),
        shipped=_figures(metrics["shipped"]),
        change=_change(metrics["float"], metrics["shipped"]),
        weaknesses=_weaknesses(metrics["shipped"]),
        window_tokens=manifest.encoder.window_tokens,
    )
    (directory / "MODEL_CARD.md").write_text(text, encoding="utf-8")


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _figures(metrics: Mapping[str, Any]) -> str:
    rows = [
        [source, part, f"{int(figures['turn_count'])}"]
        + [f"{figures[key]:.3f}" if key in figures else "" for key in _COLUMNS]
        for source, parts in metrics.items()
        for part, figures in parts.items()
    ]
    return _table(["set", "language", "turns", *_COLUMNS.values()], rows)


def _change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    rows = [
        [source, title, f"{before[source]['all'][key]:.3f}", f"{after[source]['all'][key]:.3f}"]
        for source in after
        for key, title in _COLUMNS.items()
        if key in after[source]["all"] and key in before[source]["all"]
    ]
    return _table(["set", "figure", "float", "shipped"], rows)


def _weaknesses(metrics: Mapping[str, Any]) -> str:
    """The five lowest F1 figures, so that the card cannot flatter."""
    found = sorted(
        (figures[key], source, part, title)
        for source, parts in metrics.items()
        for part, figures in parts.items()
        for key, title in _COLUMNS.items()
        if key.endswith("_f1") and key in figures
    )
    return "\n".join(
        f"- {title} on `{source}` ({part}): {value:.3f}" for value, source, part, title in found[:5]
    )
