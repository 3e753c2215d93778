"""Trims the XLM-R vocabulary to the pieces that our languages use.

Of 250,002 rows most belong to languages that we do not serve. Kept are the special tokens, every
single-character piece (so that nothing becomes unreadable) and the pieces most used by the
training texts; the rest of the room goes to the most probable pieces of Latin, Arabic and
Devanagari script, so that words the data never showed still have short encodings.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertModel

_SERVED_SCRIPTS = re.compile("^▁?[\u0000-\u024f\u0600-\u06ff\u0750-\u077f\u0900-\u097f]+$")
_BATCH_TEXTS = 4096


@dataclass(frozen=True, slots=True)
class TrimmedVocabulary:
    """A smaller tokenizer and the old row of each of its pieces.

    Attributes:
        tokenizer: The trimmed fast tokenizer; no truncation, no padding.
        old_ids: Row of the start encoder for each new row. *Shape:* `(pieces,)`.
    """

    tokenizer: Tokenizer
    old_ids: Tensor


def trim_vocabulary(
    tokenizer: Tokenizer, texts: Iterable[str], *, max_pieces: int
) -> TrimmedVocabulary:
    """Keep at most `max_pieces` pieces, in their old order (which is that of frequency).

    Raises:
        ValueError: If `max_pieces` cannot hold the special and single-character pieces.
    """
    description = json.loads(tokenizer.to_str())
    pieces: list[tuple[str, float]] = description["model"]["vocab"]
    special = {entry["content"] for entry in description["added_tokens"] if entry["content"]}
    kept = {
        index
        for index, (piece, _) in enumerate(pieces)
        if piece in special or len(piece.removeprefix("▁")) <= 1
    }
    if len(kept) > max_pieces:
        raise ValueError(
            f"vocabulary.max_pieces is {max_pieces}, but {len(kept)} special and "
            "single-character pieces must be kept; raise it"
        )
    for index, _ in _usage(tokenizer, texts).most_common():
        if len(kept) >= max_pieces:
            break
        kept.add(index)
    for index, (piece, _) in enumerate(pieces):
        if len(kept) >= max_pieces:
            break
        if _SERVED_SCRIPTS.match(piece):
            kept.add(index)

    # <mask> stands outside the piece list and is never used after pretraining.
    order = sorted(kept)
    description["model"]["vocab"] = [pieces[index] for index in order]
    description["model"]["unk_id"] = order.index(description["model"]["unk_id"])
    new_ids = {pieces[index][0]: new for new, index in enumerate(order)}
    description["added_tokens"] = [
        {**entry, "id": new_ids[entry["content"]]}
        for entry in description["added_tokens"]
        if entry["content"] in new_ids
    ]
    for entry in description["post_processor"]["special_tokens"].values():
        entry["ids"] = [new_ids[token] for token in entry["tokens"]]
    description["truncation"] = None
    description["padding"] = None
    return TrimmedVocabulary(
        tokenizer=Tokenizer.from_str(json.dumps(description, ensure_ascii=False)),
        old_ids=torch.tensor(order),
    )


def _usage(tokenizer: Tokenizer, texts: Iterable[str]) -> Counter[int]:
    usage: Counter[int] = Counter()
    batch: list[str] = []

    def count() -> None:
        for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
            usage.update(encoding.ids)
        batch.clear()

    for text in texts:
        batch.append(text)
        if len(batch) == _BATCH_TEXTS:
            count()
    count()
    return usage


def trim_embeddings(model: BertModel, old_ids: Tensor) -> None:
    """Replace the model's word embeddings by the kept rows, in place."""
    old = model.embeddings.word_embeddings.weight.detach()
    model.embeddings.word_embeddings = nn.Embedding.from_pretrained(old[old_ids].clone())
    model.config.vocab_size = len(old_ids)
