"""Takes texts out of the training data that stand, word for word or nearly so, in held-out data.

Copies differ in decoration: handles, links, numbers, case, marks, letters drawn out. They are
compared without it. Near-copies share most of their letter n-grams; all of them are found, but for
what two n-grams of one hash can hide.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from models.recipe.examples import Example

MIN_LETTERS: Final = 20
"""Shorter texts ("ok", "thank you so much") stand everywhere and are nobody's copy."""

SIMILARITY: Final = 0.8
"""Jaccard similarity of the n-grams from which two texts count as near-copies."""

_LEAST: Final = SIMILARITY - 1e-9
"""In floating point 0.8 times 35 is more than 28."""

_NGRAM_LETTERS: Final = 4
_HASH_BITS: Final = 22
"""Four million buckets: of two texts of a hundred n-grams, one pair in 400 shares one by chance."""

_PREFIX_SHARED: Final = 4
"""N-grams that the rarest of two texts must share before the texts are compared in full."""

_ROWS_PER_STEP: Final = 5_000
_PAIRS_PER_STEP: Final = 200_000
"""Bound the memory of the comparison."""

_NOT_WORDS = re.compile(r"\bhttps?\b\S*|\bwww\.\S+|@\w+|<\w+>|\[(?:EMAIL|NAME|URL)\]")
_NOT_LETTERS = re.compile(r"[\W\d_]+")
_REPEATED = re.compile(r"(.)\1+")
# What decomposition leaves: dotless i, alef wasla, alef maqsura, ta marbuta, Persian ya and kaf,
# and the stroke that lengthens a word.
_FOLDED_LETTERS = str.maketrans("ıٱىةیک", "iايهيك", "ـ")

Cause = Literal["copy", "near_copy", "repeat"]


@dataclass(frozen=True, slots=True)
class Removal:
    """Why a training example was taken out.

    Attributes:
        example_id: Of the training example.
        source: Its source.
        cause: `copy` or `near_copy` of a held-out text, or `repeat` of its own source.
        of: Source of the held-out text; its own source for a repeat.
    """

    example_id: str
    source: str
    cause: Cause
    of: str


def normalise(text: str) -> str:
    """The letters of a text, folded so that copies in other dress become equal.

    Handles, links, placeholders, numbers, spaces and signs are left out; case, marks and the
    letter forms of Arabic and Turkish are folded; a repeated letter counts once.
    """
    bare = unicodedata.normalize("NFKD", _NOT_WORDS.sub(" ", text).casefold())
    if not bare.isascii():
        bare = "".join(c for c in bare if unicodedata.category(c) != "Mn")
        bare = bare.translate(_FOLDED_LETTERS)
    return _REPEATED.sub(r"\1", _NOT_LETTERS.sub("", bare))


