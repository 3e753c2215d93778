"""The cache of repeated short windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moodline.batching.cache import MAX_CACHED_TOKENS, EncodingCache
from moodline.inference import WindowEncoding


@dataclass(frozen=True)
class Ids:
    input_ids: tuple[int, ...]


def encoding() -> WindowEncoding:
    return WindowEncoding(np.zeros(3, np.float32), np.zeros((1, 2), np.float32))


def test_the_same_token_ids_give_the_same_encoding() -> None:
    cache, stored = EncodingCache(), encoding()
    cache.put(Ids((1, 2)), stored)
    assert cache.get(Ids((1, 2))) is stored
    assert cache.get(Ids((2, 1))) is None
    assert cache.get(Ids((1, 2, 0))) is None


def test_the_least_recently_used_encoding_is_forgotten_at_the_bound() -> None:
    cache = EncodingCache(max_entries=2)
    cache.put(Ids((1,)), encoding())
    cache.put(Ids((2,)), encoding())
    cache.get(Ids((1,)))
    cache.put(Ids((3,)), encoding())
    assert len(cache) == 2
    assert cache.get(Ids((2,))) is None
    assert cache.get(Ids((1,))) is not None


def test_long_windows_are_not_remembered() -> None:
    assert EncodingCache().accepts(Ids((1,) * MAX_CACHED_TOKENS))
    assert not EncodingCache().accepts(Ids((1,) * (MAX_CACHED_TOKENS + 1)))


def test_no_entries_switch_the_cache_off() -> None:
    assert not EncodingCache(max_entries=0).accepts(Ids((1,)))
