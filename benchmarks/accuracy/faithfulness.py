"""Whether the quoted words are those that the scores rest on.

For every span that the service would quote, its words are taken out of the turn and the turn is
read again in its place in the conversation; then as many other words of the turn, drawn at random.
If the quote explains anything, the score moves more without it. Source: DeYoung et al. 2020,
"ERASER", section 4 (comprehensiveness, here against random words).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.bootstrap import SEED, conversation_weights, entry
from benchmarks.accuracy.published import ALL
from models.recipe.collect import EncodedText, Graphs, encode_texts
from models.recipe.evaluate import MIN_TURNS
from models.recipe.examples import Example
from moodline.domain import Evidence, TurnScores
from moodline.evidence import evidence_weights, explained_aspects, find_evidence, word_spans
from moodline.scoring import TurnLogits, score_turn

RANDOM_DRAWS: Final = 10
ASPECTS: Final = ("sentiment", "urgency", "escalation")
"""Aspects on a scale, so that a movement has a length."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Quote:
    """A quoted span with what is needed to read its turn again.

    Attributes:
        example: The conversation.
        text: Of the turn.
        span: What is quoted.
        scores: Of the turn as it is.
        state: Of the head before the turn.
    """

    example: Example
    text: str
    span: Evidence
    scores: TurnScores
    state: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Movement:
    """How far a score moved when words were taken out.

    Attributes:
        example_id: The conversation.
        language: Its language.
        aspect: Of the quote.
        without_quote: Absolute change without the quoted words.
        without_random: The same without as many others, mean of the draws.
        word_count: Words taken out.
    """

    example_id: str
    language: str
    aspect: str
    without_quote: float
    without_random: float
    word_count: int


def measure_faithfulness(examples: Sequence[Example], graphs: Graphs) -> Json:
    """Ratios of movement by aspect, for all languages and each.

    Returns:
        By aspect and language; `unpaired` counts quotes of more words than the turn has besides.
    """
    quotes = list(find_quotes(examples, graphs))
    movements = measure_movements(quotes, graphs)
    languages = sorted({m.language for m in movements})
    return {
        "random_draws": RANDOM_DRAWS,
        "quotes": len(quotes),
        "unpaired": len(quotes) - len(movements),
        "aspects": {
            aspect: {
                language: summary
                for language in (ALL, *languages)
                if (
                    summary := summarize(
                        [
                            m
                            for m in movements
                            if m.aspect == aspect and language in (ALL, m.language)
                        ]
                    )
                )
            }
            for aspect in ASPECTS
        },
    }


def find_quotes(examples: Sequence[Example], graphs: Graphs) -> Iterator[Quote]:
    """What the service would quote from the customers' turns."""
    manifest = graphs.artifact.manifest
    texts = iter(encode_texts([t.text for e in examples for t in e.turns], graphs))
    for example in examples:
        state = graphs.head.initial_state()
        for turn in example.turns:
            encoded = next(texts)
            logits, next_state = _step(graphs, encoded, state, is_customer=turn.is_customer)
            if turn.labels is not None:
                scores = _scores(graphs, logits)
                for span in find_evidence(
                    turn.text,
                    encoded.encoded.offsets,
                    evidence_weights(encoded.encoded, encoded.window_logits),
                    aspects=manifest.encoder.aspects,
                    wanted=explained_aspects(scores) & set(ASPECTS),
                ):
                    yield Quote(example, turn.text, span, scores, state)
            state = next_state


def measure_movements(quotes: Sequence[Quote], graphs: Graphs) -> list[Movement]:
    """Read every turn again without the quote and without random words."""
    rng = np.random.default_rng(SEED)
    paired = [(quote, shortened(quote.text, quote.span, rng)) for quote in quotes]
    paired = [(quote, texts) for quote, texts in paired if texts]
    encoded = iter(encode_texts([text for _, texts in paired for text in texts], graphs))
    movements = []
    for quote, texts in paired:
        changes = []
        for _ in texts:
            logits, _ = _step(graphs, next(encoded), quote.state, is_customer=True)
            scores = _scores(graphs, logits)
            aspect = quote.span.aspect
            changes.append(abs(_explained(scores, aspect) - _explained(quote.scores, aspect)))
        movements.append(
            Movement(
                quote.example.example_id,
                quote.example.language,
                quote.span.aspect,
                changes[0],
                float(np.mean(changes[1:])),
                len(word_spans(quote.span.text)),
            )
        )
    return movements


def shortened(text: str, span: Evidence, rng: np.random.Generator) -> list[str]:
    """The text without the quoted words, then `RANDOM_DRAWS` times without as many others.

    Returns:
        Nothing if the text has fewer other words than quoted ones.
    """
    words = word_spans(text)
    is_quoted = np.array([span.start <= start < span.end for start, _ in words])
    count, others = int(is_quoted.sum()), np.flatnonzero(~is_quoted)
    if len(others) < count:
        return []
    removed = [np.flatnonzero(is_quoted)]
    removed += [rng.choice(others, count, replace=False) for _ in range(RANDOM_DRAWS)]
    return [
        " ".join(text[start:end] for i, (start, end) in enumerate(words) if i not in gone)
        for gone in map(set, (indices.tolist() for indices in removed))
    ]


def summarize(movements: Sequence[Movement]) -> Json:
    """Ratio of the mean movements with its interval over conversations; empty for too few."""
    if len(movements) < MIN_TURNS:
        return {}
    quote = np.array([m.without_quote for m in movements])
    random = np.array([m.without_random for m in movements])
    conversations = np.array([m.example_id for m in movements])
    weights = conversation_weights(conversations)
    return {
        **entry((weights @ quote) / (weights @ random), len(movements)),
        "conversations": len(np.unique(conversations)),
        "movement_without_quote": round(float(quote.mean()), 4),
        "movement_without_random": round(float(random.mean()), 4),
        "share_moved_more": round(float((quote > random).mean()), 3),
        "mean_word_count": round(float(np.mean([m.word_count for m in movements])), 2),
    }


def _step(
    graphs: Graphs, text: EncodedText, state: NDArray[np.float32], *, is_customer: bool
) -> tuple[TurnLogits, NDArray[np.float32]]:
    output = graphs.head.step(text.vector[None], np.array([int(not is_customer)]), state)
    return {name: values[0] for name, values in output.logits.items()}, output.state


def _scores(graphs: Graphs, logits: TurnLogits) -> TurnScores:
    manifest = graphs.artifact.manifest
    return score_turn(logits, labels=manifest.labels, calibration=manifest.calibration)


def _explained(scores: TurnScores, aspect: str) -> float:
    """The number that a quote stands for: the score, or the expected level."""
    if aspect == "sentiment":
        return scores.sentiment.score
    levels = (
        scores.urgency.probabilities if aspect == "urgency" else scores.escalation.probabilities
    )
    return sum(level * probability for level, probability in enumerate(levels.values()))
