"""Packs windows of many turns into rows of one length.

Every step then has one shape (a new shape compiles anew on a CPU) and hardly any padding; a
block-diagonal mask keeps the windows apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.recipe.examples import UNKNOWN, Example
from models.recipe.labels import GRADED_LABELS, TAGS
from moodline.windows import split_windows


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """An example with the windows of each turn: token ids and the window's weight."""

    example: Example
    windows: tuple[tuple[tuple[tuple[int, ...], float], ...], ...]

    @property
    def token_count(self) -> int:
        """Tokens over all windows."""
        return sum(len(ids) for turn in self.windows for ids, _ in turn)


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Tensors of one training step.

    Attributes:
        input_ids, position_ids, segments: *Shape:* `(rows, row_tokens)`.
        window_turn: Turn slot (conversation * turns + turn) of each window.
        window_weight: Share of each window in its turn's vector; sums to 1 over a turn.
        roles: 0 customer, 1 agent. *Shape:* `(conversations, turns)`.
        sentiment, coarse_sentiment, urgency, stage, escalation, early_warning, csat: Labels,
            `UNKNOWN` where there is none. *Shape:* `(conversations, turns)`.
        csat_weight: *Shape:* `(conversations, turns)`.
        tags: *Shape:* `(conversations, turns, tags)`; `UNKNOWN` where there is none.
        taught_sentiment: Probabilities by a teacher; all 0 where there are none.
            *Shape:* `(conversations, turns, 3)`.
    """

    input_ids: Tensor
    position_ids: Tensor
    segments: Tensor
    window_turn: Tensor
    window_weight: Tensor
    roles: Tensor
    sentiment: Tensor
    coarse_sentiment: Tensor
    urgency: Tensor
    stage: Tensor
    escalation: Tensor
    early_warning: Tensor
    csat: Tensor
    csat_weight: Tensor
    tags: Tensor
    taught_sentiment: Tensor


EARLY_CSAT_WEIGHT: Final = 0.3
"""Weight of the CSAT loss before the last customer turn: the outcome is still open there."""


def encode_example(
    example: Example, tokenizer: Tokenizer, *, row_tokens: int, max_turn_windows: int, capacity: int
) -> EncodedExample:
    """Tokenize an example; turns beyond `capacity` tokens are left out of training."""
    encodings = tokenizer.encode_batch([turn.text for turn in example.turns])
    turns = []
    used = 0
    for encoding in encodings:
        windows = split_windows(encoding.ids, window_tokens=row_tokens)[:max_turn_windows]
        used += sum(len(window.input_ids) for window in windows)
        if used > capacity:
            break
        total = sum(window.weight for window in windows)
        turns.append(tuple((tuple(w.input_ids), w.weight / total) for w in windows))
    kept = Example(
        example.example_id,
        example.source,
        example.language,
        example.split,
        example.turns[: len(turns)],
    )
    return EncodedExample(kept, tuple(turns))


def pack_rows(lengths: Sequence[int], *, rows: int, row_tokens: int) -> list[int] | None:
    """First-fit decreasing.

    Returns:
        The row of each window, or None if they do not fit.
    """
    room = [row_tokens] * rows
    placed = [0] * len(lengths)
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        for row in range(rows):
            if room[row] >= lengths[index]:
                room[row] -= lengths[index]
                placed[index] = row
                break
        else:
            return None
    return placed


def batches(
    encoded: Iterator[EncodedExample], *, rows: int, row_tokens: int, fill: float = 0.93
) -> Iterator[PackedBatch]:
    """Group examples, in their order, into batches filled to about `fill`."""
    group: list[EncodedExample] = []
    used = 0
    for item in encoded:
        if group and used + item.token_count > fill * rows * row_tokens:
            yield pack(group, rows=rows, row_tokens=row_tokens)
            group, used = [], 0
        group.append(item)
        used += item.token_count
    if group:
        yield pack(group, rows=rows, row_tokens=row_tokens)


def pack(group: Sequence[EncodedExample], *, rows: int, row_tokens: int) -> PackedBatch:
    """Build the tensors of one batch; a row is added if first-fit needs it."""
    turn_count = max(len(item.windows) for item in group)
    windows = [
        (slot * turn_count + turn, ids, weight)
        for slot, item in enumerate(group)
        for turn, turn_windows in enumerate(item.windows)
        for ids, weight in turn_windows
    ]
    lengths = [len(ids) for _, ids, _ in windows]
    while (placed := pack_rows(lengths, rows=rows, row_tokens=row_tokens)) is None:
        rows += 1
    input_ids = np.ones((rows, row_tokens), dtype=np.int64)
    position_ids = np.zeros((rows, row_tokens), dtype=np.int64)
    segments = np.full((rows, row_tokens), -1, dtype=np.int64)
    filled = [0] * rows
    for segment, ((_, ids, _), row) in enumerate(zip(windows, placed, strict=True)):
        span = slice(filled[row], filled[row] + len(ids))
        input_ids[row, span] = ids
        position_ids[row, span] = np.arange(len(ids))
        segments[row, span] = segment
        filled[row] += len(ids)

    shape = (len(group), turn_count)
    roles = np.ones(shape, dtype=np.int64)
    targets = {name: np.full(shape, UNKNOWN, dtype=np.int64) for name in GRADED_LABELS}
    tags = np.full((*shape, len(TAGS)), UNKNOWN, dtype=np.float32)
    taught_sentiment = np.zeros((*shape, 3), dtype=np.float32)
    csat_weight = np.zeros(shape, dtype=np.float32)
    for slot, item in enumerate(group):
        for index, turn in enumerate(item.example.turns):
            roles[slot, index] = 0 if turn.is_customer else 1
            if turn.taught_sentiment is not None:
                taught_sentiment[slot, index] = turn.taught_sentiment
            if turn.labels is None:
                continue
            for name, target in targets.items():
                target[slot, index] = getattr(turn.labels, name)
            if turn.labels.tags is not None:
                tags[slot, index] = turn.labels.tags
            csat_weight[slot, index] = 1.0 if turn.labels.is_last else EARLY_CSAT_WEIGHT
    return PackedBatch(
        input_ids=torch.from_numpy(input_ids),
        position_ids=torch.from_numpy(position_ids),
        segments=torch.from_numpy(segments),
        window_turn=torch.tensor([slot for slot, _, _ in windows]),
        window_weight=torch.tensor([weight for _, _, weight in windows]),
        roles=torch.from_numpy(roles),
        csat_weight=torch.from_numpy(csat_weight),
        tags=torch.from_numpy(tags),
        taught_sentiment=torch.from_numpy(taught_sentiment),
        **{name: torch.from_numpy(target) for name, target in targets.items()},
    )
