"""What an encoder engine takes and gives; the contract between batching and the engine.

Nothing here imports an inference runtime, so the batching engine can be tested without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EncoderOutput:
    """What the encoder says of one batch.

    Attributes:
        vectors: One vector per row.
            *Shape:* `(rows, width)`, float32.
        evidence: Evidence logits of each aspect over the tokens; padding is meaningless.
            *Shape:* `(rows, aspects, length)`, float32.
    """

    vectors: NDArray[np.float32]
    evidence: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WindowEncoding:
    """What the encoder says of one window; the arrays are read-only, as callers may share them.

    Attributes:
        vector: *Shape:* `(width,)`, float32.
        evidence: Evidence logits of each aspect over the real tokens.
            *Shape:* `(aspects, token_count)`, float32.
    """

    vector: NDArray[np.float32]
    evidence: NDArray[np.float32]


class EncoderEngine(Protocol):
    """Computes one batch; called from one thread, one call at a time."""

    def encode(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]
    ) -> EncoderOutput:
        """Encode a padded batch; a row's result must not depend on the other rows.

        Args:
            input_ids: Token ids. *Shape:* `(rows, length)`.
            attention_mask: 1 on real tokens, 0 on padding. *Shape:* `(rows, length)`.
        """
        ...
