"""The two networks: an utterance encoder and a causal conversation head.

The encoder reads one turn on its own, so each turn is encoded once however long the
conversation is. The head is recurrent: its result for turn n depends on turns 1..n alone, and
its state is a vector of constant size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from models.recipe.labels import ASPECTS, HEADS
from models.recipe.packing import PackedBatch

TRAINED_FILE: Final = "trained.pt"
"""What a finished run leaves in its folder."""

HEAD_DROPOUT: Final = 0.1
"""In training, on the head alone: labelled conversations are few. The encoder has none, since its
masks cost a third of the time on a CPU."""

ROLE_COUNT: Final = 2
"""0 is a customer, 1 an agent or bot."""


class UtteranceEncoder(nn.Module):
    """A transformer with one attention pooling per aspect.

    The turn vector is the sum of the mean of the token vectors and a projection of the aspects'
    pooled vectors.
    """

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        width = bert.config.hidden_size
        self.bert = bert
        self.aspect_attention = nn.Linear(width, len(ASPECTS))
        self.aspect_projection = nn.Linear(width * len(ASPECTS), width)
        self.norm = nn.LayerNorm(width)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode padded windows, as the service does.

        Args:
            input_ids: *Shape:* `(rows, length)`.
            attention_mask: 1 on real tokens. *Shape:* `(rows, length)`.

        Returns:
            Vectors of the windows, *shape* `(rows, width)`, and of their tokens, *shape*
            `(rows, length, width)`.
        """
        # An additive mask built here, not by transformers, keeps the exported graph plain.
        additive = (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * -1e4
        hidden = self.bert(input_ids=input_ids, attention_mask=additive).last_hidden_state
        real = attention_mask.to(hidden.dtype)
        logits = self.aspect_attention(hidden).transpose(1, 2) + (1.0 - real[:, None, :]) * -1e4
        mean = (hidden * real[:, :, None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1.0)
        pooled = torch.matmul(torch.softmax(logits, dim=-1), hidden)
        return self._combine(mean, pooled.flatten(1)), hidden

    def encode_packed(
        self, input_ids: Tensor, position_ids: Tensor, segments: Tensor, segment_count: int
    ) -> Tensor:
        """Encode windows packed several to a row, as training does.

        Args:
            input_ids: *Shape:* `(rows, length)`.
            position_ids: Position of each token in its own window. *Shape:* as `input_ids`.
            segments: Window of each token, counted over the batch; -1 on padding.
                *Shape:* as `input_ids`.
            segment_count: Number of windows in the batch.

        Returns:
            One vector per window. *Shape:* `(segment_count, width)`.
        """
        same = segments[:, :, None] == segments[:, None, :]
        additive = torch.where(same, 0.0, -1e4)[:, None]
        hidden = self.bert(
            input_ids=input_ids, attention_mask=additive, position_ids=position_ids
        ).last_hidden_state.float()
        hidden, segments = hidden.flatten(0, 1), segments.flatten()
        hidden, segments = hidden[segments >= 0], segments[segments >= 0]
        ones = torch.ones_like(segments, dtype=hidden.dtype)
        lengths = hidden.new_zeros(segment_count).index_add(0, segments, ones)
        width = hidden.shape[1]
        mean = hidden.new_zeros(segment_count, width).index_add(0, segments, hidden)
        mean = mean / lengths[:, None].clamp(min=1.0)
        # Attention logits are small (one linear map of a layer-normed vector): exp is safe.
        weights = torch.exp(self.aspect_attention(hidden).float().clamp(max=30.0))
        total = weights.new_zeros(segment_count, weights.shape[1]).index_add(0, segments, weights)
        weights = weights / total[segments]
        spread = (weights[:, :, None] * hidden[:, None, :]).flatten(1)
        pooled = spread.new_zeros(segment_count, spread.shape[1]).index_add(0, segments, spread)
        return self._combine(mean, pooled)

    def _combine(self, mean: Tensor, pooled: Tensor) -> Tensor:
        vector: Tensor = self.norm(mean + self.aspect_projection(pooled))
        return vector


class ServedEncoder(nn.Module):
    """The encoder as it is exported: with what evidence is read from, see `explain`."""

    def __init__(self, encoder: UtteranceEncoder, evidence: nn.Linear) -> None:
        super().__init__()
        self.encoder = encoder
        self.evidence = evidence

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode padded windows.

        Args:
            input_ids: *Shape:* `(rows, length)`.
            attention_mask: 1 on real tokens. *Shape:* `(rows, length)`.

        Returns:
            Vectors, *shape* `(rows, width)`, and evidence logits, *shape*
            `(rows, aspects, length)`, meaningless on padding.
        """
        vectors, hidden = self.encoder(input_ids, attention_mask)
        return vectors, self.evidence(hidden).transpose(1, 2)


class ConversationHead(nn.Module):
    """A GRU over turn vectors, and one linear map per head on its output and the turn itself."""

    def __init__(self, turn_width: int, state_width: int) -> None:
        super().__init__()
        self.state_width = state_width
        self.role_embedding = nn.Embedding(ROLE_COUNT, turn_width)
        self.input = nn.Sequential(
            nn.Linear(turn_width, state_width), nn.GELU(), nn.Dropout(HEAD_DROPOUT)
        )
        self.recurrent = nn.GRU(state_width, state_width, batch_first=True)
        self.joint = nn.Sequential(
            nn.LayerNorm(turn_width + state_width),
            nn.Linear(turn_width + state_width, turn_width),
            nn.GELU(),
            nn.Dropout(HEAD_DROPOUT),
        )
        self.heads = nn.ModuleDict({name: nn.Linear(turn_width, n) for name, n in HEADS.items()})

    def forward(self, vectors: Tensor, roles: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        """Read turns in order.

        Args:
            vectors: Turn vectors. *Shape:* `(conversations, turns, turn_width)`.
            roles: Role index of each turn. *Shape:* `(conversations, turns)`.
            state: State after the turns before. *Shape:* `(1, conversations, state_width)`.

        Returns:
            Logits of each head in the order of `HEADS`, *shape* `(conversations, turns, n)`, and
            the new state.
        """
        inputs = self.input(vectors + self.role_embedding(roles))
        outputs, new_state = self.recurrent(inputs, state)
        joint = self.joint(torch.cat([vectors, outputs], dim=-1))
        return (*(head(joint) for head in self.heads.values()), new_state)

    def initial_state(self, conversation_count: int) -> Tensor:
        """State before the first turn. *Shape:* `(1, conversation_count, state_width)`."""
        return torch.zeros(1, conversation_count, self.state_width)


@dataclass(slots=True)
class Networks:
    """The two networks and the tokenizer they were built with."""

    encoder: UtteranceEncoder
    head: ConversationHead
    tokenizer: Tokenizer


def assemble(bert: BertModel, tokenizer: Tokenizer, *, head_width: int) -> Networks:
    """Put the networks around a transformer; dropout is off and the embeddings are frozen."""
    for module in bert.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    bert.embeddings.word_embeddings.weight.requires_grad_(False)
    return Networks(
        encoder=UtteranceEncoder(bert),
        head=ConversationHead(bert.config.hidden_size, head_width),
        tokenizer=tokenizer,
    )


def read_trained(run_dir: Path, *, head_width: int) -> Networks:
    """Read the weights and the tokenizer of a finished run, whatever its configuration."""
    saved = torch.load(run_dir / TRAINED_FILE, weights_only=True)
    bert_config = BertConfig(**saved["bert_config"])
    bert_config._attn_implementation = "eager"
    networks = assemble(
        BertModel(bert_config, add_pooling_layer=False),
        Tokenizer.from_file(str(run_dir / "tokenizer.json")),
        head_width=head_width,
    )
    networks.encoder.load_state_dict(saved["encoder"])
    # A head that the saved run did not have begins fresh.
    absent = {f"heads.{name}.{part}" for name in HEADS for part in ("weight", "bias")}
    found = networks.head.load_state_dict(saved["head"], strict=False)
    if found.unexpected_keys or not absent.issuperset(found.missing_keys):
        raise ValueError(f"{run_dir / TRAINED_FILE} holds other networks: {found}")
    return networks


def forward_packed(networks: Networks, batch: PackedBatch) -> dict[str, Tensor]:
    """Logits of each head. *Shape:* `(conversations, turns, n)`."""
    windows = networks.encoder.encode_packed(
        batch.input_ids, batch.position_ids, batch.segments, len(batch.window_turn)
    )
    conversations, turns = batch.roles.shape
    weighted = windows * batch.window_weight[:, None]
    vectors = windows.new_zeros(conversations * turns, windows.shape[1])
    vectors = vectors.index_add(0, batch.window_turn, weighted)
    *logits, _ = networks.head(
        vectors.view(conversations, turns, -1),
        batch.roles,
        networks.head.initial_state(conversations),
    )
    return dict(zip(HEADS, logits, strict=True))
