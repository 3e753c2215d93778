"""A bounded memory of short windows, which people repeat: "ok", "thanks", "one moment please"."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from moodline.batching.padding import Window
from moodline.inference import WindowEncoding

MAX_CACHED_TOKENS = 16
"""Longest window that is remembered: whole turns repeat word for word only when short, and the
bound keeps an entry under some 3 KB (384 floats and the evidence of 16 tokens)."""


class EncodingCache:
    """Encodings of recent short windows, least recently used out first.

    An encoding depends on the token ids alone, so a remembered one is the one that the engine
    would give again. Lives on the event loop; needs no lock.
    """

    def __init__(self, max_entries: int = 4096) -> None:
        """Create an empty cache.

        Args:
            max_entries: Most encodings kept; 0 switches the cache off.
        """
        self._max_entries = max_entries
        self._encodings: OrderedDict[bytes, WindowEncoding] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of encodings held."""
        return len(self._encodings)

    def accepts(self, window: Window) -> bool:
        """Return whether the window is short enough to be remembered."""
        return self._max_entries > 0 and len(window.input_ids) <= MAX_CACHED_TOKENS

    def get(self, window: Window) -> WindowEncoding | None:
        """Return the encoding of the same token ids, if it is remembered."""
        key = _key(window)
        encoding = self._encodings.get(key)
        if encoding is not None:
            self._encodings.move_to_end(key)
        return encoding

    def put(self, window: Window, encoding: WindowEncoding) -> None:
        """Remember the encoding of an accepted window, forgetting the least recently used."""
        key = _key(window)
        self._encodings[key] = encoding
        self._encodings.move_to_end(key)
        if len(self._encodings) > self._max_entries:
            self._encodings.popitem(last=False)


def _key(window: Window) -> bytes:
    return np.asarray(window.input_ids, dtype=np.int64).tobytes()
