"""Runs an artifact's two graphs over labelled examples, as the service would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.recipe.examples import UNKNOWN, Example, TurnLabels
from models.recipe.labels import GRADED_LABELS, TAGS
from moodline.artifact import TOKENIZER_FILE, Artifact
from moodline.batching.padding import pad_batch, split_output
from moodline.batching.planner import BatchPolicy
from moodline.cpu_quota import cpu_quota
from moodline.encoding import EncodedTurn, TurnEncoder
from moodline.engine import HEADS, OnnxConversationHead, OnnxEncoder
from moodline.inference import WindowEncoding
from moodline.windows import TokenWindow


@dataclass(frozen=True, slots=True)
class Graphs:
    """An opened artifact."""

    artifact: Artifact
    turn_encoder: TurnEncoder
    encoder: OnnxEncoder
    head: OnnxConversationHead


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A turn's text with what the encoder says of it.

    Attributes:
        encoded: Its windows.
        vector: The mean of its windows' by the content that each adds. *Shape:* `(width,)`.
        window_logits: Evidence logits of each window. *Shape:* `(aspects, window tokens)` each.
    """

    encoded: EncodedTurn
    vector: NDArray[np.float32]
    window_logits: tuple[NDArray[np.float32], ...]


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
        turn_indices: Place of each turn in its conversation. *Shape:* `(turns,)`.
        is_last: Whether the turn is its conversation's last customer turn. *Shape:* `(turns,)`.
    """

    logits: dict[str, NDArray[np.float64]]
    labels: dict[str, NDArray[np.int64]]
    sources: NDArray[np.str_]
    languages: NDArray[np.str_]
    example_ids: NDArray[np.str_]
    turn_indices: NDArray[np.int64]
    is_last: NDArray[np.bool_]

    def where(self, mask: NDArray[np.bool_]) -> HeadOutputs:
        """The turns for which `mask` holds."""
        return HeadOutputs(
            {name: values[mask] for name, values in self.logits.items()},
            {name: values[mask] for name, values in self.labels.items()},
            self.sources[mask],
            self.languages[mask],
            self.example_ids[mask],
            self.turn_indices[mask],
            self.is_last[mask],
        )


def open_graphs(artifact: Artifact) -> Graphs:
    """Load an artifact's tokenizer and networks, on all processors that this process may use."""
    return Graphs(
        artifact,
        TurnEncoder(
            artifact.directory / TOKENIZER_FILE,
            window_tokens=artifact.manifest.encoder.window_tokens,
        ),
        OnnxEncoder(artifact, intra_op_threads=cpu_quota()),
        OnnxConversationHead(artifact),
    )


def encode_texts(texts: Sequence[str], graphs: Graphs) -> list[EncodedText]:
    """Read each text alone, in batches of like length."""
    encoded = graphs.turn_encoder.encode(texts)
    encodings = iter(_encode_windows([w for turn in encoded for w in turn.windows], graphs.encoder))
    return [_join(turn, [next(encodings) for _ in turn.windows]) for turn in encoded]


def labelled_turns(example: Example) -> Iterator[tuple[int, TurnLabels]]:
    """Index and labels of the turns that `collect_outputs` gives a row each, in their order."""
    for index, turn in enumerate(example.turns):
        if turn.labels is not None:
            yield index, turn.labels


def collect_outputs(examples: Sequence[Example], graphs: Graphs) -> HeadOutputs:
    """Logits and labels of every labelled customer turn of `examples`."""
    texts = encode_texts([turn.text for e in examples for turn in e.turns], graphs)
    logits: dict[str, list[NDArray[np.float32]]] = {name: [] for name in HEADS}
    labels: dict[str, list[int]] = {name: [] for name in GRADED_LABELS}
    tags: list[tuple[int, ...]] = []
    sources, languages, ids, indices, last = [], [], [], [], []
    position = 0
    for example in examples:
        turns = example.turns
        output = graphs.head.step(
            np.stack([text.vector for text in texts[position : position + len(turns)]]),
            np.array([0 if turn.is_customer else 1 for turn in turns]),
            graphs.head.initial_state(),
        )
        position += len(turns)
        for index, turn_labels in labelled_turns(example):
            for name in HEADS:
                logits[name].append(output.logits[name][index])
            for name in GRADED_LABELS:
                labels[name].append(getattr(turn_labels, name))
            tags.append(turn_labels.tags or (UNKNOWN,) * len(TAGS))
            sources.append(example.source)
            languages.append(example.language)
            ids.append(example.example_id)
            indices.append(index)
            last.append(turn_labels.is_last)
    return HeadOutputs(
        logits={name: np.array(values, dtype=np.float64) for name, values in logits.items()},
        labels={
            **{name: np.array(values, dtype=np.int64) for name, values in labels.items()},
            "tags": np.array(tags, dtype=np.int64),
        },
        sources=np.array(sources),
        languages=np.array(languages),
        example_ids=np.array(ids),
        turn_indices=np.array(indices),
        is_last=np.array(last),
    )


def join_outputs(parts: Sequence[HeadOutputs]) -> HeadOutputs:
    """The turns of all `parts`, in order."""
    first = parts[0]
    return HeadOutputs(
        {name: np.concatenate([p.logits[name] for p in parts]) for name in first.logits},
        {name: np.concatenate([p.labels[name] for p in parts]) for name in first.labels},
        np.concatenate([p.sources for p in parts]),
        np.concatenate([p.languages for p in parts]),
        np.concatenate([p.example_ids for p in parts]),
        np.concatenate([p.turn_indices for p in parts]),
        np.concatenate([p.is_last for p in parts]),
    )


def _encode_windows(windows: Sequence[TokenWindow], encoder: OnnxEncoder) -> list[WindowEncoding]:
    policy = BatchPolicy()
    order = sorted(range(len(windows)), key=lambda i: len(windows[i].input_ids))
    encodings: dict[int, WindowEncoding] = {}
    position = 0
    while position < len(order):
        # Ascending lengths: the first decides, and what no longer fits leads the next batch.
        longest = policy.padded_length(len(windows[order[position]].input_ids))
        taken = [
            i
            for i in order[position : position + policy.max_rows(longest)]
            if len(windows[i].input_ids) <= longest
        ]
        rows = [windows[i] for i in taken]
        batch = pad_batch(rows, longest)
        output = encoder.encode(batch.input_ids, batch.attention_mask)
        encodings.update(zip(taken, split_output(output, rows), strict=True))
        position += len(taken)
    return [encodings[i] for i in range(len(windows))]


def _join(turn: EncodedTurn, encodings: Sequence[WindowEncoding]) -> EncodedText:
    shares = np.array([window.weight for window in turn.windows], dtype=np.float32)
    vector = (shares / shares.sum()) @ np.stack([encoding.vector for encoding in encodings])
    return EncodedText(turn, vector, tuple(encoding.evidence for encoding in encodings))