def find_near_copies(texts: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    """For each of `texts` that is a near-copy of one of `others`, the first such.

    Args:
        texts: Normalised, at least four letters each.
        others: Normalised, at least four letters each.

    Source: Wang et al. 2012, "Can We Beat the Prefix Filtering?", section 3: two sets of similarity
        s share k elements among the |x| - ceil(s |x|) + k rarest of each.
    """
    if not texts or not others:
        return {}
    ngrams = _ngram_sets([*texts, *others])
    sizes = np.diff(ngrams.indptr)
    needed = np.ceil(_LEAST * sizes).astype(np.int64)
    needed_in_prefix = np.minimum(needed, _PREFIX_SHARED)
    prefix_sizes = sizes - needed + needed_in_prefix
    places = np.arange(ngrams.nnz) - np.repeat(ngrams.indptr[:-1], sizes)
    in_prefix = places < np.repeat(prefix_sizes, sizes)
    prefixes = csr_array(
        (
            in_prefix[in_prefix].astype(np.int32),
            ngrams.indices[in_prefix],
            np.concatenate([[0], np.cumsum(prefix_sizes)]),
        ),
        shape=ngrams.shape,
    )
    other_prefixes = prefixes[len(texts) :].T.tocsr()
    best: dict[int, int] = {}
    for start in range(0, len(texts), _ROWS_PER_STEP):
        stop = min(start + _ROWS_PER_STEP, len(texts))
        shared_in_prefix = (prefixes[start:stop] @ other_prefixes).tocoo()
        left, right = shared_in_prefix.row + start, shared_in_prefix.col + len(texts)
        is_candidate = (
            shared_in_prefix.data >= np.minimum(needed_in_prefix[left], needed_in_prefix[right])
        ) & (
            np.minimum(sizes[left], sizes[right]) >= _LEAST * np.maximum(sizes[left], sizes[right])
        )
        left, right = left[is_candidate], right[is_candidate]
        for first in range(0, len(left), _PAIRS_PER_STEP):
            one, other = (side[first : first + _PAIRS_PER_STEP] for side in (left, right))
            shared = np.asarray(ngrams[one].multiply(ngrams[other]).sum(axis=1)).ravel()
            near = shared >= _LEAST * (sizes[one] + sizes[other] - shared)
            for text, copy in zip(one[near].tolist(), other[near].tolist(), strict=True):
                best.setdefault(text, copy)
                best[text] = min(best[text], copy)
    return {texts[text]: others[copy - len(texts)] for text, copy in sorted(best.items())}


def _ngram_sets(texts: Sequence[str]) -> csr_array:
    """The hashed n-grams of each text as ones in its row, the rarest in all texts first.

    Returns:
        *Shape:* `(texts, distinct n-grams)`, int32.
    """
    letters = np.frombuffer("\0".join(texts).encode("utf-32-le"), dtype=np.uint32)
    count = len(letters) - _NGRAM_LETTERS + 1
    hashes = np.zeros(count, dtype=np.uint64)
    is_inside = np.ones(count, dtype=np.bool_)
    for offset in range(_NGRAM_LETTERS):
        column = letters[offset : offset + count]
        # Knuth's multiplier of the 64-bit linear congruential generator; its high bits mix best.
        hashes = (hashes + column) * np.uint64(6364136223846793005)
        is_inside &= column != 0
    rows = np.cumsum(letters == 0)[:count][is_inside]
    buckets = (hashes[is_inside] >> np.uint64(64 - _HASH_BITS)).astype(np.int64)
    frequencies = np.bincount(buckets, minlength=1 << _HASH_BITS)
    present = np.flatnonzero(frequencies)
    rarity = np.empty(1 << _HASH_BITS, dtype=np.int64)
    rarity[present[np.argsort(frequencies[present], kind="stable")]] = np.arange(len(present))
    cells: NDArray[np.int64] = np.sort(rows * len(present) + rarity[buckets])
    cells = cells[np.diff(cells, prepend=-1) > 0]
    sizes = np.bincount(cells // len(present), minlength=len(texts))
    return csr_array(
        (
            np.ones(len(cells), dtype=np.int32),
            cells % len(present),
            np.concatenate([[0], np.cumsum(sizes)]),
        ),
        shape=(len(texts), len(present)),
    )


def find_duplicates(training: Sequence[Example], held_out: Sequence[Example]) -> list[Removal]:
    """The training examples to take out, in their order.

    An example goes if one of its customer texts stands in held-out data, or if the whole of it
    stands earlier in its own source with the same labels.
    """
    normalised = {
        text: normalise(text)
        for text in {t.text for part in (training, held_out) for e in part for t in e.turns}
    }

    def customer_texts(example: Example) -> list[str]:
        texts = [normalised[turn.text] for turn in example.turns if turn.is_customer]
        return [text for text in texts if len(text) >= MIN_LETTERS]

    def repeat_key(text: str) -> str:
        # Short texts are compared as they are: two emoji would both be nothing but empty.
        key = normalised[text]
        return key if len(key) >= MIN_LETTERS else text.casefold().strip()

    owners: dict[str, str] = {}
    for example in held_out:
        for text in customer_texts(example):
            owners.setdefault(text, example.source)
    unseen = {t: None for e in training for t in customer_texts(e) if t not in owners}
    near = find_near_copies(list(unseen), list(owners))
    removals = []
    seen: set[tuple[object, ...]] = set()
    for example in training:
        found = _held_out_copy(customer_texts(example), owners, near)
        key = (example.source, *((repeat_key(t.text), t.labels) for t in example.turns))
        if found is not None:
            removals.append(Removal(example.example_id, example.source, *found))
        elif key in seen:
            removals.append(Removal(example.example_id, example.source, "repeat", example.source))
        else:
            seen.add(key)
    return removals


def _held_out_copy(
    texts: Sequence[str], owners: Mapping[str, str], near: Mapping[str, str]
) -> tuple[Cause, str] | None:
    for text in texts:
        if text in owners:
            return "copy", owners[text]
        if text in near:
            return "near_copy", owners[near[text]]
    return None


def drop_duplicates(
    training: Sequence[Example], held_out: Sequence[Example], cache_dir: Path | None = None
) -> tuple[list[Example], list[Removal]]:
    """Take out of `training` what `find_duplicates` finds.

    Args:
        training: Examples of unique (source, id).
        held_out: Examples that nothing may be trained on.
        cache_dir: Where the outcome is kept, by a digest of all texts: it takes half a minute.

    Returns:
        The examples that stay, and the removals.
    """
    removals = None
    if cache_dir is not None:
        file = cache_dir / f"duplicates-{_digest(training, held_out)}.json"
        if file.exists():
            removals = [Removal(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    if removals is None:
        removals = find_duplicates(training, held_out)
        if cache_dir is not None:
            cache_dir.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps([asdict(removal) for removal in removals]), encoding="utf-8")
    gone = {(removal.source, removal.example_id) for removal in removals}
    return [e for e in training if (e.source, e.example_id) not in gone], removals


def _digest(training: Sequence[Example], held_out: Sequence[Example]) -> str:
    """Of this module and of all that decides its outcome."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for part in (training, held_out):
        for example in part:
            digest.update(repr(example).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]
