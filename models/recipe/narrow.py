"""Narrows the feed-forward blocks of the start encoder.

A block keeps the units that move its output most: by the spread of a unit's activation over real
texts times the length of its column on the way down. What the others give on average goes into the
bias. Source: Molchanov et al. 2017, "Pruning Convolutional Neural Networks for Resource Efficient
Inference" (activation-based importance); Nova et al. 2023, "Gradient-Free Structured Pruning with
Unlabeled Data".

Measured without any training, cosine of the mean-pooled and centred vectors of 2,000 tweets in
eight languages to those of the whole encoder: twelve layers with half the units 0.87; eight layers
with all units, as many weights, 0.35 to 0.48; six 0.28.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertModel


@dataclass(slots=True)
class _Activity:
    """Running sums over tokens of one block's units."""

    total: Tensor
    squares: Tensor
    token_count: int = 0

    def add(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        tokens = inputs[0].detach().flatten(0, -2)
        self.total += tokens.sum(0)
        self.squares += tokens.square().sum(0)
        self.token_count += len(tokens)


def narrow_feed_forward(bert: BertModel, windows: Sequence[Sequence[int]], *, width: int) -> None:
    """Keep `width` units of every feed-forward block, in place.

    Args:
        bert: The start encoder.
        windows: Token ids of real texts, which the importance of units is measured on.
        width: Units to keep; as many or more than there are changes nothing.
    """
    if width >= bert.config.intermediate_size:
        return
    layers = bert.encoder.layer
    downs = [layer.output.dense for layer in layers]
    activities = [
        _Activity(torch.zeros(down.in_features), torch.zeros(down.in_features)) for down in downs
    ]
    hooks = [
        down.register_forward_pre_hook(activity.add)
        for down, activity in zip(downs, activities, strict=True)
    ]
    with torch.no_grad():
        for ids in windows:
            bert(input_ids=torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    for layer, activity in zip(layers, activities, strict=True):
        _narrow(layer.intermediate.dense, layer.output.dense, activity, width)
    bert.config.intermediate_size = width


def _narrow(up: nn.Linear, down: nn.Linear, activity: _Activity, width: int) -> None:
    mean = activity.total / activity.token_count
    variance = (activity.squares / activity.token_count - mean.square()).clamp(min=0.0)
    importance = variance.sqrt() * down.weight.detach().norm(dim=0)
    kept = importance.topk(width).indices.sort().values
    constant = mean.clone()
    constant[kept] = 0.0
    with torch.no_grad():
        down.bias += down.weight @ constant
        up.weight = nn.Parameter(up.weight[kept].clone())
        up.bias = nn.Parameter(up.bias[kept].clone())
        down.weight = nn.Parameter(down.weight[:, kept].clone())
    up.out_features = down.in_features = width
