"""Runs every shape that serving will use once, so that no caller pays for the first time."""

from __future__ import annotations

import numpy as np

from moodline.batching.planner import BatchPolicy
from moodline.inference import EncoderEngine


def warm_up(engine: EncoderEngine, policy: BatchPolicy, *, pad_id: int) -> None:
    """Encode one row and a full batch of each bucket."""
    for length in policy.buckets:
        for rows in (1, policy.max_rows(length)):
            shape = (rows, length)
            engine.encode(np.full(shape, pad_id, np.int64), np.ones(shape, np.int64))
