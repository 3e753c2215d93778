"""From windows to the arrays of one engine call, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from moodline.inference import EncoderOutput, WindowEncoding


class Window(Protocol):
    """The part of an encoded turn that batching needs to know."""

    @property
    def input_ids(self) -> Sequence[int] | NDArray[np.int64]:
        """Token ids, special tokens included. *Shape:* `(token_count,)`."""
        ...


@dataclass(frozen=True, slots=True)
class BatchInputs:
    """The inputs of one engine call.

    Attributes:
        input_ids: *Shape:* `(rows, length)`, int64; 0 on padding.
        attention_mask: *Shape:* `(rows, length)`, int64; 1 on real tokens, 0 on padding.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]


def pad_batch(windows: Sequence[Window], length: int) -> BatchInputs:
    """Pad windows on the right to one length.

    The padding id is 0 whatever the tokenizer calls it: the mask is 0 there, and position ids
    count from the left, so the value is never read.

    Args:
        windows: Windows of at most `length` tokens each.
        length: Padded length, in tokens.

    Returns:
        `input_ids` and `attention_mask`.
        *Shape:* `(rows, length)`, int64; the mask is 1 on real tokens.

    Raises:
        ValueError: If a window is longer than `length`.

    Source: docs/batching.md, "Buckets".
    """
    input_ids = np.zeros((len(windows), length), dtype=np.int64)
    attention_mask = np.zeros((len(windows), length), dtype=np.int64)
    for row, window in enumerate(windows):
        token_count = len(window.input_ids)
        if token_count > length:
            raise ValueError(
                f"Window {row} has {token_count} tokens but the batch is padded to {length}; "
                "choose a longer bucket."
            )
        input_ids[row, :token_count] = window.input_ids
        attention_mask[row, :token_count] = 1
    return BatchInputs(input_ids, attention_mask)


def split_output(output: EncoderOutput, windows: Sequence[Window]) -> list[WindowEncoding]:
    """Give each window its own row, without the padding.

    Rows are copied, so that one kept encoding does not keep the whole batch alive.

    Args:
        output: What the engine returned for these windows.
        windows: The windows of the batch, in row order.

    Raises:
        ValueError: If the engine returned another number of rows, too few positions, or a vector
            that is not finite: any of them would poison the state of a whole conversation.
    """
    expected = len(windows)
    vector_rows, evidence_rows = output.vectors.shape[0], output.evidence.shape[0]
    if vector_rows != expected or evidence_rows != expected:
        raise ValueError(
            f"The engine returned {vector_rows} vectors and {evidence_rows} rows of evidence "
            f"for {expected} windows."
        )
    if not np.isfinite(output.vectors).all():
        raise ValueError("The engine returned a vector that is not finite.")
    longest = max(len(window.input_ids) for window in windows)
    if output.evidence.shape[2] < longest:
        raise ValueError(
            f"The engine returned evidence for {output.evidence.shape[2]} positions, "
            f"but a window has {longest} tokens."
        )
    encodings = []
    for row, window in enumerate(windows):
        vector = output.vectors[row].copy()
        evidence = output.evidence[row, :, : len(window.input_ids)].copy()
        vector.setflags(write=False)
        evidence.setflags(write=False)
        encodings.append(WindowEncoding(vector, evidence))
    return encodings
