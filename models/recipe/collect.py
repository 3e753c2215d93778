"""Runs an artifact's two graphs over labelled examples, as the service would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.recipe.examples import UNKNOWN, Example
from models.recipe.labels import TAGS
from moodline.batching.padding import pad_batch
from moodline.batching.planner import BatchPolicy
from moodline.encoding import TurnEncoder
from moodline.engine import HEADS, OnnxConversationHead, OnnxEncoder
from moodline.windows import TokenWindow

_LABELS = ("sentiment", "coarse_sentiment", "urgency", "stage", "escalation", "csat")


@dataclass(frozen=True, slots=True)
class HeadOutputs:
    """Raw logits and labels of all labelled customer turns.

    Attributes:
        logits: By head. *Shape:* `(turns, n)`, float64.
        labels: By label name; `UNKNOWN` where there is none. *Shape:* `(turns,)`, tags
            `(turns, tags)`.
        sources: Source of each turn.
        languages: Language of each turn.
        example_ids: Conversation of each turn.
        is_last: Whether the turn is its conversation's last customer turn. *Shape:* `(turns,)`.
    """

    logits: dict[str, NDArray[np.float64]]
    labels: dict[str, NDArray[np.int64]]
    sources: NDArray[np.str_]
    languages: NDArray[np.str_]
    example_ids: NDArray[np.str_]
    is_last: NDArray[np.bool_]

    def where(self, mask: NDArray[np.bool_]) -> HeadOutputs:
        """The turns for which `mask` holds."""
        return HeadOutputs(
            {name: values[mask] for name, values in self.logits.items()},
            {name: values[mask] for name, values in self.labels.items()},
            self.sources[mask],
            self.languages[mask],
            self.example_ids[mask],
            self.is_last[mask],
        )


def turn_vectors(
    windows: Sequence[Sequence[TokenWindow]], encoder: OnnxEncoder
) -> list[NDArray[np.float32]]:
    """The vector of each turn from its windows, in batches of like length."""
    policy = BatchPolicy()
    flat = [(turn, window) for turn, turn_windows in enumerate(windows) for window in turn_windows]
    order = sorted(range(len(flat)), key=lambda i: len(flat[i][1].input_ids))
    vectors: list[NDArray[np.float32] | None] = [None] * len(flat)
    position = 0
    while position < len(order):
        # Ascending lengths: the last of the slice decides, and a shorter slice fits as well.
        longest = policy.padded_length(len(flat[order[position]][1].input_ids))
        taken = [
            i
            for i in order[position : position + policy.max_rows(longest)]
            if len(flat[i][1].input_ids) <= longest
        ]
        batch = pad_batch([flat[i][1] for i in taken], longest)
        output = encoder.encode(batch.input_ids, batch.attention_mask)
        for i, vector in zip(taken, output.vectors, strict=True):
            vectors[i] = vector
        position += len(taken)
    sums = [np.zeros(0, np.float32)] * len(windows)
    for (turn, window), vector in zip(flat, vectors, strict=True):
        assert vector is not None
        share = window.weight / sum(w.weight for w in windows[turn])
        sums[turn] = share * vector if not len(sums[turn]) else sums[turn] + share * vector
    return sums


def collect_outputs(
    examples: Sequence[Example],
    *,
    turn_encoder: TurnEncoder,
    encoder: OnnxEncoder,
    head: OnnxConversationHead,
) -> HeadOutputs:
    """Logits and labels of every labelled customer turn of `examples`."""
    encoded = turn_encoder.encode([turn.text for e in examples for turn in e.turns])
    vectors = turn_vectors([turn.windows for turn in encoded], encoder)
    logits: dict[str, list[NDArray[np.float32]]] = {name: [] for name in HEADS}
    labels: dict[str, list[int]] = {name: [] for name in _LABELS}
    tags: list[tuple[int, ...]] = []
    sources, languages, ids, last = [], [], [], []
    position = 0
    for example in examples:
        turns = example.turns
        output = head.step(
            np.stack(vectors[position : position + len(turns)]),
            np.array([0 if turn.is_customer else 1 for turn in turns]),
            head.initial_state(),
        )
        position += len(turns)
        for index, turn in enumerate(turns):
            if turn.labels is None:
                continue
            for name in HEADS:
                logits[name].append(output.logits[name][index])
            for name in _LABELS:
                labels[name].append(getattr(turn.labels, name))
            tags.append(turn.labels.tags or (UNKNOWN,) * len(TAGS))
            sources.append(example.source)
            languages.append(example.language)
            ids.append(example.example_id)
            last.append(turn.labels.is_last)
    return HeadOutputs(
        logits={name: np.array(values, dtype=np.float64) for name, values in logits.items()},
        labels={
            **{name: np.array(values, dtype=np.int64) for name, values in labels.items()},
            "tags": np.array(tags, dtype=np.int64),
        },
        sources=np.array(sources),
        languages=np.array(languages),
        example_ids=np.array(ids),
        is_last=np.array(last),
    )
