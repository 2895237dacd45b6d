"""Prepared messages in one buffer each, and how the answer to each has to begin."""

from typing import Any, NamedTuple

import numpy as np

from streamlstm import LSTM, Dense, Model, wire
from streamlstm.network.layers import Layer

F, H, O = 8, 64, 1
STREAMS = 10_000
IDS: list[wire.StreamId] = [f"sensor-{n:06d}" for n in range(STREAMS)]
BLOCK = 256  # streams in a STEPS


class Messages(NamedTuple):
    """Messages ``n`` and the answers to them, as compiled code takes them.

    Attributes
    ----------
    frames : uint8[...]
        All messages, one after the other.
    frame_at : int64[N + 1]
        Where each begins, and the end.
    heads : uint8[...]
        How each answer begins: all but the outputs, which the load does not know.
    head_at : int64[N + 1]
    sizes : int64[N]
        Bytes of each answer.
    """

    frames: Any
    frame_at: Any
    heads: Any
    head_at: Any
    sizes: Any


def model() -> Model:
    """Return the network that is served: one LSTM and one output."""
    rng = np.random.default_rng(H)
    layers: list[Layer] = [LSTM(F, H), Dense(H, O)]
    weights = [
        {n: rng.uniform(-1, 1, s) / H**0.5 for n, s in layer.parameters().items()}
        for layer in layers
    ]
    return Model(layers, weights)


def observations(count: int, seed: int = 1) -> Any:
    """Return float32[count, F], such as sensors send."""
    return np.random.default_rng(seed).standard_normal((count, F)).astype(np.float32)


def one_a_message(ids: list[wire.StreamId] = IDS) -> Messages:
    """Return a STEP for each stream, not counted."""
    rows = observations(len(ids))
    frames = [
        wire.encode(wire.Step(id, 0, wire.to_floats(x))) for id, x in zip(ids, rows, strict=True)
    ]
    answers = [wire.encode(wire.Prediction(id, 0, bytes(4 * O))) for id in ids]
    return _pack(frames, answers, 4 * O)


def blocks(ids: list[wire.StreamId] = IDS, size: int = BLOCK) -> Messages:
    """Return a STEPS for each ``size`` streams; what is left over has none."""
    rows = observations(len(ids))
    frames, answers = [], []
    for start in range(0, len(ids) - size + 1, size):
        part = slice(start, start + size)
        frames.append(wire.encode(wire.Steps(ids[part], None, wire.to_floats(rows[part]))))
        answers.append(wire.encode(wire.Predictions(ids[part], None, bytes(4 * O * size))))
    return _pack(frames, answers, 4 * O * size)


def echoed(messages: Messages) -> Messages:
    """Return the same messages where each is its own answer, all of it."""
    sizes = np.diff(messages.frame_at)
    return messages._replace(heads=messages.frames, head_at=messages.frame_at, sizes=sizes)


def _pack(frames: list[bytes], answers: list[bytes], unknown: int) -> Messages:
    return Messages(
        *_joined(frames),
        *_joined([answer[: len(answer) - unknown] for answer in answers]),
        np.array([len(answer) for answer in answers], np.int64),
    )


def _joined(parts: list[bytes]) -> tuple[Any, Any]:
    at = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return np.frombuffer(bytearray().join(parts), np.uint8), at
