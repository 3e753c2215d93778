"""Turn text to windows of tokens, each token with its place in the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from moodline.errors import ArtifactError
from moodline.windows import TokenWindow, split_windows


@dataclass(frozen=True, slots=True)
class EncodedTurn:
    """A turn's windows.

    Attributes:
        windows: At least one; longer turns have several that overlap.
        offsets: Code points [start, end) of each token in the turn's text, special tokens empty.
            *Shape:* `(tokens, 2)`, int64.
    """

    windows: tuple[TokenWindow, ...]
    offsets: NDArray[np.int64]


class TurnEncoder:
    """The tokenizer of an artifact; never changed after loading, so safe in several threads."""

    def __init__(self, tokenizer_file: Path, *, window_tokens: int) -> None:
        """Load the tokenizer.

        Args:
            tokenizer_file: A fast tokenizer without truncation and padding.
            window_tokens: Longest window, special tokens included.

        Raises:
            ArtifactError: If the file cannot be read, or cuts or pads.
        """
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:
            raise ArtifactError(f"{tokenizer_file}: cannot be loaded; restore the model") from error
        if self._tokenizer.truncation is not None or self._tokenizer.padding is not None:
            raise ArtifactError(f"{tokenizer_file}: truncation and padding must be null")
        self._window_tokens = window_tokens

    def encode(self, texts: Sequence[str]) -> list[EncodedTurn]:
        """Tokenize turns; nothing is cut."""
        return [
            EncodedTurn(
                windows=split_windows(encoding.ids, window_tokens=self._window_tokens),
                offsets=np.array(encoding.offsets, dtype=np.int64),
            )
            for encoding in self._tokenizer.encode_batch(list(texts))
        ]
