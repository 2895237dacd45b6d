"""Make keras2_graph_* and keras3_graph_*: Functional networks that are more than a chain of layers.

    pip install keras==3.15.1 torch==2.13.0 &&
        KERAS_BACKEND=torch python tests/golden/make_keras_graphs.py
    pip install tensorflow-cpu==2.15.1 && python tests/golden/make_keras_graphs.py

States are inputs and outputs, an embedding is joined with numbers, layers with functions.
``keras2_graphs.npz`` and ``keras3_graphs.npz`` hold ``NAME.x[T, F]`` and ``NAME.y[T, O]``: an
observation has the category first, then the numbers.
"""

import os
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from make_keras import HERE, MAJOR, STEPS, L, randomize

CATEGORIES = 7


def states() -> Any:
    """Return a network of one step, whose caller passes the state."""
    x = L.Input((1, 3))
    h, c, g = L.Input((5,)), L.Input((5,)), L.Input((4,))
    y, *after = L.LSTM(5, return_sequences=True, return_state=True)(x, initial_state=[h, c])
    y, last = L.GRU(4, return_state=True)(y, initial_state=g)
    return keras.Model([x, h, c, g], [L.Dense(2)(y), *after, last])


def hidden_state() -> Any:
    """Return a network that uses the returned hidden state, followed by a function."""
    x = L.Input((None, 3))
    _, h = L.GRU(5, return_sequences=True, return_state=True)(x)
    y = L.Dense(4)(h)
    y = keras.ops.relu(y) if MAJOR > 2 else keras.backend.relu(y)
    return keras.Model(x, L.Dense(2)(y))


def numbers(before: bool) -> Any:
    category, number = L.Input((None,), dtype="int32"), L.Input((None, 2))
    vector = L.Embedding(CATEGORIES, 4)(category)
    joined = L.Concatenate()([number, vector] if before else [vector, number])
    y = L.LSTM(5, return_sequences=True)(joined)
    return keras.Model([number, category] if before else [category, number], L.Dense(2)(y))


def sliced() -> Any:
    x = L.Input((None, 3))
    vector = L.Embedding(CATEGORIES, 4)(x[:, :, 0])
    y = L.GRU(5, return_sequences=True)(L.Concatenate()([vector, x[:, :, 1:]]))
    return keras.Model(x, L.Dense(1)(y) + x[:, :, 1:2])


CASES = {
    "states": (states, "keras"),
    "hidden_state": (hidden_state, "h5"),
    "numbers_behind": (lambda: numbers(before=False), "keras"),
    "numbers_before": (lambda: numbers(before=True), "h5"),
    "sliced": (sliced, "keras"),
}


def stepped(model: Any, x: np.ndarray) -> np.ndarray:
    """Step through x, with the state outputs as the next state inputs."""
    state = [np.zeros((1, width), np.float32) for width in (5, 5, 4)]
    rows = []
    for row in x:
        y, *state = map(np.asarray, model([row[None, None], *state]))
        rows.append(y[0])
    return np.stack(rows)


def outputs(name: str, model: Any, x: np.ndarray) -> np.ndarray:
    if name == "states":
        return stepped(model, x)
    if name == "hidden_state":
        return np.stack([np.asarray(model(x[None, : t + 1]))[0] for t in range(STEPS)])
    category, number = x[None, :, 0].astype(np.int32), x[None, :, 1:]
    given = {"numbers_behind": [category, number], "numbers_before": [number, category]}
    return np.asarray(model(given.get(name, x[None])))[0]


def main() -> None:
    arrays: dict[str, Any] = {"version": keras.__version__}
    for seed, (case, (make, suffix)) in enumerate(CASES.items()):
        name, rng = f"keras{MAJOR}_graph_{case}", np.random.default_rng(seed)
        model = make()
        randomize(model, seed)
        model.save(HERE / f"{name}.{suffix}")
        x = rng.standard_normal((STEPS, 3)).astype(np.float32)
        if case not in ("states", "hidden_state"):
            x[:, 0] = rng.integers(0, CATEGORIES, STEPS)
        y = outputs(case, model, x)
        arrays[f"{name}.x"], arrays[f"{name}.y"] = x, y
        print(f"{name}: y {y.shape}, {y.min():.3f} to {y.max():.3f}")
    np.savez_compressed(Path(HERE) / f"keras{MAJOR}_graphs.npz", **arrays)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
