"""Lets a teacher judge what a student learns from: a larger network, trained for sentiment alone.

A label says which of three sentiments a text has; a teacher also says how nearly it has another,
and judges the texts of sets that tell only intents, or nothing. Turns that were graded by the
annotation guide are left as they are: their grades are better than the teacher's guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from models.recipe.config import RecipeConfig
from models.recipe.examples import UNKNOWN, Example, ExampleTurn
from models.recipe.losses import coarse_log_probabilities
from models.recipe.network import forward_packed, read_trained
from models.recipe.packing import batches, encode_example


def taught_examples(
    config: RecipeConfig, examples: Sequence[Example], *, teacher_dir: Path
) -> list[Example]:
    """Return the examples, in their order, with what the teacher says of each customer turn.

    Args:
        config: Of the student; its batches are the teacher's, too.
        examples: As they are without augmentation: the student has to say the same of a variant.
        teacher_dir: Folder of the teacher's finished run.
    """
    teacher = read_trained(teacher_dir, head_width=config.head_width)
    teacher.encoder.eval()
    teacher.head.eval()
    training = config.training
    encoded = [
        encode_example(
            example,
            teacher.tokenizer,
            row_tokens=training.row_tokens,
            max_turn_windows=training.max_turn_windows,
            capacity=training.max_example_tokens,
        )
        for example in examples
    ]
    taught: list[Example] = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for batch in batches(
            iter(encoded), rows=training.rows_per_batch, row_tokens=training.row_tokens
        ):
            logits = forward_packed(teacher, batch)["sentiment"].float()
            for probabilities in coarse_log_probabilities(logits).exp().tolist():
                index = len(taught)
                judged = probabilities[: len(encoded[index].windows)]
                taught.append(_taught(examples[index], judged))
    return taught


def _taught(example: Example, probabilities: Sequence[Sequence[float]]) -> Example:
    judged = [
        replace(turn, taught_sentiment=(negative, neutral, positive)) if _is_open(turn) else turn
        for turn, (negative, neutral, positive) in zip(example.turns, probabilities, strict=False)
    ]
    return replace(example, turns=(*judged, *example.turns[len(judged) :]))


def may_be_taught(example: Example) -> bool:
    """Whether a teacher could say anything of it that nobody has graded."""
    return any(map(_is_open, example.turns))


def _is_open(turn: ExampleTurn) -> bool:
    return turn.is_customer and (turn.labels is None or turn.labels.sentiment == UNKNOWN)
