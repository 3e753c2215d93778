"""Masked losses of the heads: a turn counts only where its source gives the label."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from models.recipe.examples import UNKNOWN
from models.recipe.packing import PackedBatch

_COARSE_OF_GRADE = torch.tensor([0, 0, 1, 2, 2])


def coarse_log_probabilities(sentiment_logits: Tensor) -> Tensor:
    """Log probabilities of negative, neutral, positive from the five grades.

    Returns:
        *Shape:* as the input, with 3 in the last dimension.
    """
    log_grades = torch.log_softmax(sentiment_logits, dim=-1)
    groups = [log_grades[..., group == _COARSE_OF_GRADE] for group in range(3)]
    return torch.stack([torch.logsumexp(group, dim=-1) for group in groups], dim=-1)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1.0)


def _graded(logits: Tensor, target: Tensor, *, smoothing: float) -> Tensor:
    """Cross-entropy plus the squared error of the expected grade, so that near misses cost less.

    Grades are ordered; quadratic-weighted agreement is how they are judged.
    """
    flat, known = logits.flatten(0, 1), target.flatten() != UNKNOWN
    safe = target.flatten().clamp(min=0)
    cross_entropy = functional.cross_entropy(
        flat, safe, reduction="none", label_smoothing=smoothing
    )
    grades = torch.arange(logits.shape[-1], dtype=flat.dtype)
    expected = (torch.softmax(flat, dim=-1) * grades).sum(-1)
    error = (expected - safe).square()
    return _masked_mean(cross_entropy + 0.5 * error, known.float())


def distillation_loss(sentiment_logits: Tensor, taught: Tensor, *, temperature: float) -> Tensor:
    """Cross-entropy against a teacher, both softened, over the turns that it has judged.

    Args:
        sentiment_logits: Five grades. *Shape:* `(conversations, turns, 5)`.
        taught: Three probabilities, all 0 where there are none.
            *Shape:* `(conversations, turns, 3)`.
        temperature: Divides the logarithms of both; the square of it undoes the smaller gradients.

    Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2.
    """
    own = torch.log_softmax(coarse_log_probabilities(sentiment_logits) / temperature, dim=-1)
    wanted = torch.softmax(taught.clamp(min=1e-6).log() / temperature, dim=-1)
    return temperature**2 * _masked_mean(-(wanted * own).sum(-1), taught.sum(-1))


def head_losses(
    logits: Mapping[str, Tensor], batch: PackedBatch, *, stage_weights: Tensor, smoothing: float
) -> dict[str, Tensor]:
    """One scalar per head.

    Args:
        logits: By head name. *Shape:* `(conversations, turns, n)`.
        batch: The labels.
        stage_weights: Weight of each stage against class imbalance. *Shape:* `(stages,)`.
        smoothing: Label smoothing of the graded heads and the stage.
    """
    coarse_known = (batch.coarse_sentiment != UNKNOWN).float()
    coarse = functional.nll_loss(
        coarse_log_probabilities(logits["sentiment"]).flatten(0, 1),
        batch.coarse_sentiment.flatten().clamp(min=0),
        reduction="none",
    )
    stage_known = (batch.stage.flatten() != UNKNOWN).float()
    stage = functional.cross_entropy(
        logits["stage"].flatten(0, 1),
        batch.stage.flatten().clamp(min=0),
        weight=stage_weights,
        reduction="none",
        label_smoothing=smoothing,
    )
    tags_known = (batch.tags != UNKNOWN).float()
    tags = functional.binary_cross_entropy_with_logits(
        logits["tags"], batch.tags.clamp(min=0.0), reduction="none"
    )
    escalation_known = (batch.escalation != UNKNOWN).float()
    at_least_watch = (batch.escalation >= 1).float()
    watch = functional.binary_cross_entropy_with_logits(
        logits["escalation"][..., 0], at_least_watch, reduction="none"
    )
    escalate = functional.binary_cross_entropy_with_logits(
        logits["escalation"][..., 1], (batch.escalation == 2).float(), reduction="none"
    )
    warning_known = (batch.early_warning != UNKNOWN).float()
    warning = functional.binary_cross_entropy_with_logits(
        logits["early_warning"][..., 0], (batch.early_warning == 1).float(), reduction="none"
    )
    csat_known = (batch.csat != UNKNOWN).float() * batch.csat_weight
    csat = functional.cross_entropy(
        logits["csat"].flatten(0, 1), batch.csat.flatten().clamp(min=0), reduction="none"
    )
    return {
        "sentiment": _graded(logits["sentiment"], batch.sentiment, smoothing=smoothing),
        "coarse_sentiment": _masked_mean(coarse, coarse_known.flatten()),
        "urgency": _graded(logits["urgency"], batch.urgency, smoothing=smoothing),
        "stage": _masked_mean(stage, stage_known),
        "tags": _masked_mean(tags, tags_known),
        "escalation": _masked_mean(watch, escalation_known)
        + _masked_mean(escalate, escalation_known * at_least_watch),
        "early_warning": _masked_mean(warning, warning_known),
        "csat": _masked_mean(csat, csat_known.flatten()),
    }
