"""The model under test, its streams, and messages that step them."""

from typing import Any

import numpy as np

from streamlstm import LSTM, Dense, Model, wire
from streamlstm.loadtest.messages import Messages, pack
from streamlstm.network.layers import Layer

F, H, O = 8, 64, 1
STREAMS = 10_000
IDS: list[wire.StreamId] = [f"sensor-{n:06d}" for n in range(STREAMS)]
BLOCK = 256  # streams in a STEPS


def model() -> Model:
    """Return the model under test: one LSTM and one output."""
    rng = np.random.default_rng(H)
    layers: list[Layer] = [LSTM(F, H), Dense(H, O)]
    weights = [
        {n: rng.uniform(-1, 1, s) / H**0.5 for n, s in layer.parameters().items()}
        for layer in layers
    ]
    return Model(layers, weights)


def observations(count: int, seed: int = 1) -> Any:
    """Return random observations, float32[count, F]."""
    return np.random.default_rng(seed).standard_normal((count, F)).astype(np.float32)


def one_a_message(ids: list[wire.StreamId] = IDS) -> Messages:
    """Return a STEP for each stream, without sequence numbers."""
    rows = observations(len(ids))
    frames = [
        wire.encode(wire.Step(id, 0, wire.to_floats(x))) for id, x in zip(ids, rows, strict=True)
    ]
    replies = [wire.encode(wire.Prediction(id, 0, bytes(4 * O))) for id in ids]
    return pack(frames, replies, 4 * O)


def blocks(ids: list[wire.StreamId] = IDS, size: int = BLOCK) -> Messages:
    """Return a STEPS for each ``size`` streams; the remainder is left out."""
    rows = observations(len(ids))
    frames, replies = [], []
    for start in range(0, len(ids) - size + 1, size):
        part = slice(start, start + size)
        frames.append(wire.encode(wire.Steps(ids[part], None, wire.to_floats(rows[part]))))
        replies.append(wire.encode(wire.Predictions(ids[part], None, bytes(4 * O * size))))
    return pack(frames, replies, 4 * O * size)
