"""The messages of a load test: one observation of each stream, as the model expects them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from streamlstm.loadtest.messages import Messages
    from streamlstm.network.model import Model

PREFIX = "bench-"


def stream_ids(count: int) -> list[str]:
    """Return the ids of so many streams."""
    return [f"{PREFIX}{n:06d}" for n in range(count)]


def one_of_each(ids: Sequence[str], model: Model, seed: int = 0) -> Messages:
    """Return a STEP for each stream, without a number: random numbers around the model's means."""
    from streamlstm import wire
    from streamlstm.loadtest.messages import Messages, joined

    normal = np.random.default_rng(seed).standard_normal((len(ids), model.input_size))
    rows = model.input_scaling.mean + model.input_scaling.scale * normal
    if model.categories:
        rows[:, 0] = np.arange(len(ids)) % model.categories
    if model.input_offsets is None:
        rows = rows.astype(np.float32)
    else:
        rows += model.input_offsets
    at = time.time() if model.online is not None and model.online.calendar else None
    frames = [
        wire.encode(wire.Step(stream, 0, wire.to_vector(x), at))
        for stream, x in zip(ids, rows, strict=True)
    ]
    nothing = np.zeros(len(ids) + 1, np.int64)  # is known of the replies
    return Messages(*joined(frames), np.zeros(1, np.uint8), nothing, nothing[1:])
