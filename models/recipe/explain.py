"""Fits what evidence is read from: how far a score falls when a word is taken out.

Where an encoder attends is not what its scores rest on (Jain and Wallace 2019, "Attention is not
Explanation"). So the words of training turns are taken out one at a time, and a linear map of the
token vectors learns which of them matter to each aspect; the service then reads it off in the one
pass it makes anyway. Source: Schwarzenberg et al. 2021, "Efficient Explanations from Empirical
Explainers".
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from models.recipe.examples import UNKNOWN, Example, hash_share
from models.recipe.labels import ASPECTS, HEADS
from models.recipe.network import ConversationHead, Networks
from moodline.evidence import word_of_tokens, word_spans
from moodline.language import MEASURED_LANGUAGES

MAX_TURNS: Final = 2000
MIN_WORDS: Final = 3
MAX_WORDS: Final = 40
TURNS_PER_READING: Final = 16
ROWS_PER_BATCH: Final = 64
EPOCHS: Final = 30
TURNS_PER_STEP: Final = 64
LEARNING_RATE: Final = 2e-3
WEIGHT_DECAY: Final = 0.01

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ExplainedTurn:
    """What the words of one turn do to its scores.

    Attributes:
        hidden: Vectors of the tokens that stand for words. *Shape:* `(tokens, width)`.
        words: Word of each of those tokens. *Shape:* `(tokens,)`.
        support: How far each aspect's number falls without each word, at least 0.
            *Shape:* `(words, aspects)`.
    """

    hidden: Tensor
    words: Tensor
    support: Tensor


def fit_evidence(
    networks: Networks, examples: Sequence[Example], *, window_tokens: int
) -> nn.Linear:
    """Fit the map from token vectors to evidence logits.

    Args:
        networks: Trained; left as they are.
        examples: Of training; a stable sample of them is taken.
        window_tokens: Longest window.

    Returns:
        Map to one logit per aspect.
    """
    turns = list(explain_turns(networks, sample_turns(examples), window_tokens=window_tokens))
    _log.info("explained", turns=len(turns), words=sum(len(t.support) for t in turns))
    return fit_map(turns, width=networks.encoder.bert.config.hidden_size)


def sample_turns(examples: Sequence[Example]) -> list[tuple[Example, int]]:
    """A stable sample of turns labelled by our guide, at most one of each conversation."""
    found = []
    for example in examples:
        if example.language not in MEASURED_LANGUAGES:
            continue
        indices = [
            index
            for index, turn in enumerate(example.turns)
            if turn.labels is not None
            and turn.labels.urgency != UNKNOWN
            and MIN_WORDS <= len(word_spans(turn.text)) <= MAX_WORDS
        ]
        if indices:
            share = hash_share(f"{example.example_id}:explained")
            found.append((share, example.example_id, example, indices[int(share * len(indices))]))
    found.sort(key=lambda row: row[:2])
    return [(example, index) for _, _, example, index in found[:MAX_TURNS]]


def explain_turns(
    networks: Networks, turns: Sequence[tuple[Example, int]], *, window_tokens: int
) -> Iterator[ExplainedTurn]:
    """Read each turn in its place, then once without each of its words."""
    for first in range(0, len(turns), TURNS_PER_READING):
        taken = turns[first : first + TURNS_PER_READING]
        encodings = [
            networks.tokenizer.encode_batch([*_context(example, index), *_variants(example, index)])
            for example, index in taken
        ]
        windows = [e.ids[:window_tokens] for turn in encodings for e in turn]
        read = iter(_encode(networks, windows))
        for (example, index), encoded in zip(taken, encodings, strict=True):
            vectors, hidden = zip(*itertools.islice(read, len(encoded)), strict=True)
            offsets = torch.tensor(encoded[index].offsets[:window_tokens])
            is_word = offsets[:, 0] < offsets[:, 1]
            words = word_spans(example.turns[index].text)
            yield ExplainedTurn(
                hidden=hidden[index][is_word],
                words=torch.from_numpy(word_of_tokens(words, offsets[is_word].numpy())),
                support=support(_logits(networks.head, torch.stack(vectors), example, index)),
            )


def _context(example: Example, index: int) -> list[str]:
    return [turn.text for turn in example.turns[:index]]


def _variants(example: Example, index: int) -> list[str]:
    """The text of a turn, then without each of its words."""
    text = example.turns[index].text
    words = word_spans(text)
    return [
        text,
        *(
            " ".join(text[start:end] for other, (start, end) in enumerate(words) if other != gone)
            for gone in range(len(words))
        ),
    ]


@torch.no_grad()
def _logits(
    head: ConversationHead, vectors: Tensor, example: Example, index: int
) -> dict[str, Tensor]:
    """Read every variant of a turn after the turns before it. *Shape:* `(variants, n)` each."""
    state = head.initial_state(1)
    if index:
        roles = torch.tensor([[int(not turn.is_customer) for turn in example.turns[:index]]])
        *_, state = head(vectors[None, :index], roles, state)
    variants = vectors[index:, None]
    roles = torch.zeros(len(variants), 1, dtype=torch.long)
    *logits, _ = head(variants, roles, state.expand(-1, len(variants), -1).contiguous())
    return {name: values[:, 0] for name, values in zip(HEADS, logits, strict=True)}


def support(logits: dict[str, Tensor]) -> Tensor:
    """How far the number of each aspect falls from the first row to each of the others.

    The numbers are the strength of the sentiment score, the expected urgency and escalation, and
    the probability of the stage; 0 where one rises.

    Args:
        logits: Of the whole turn, then of the turn without each word. *Shape:* `(1 + words, n)`.

    Returns:
        *Shape:* `(words, aspects)`, in the order of `ASPECTS`.
    """
    grades = torch.softmax(logits["sentiment"], -1)
    score = grades @ torch.linspace(-1.0, 1.0, grades.shape[-1])
    levels = torch.softmax(logits["urgency"], -1)
    stages = torch.softmax(logits["stage"], -1)
    watch, escalate = torch.sigmoid(logits["escalation"]).unbind(-1)
    numbers = {
        "sentiment": score * torch.sign(score[0]),
        "urgency": levels @ torch.arange(levels.shape[-1], dtype=levels.dtype),
        "stage": stages[:, stages[0].argmax()],
        "escalation": watch + watch * escalate,
    }
    stacked = torch.stack([numbers[name] for name in ASPECTS], -1)
    return (stacked[0] - stacked[1:]).clamp(min=0.0)


def fit_map(turns: Sequence[ExplainedTurn], *, width: int) -> nn.Linear:
    """Fit by cross-entropy of each turn's words, a turn weighing as much as its words support."""
    evidence = nn.Linear(width, len(ASPECTS))
    nn.init.zeros_(evidence.weight)
    nn.init.zeros_(evidence.bias)
    optimizer = torch.optim.AdamW(
        evidence.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    rng = random.Random(0)
    order = list(turns)
    for _ in range(EPOCHS):
        rng.shuffle(order)
        for first in range(0, len(order), TURNS_PER_STEP):
            loss = evidence_loss(evidence, order[first : first + TURNS_PER_STEP])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return evidence


def evidence_loss(evidence: nn.Linear, turns: Sequence[ExplainedTurn]) -> Tensor:
    """Mean over turns of what the weights of the words miss of their support, in nats."""
    hidden = pad_sequence([t.hidden for t in turns], batch_first=True)
    words = pad_sequence([t.words for t in turns], batch_first=True)
    supports = pad_sequence([t.support for t in turns], batch_first=True)
    is_token = pad_sequence([torch.ones_like(t.words) for t in turns], batch_first=True).bool()
    logits = evidence(hidden).masked_fill(~is_token[..., None], -torch.inf)
    shares = torch.softmax(logits, 1)
    by_word = torch.zeros_like(supports).scatter_add(1, words[..., None].expand_as(shares), shares)
    return -(supports * torch.log(by_word.clamp(min=1e-6))).sum() / len(turns)


@torch.no_grad()
def _encode(networks: Networks, windows: Sequence[Sequence[int]]) -> list[tuple[Tensor, Tensor]]:
    """Vector of each window, and the vectors of its tokens."""
    read: dict[int, tuple[Tensor, Tensor]] = {}
    order = sorted(range(len(windows)), key=lambda i: len(windows[i]))
    for first in range(0, len(order), ROWS_PER_BATCH):
        taken = order[first : first + ROWS_PER_BATCH]
        length = max(len(windows[i]) for i in taken)
        ids = torch.ones(len(taken), length, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(taken):
            ids[row, : len(windows[i])] = torch.tensor(windows[i])
            mask[row, : len(windows[i])] = 1
        vectors, hidden = networks.encoder(ids, mask)
        for row, i in enumerate(taken):
            read[i] = vectors[row], hidden[row, : len(windows[i])]
    return [read[i] for i in range(len(windows))]
