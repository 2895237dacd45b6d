"""Make keras[23]_joined_*: several inputs, layers used twice, attention; and the numbers of Keras.

    pip install keras==3.15.1 tensorflow==2.18.0 tf_keras==2.18.0
    python -m tests.golden.make_keras_joined
    TF_USE_LEGACY_KERAS=1 python -m tests.golden.make_keras_joined

``keras[23]_joined.npz`` holds for each file ``NAME.x[3, T, F]``, windows of observations: random
ones, positive ones and large ones; and ``NAME.y[3, O]``, what Keras predicts of them.
"""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

MAJOR = 2 if os.environ.get("TF_USE_LEGACY_KERAS") else 3
keras: Any = import_module("tf_keras" if MAJOR == 2 else "keras")
tf: Any = import_module("tensorflow")
L, HERE, T = keras.layers, Path(__file__).parent, 6
ops: Any = keras.ops if MAJOR == 3 else tf
Made = tuple[list[Any], Any]


def inputs() -> Made:
    """A series, time features, a vector, and categories of the series and of each row."""
    series, times = L.Input((T, 3), name="series"), L.Input((T, 2), name="times")
    place, shop = L.Input((2,), name="place"), L.Input((1,), name="shop")
    day = L.Input((T,), name="day")
    x = L.Concatenate()([series, times, L.Embedding(7, 2)(day)])
    x = L.Concatenate()([x, L.RepeatVector(T)(L.Dense(2, activation="tanh")(place))])
    h = L.LSTM(4)(x)
    vector = L.Flatten()(L.Embedding(5, 3)(shop))
    gate = 1 - L.Dense(4, activation="sigmoid")(place)
    y = L.Dense(1)(L.Concatenate()([h * gate, vector, place]))
    return [series, times, place, shop, day], ops.sigmoid(y) * 400 - 1


def used_twice() -> Made:
    """Layers and networks that are used several times, on slices of one input and of two."""
    one, other = L.Input((T, 3), name="one"), L.Input((T, 3), name="other")
    source = L.Input((T, 3))
    h = L.Bidirectional(L.GRU(2, return_sequences=True))(source)
    encoder = keras.Model(source, L.Dense(3, activation="relu")(h[:, 2, :]))
    cell = L.LSTM(2)
    parts = [encoder(one), encoder(other), cell(one[:, :, 1:]), cell(other[:, ::2, :2])]
    return [one, other], L.Dense(2)(L.Concatenate()([*parts, one[:, :, 0]]))


def numbers() -> Made:
    """A window of numbers, of which the network makes rows."""
    x = L.Input((T,), name="x")
    rows = ops.expand_dims(x, axis=-1)
    h = L.LSTM(3, return_sequences=True)(rows)
    query = ops.expand_dims(h[:, -1, :], axis=1)
    context = ops.squeeze(L.Attention(use_scale=True)([query, h]), axis=1)
    return [x], L.Dense(1)(L.Concatenate()([context, L.Flatten()(rows[:, -3:, :])]))


def attention() -> Made:
    """Additive attention and scores of sums, of a sequence to itself and of one query."""
    x = L.Input((T, 3), name="x")
    h = L.GRU(3, return_sequences=True)(x)
    query = ops.expand_dims(L.Dense(3)(h[:, -1, :]), axis=1)
    parts = [
        L.GlobalAveragePooling1D()(L.AdditiveAttention()([h, h])),
        L.Flatten()(L.AdditiveAttention()([query, h])),
        L.GlobalAveragePooling1D()(L.AdditiveAttention(use_scale=False)([h, L.Dense(3)(x)])),
        L.Flatten()(L.Attention(score_mode="concat", use_scale=True)([query, h])),
    ]
    return [x], L.Dense(2)(L.Concatenate()(parts))


def decoder() -> Made:
    """Rows of a decoder that look at those of an encoder, in four ways; all are answered."""
    x = L.Input((T, 3), name="x")
    h = L.LSTM(4, return_sequences=True)(x)
    d = L.LSTM(4, return_sequences=True)(L.RepeatVector(3)(h[:, -1, :]))
    shares = L.Activation("softmax")(L.Dot(axes=[2, 2])([d, h]))
    seen = [
        L.Attention()([d, h]),
        L.AdditiveAttention()([d, h]),
        L.MultiHeadAttention(2, 3)(d, h),
        L.Dot(axes=[2, 1])([shares, h]),
    ]
    return [x], L.TimeDistributed(L.Dense(1))(L.Concatenate()([*seen, d]))


def put_together() -> Made:
    """Rows behind rows, rows made of a vector, and functions that are made of layers."""
    x = L.Input((T, 4), name="x")
    h = L.Concatenate(axis=1)([x, L.LSTM(4, return_sequences=True)(x)])
    a, b = L.GRU(4)(h), L.LSTM(4)(L.Reshape((2, 2))(L.Dense(4)(h[:, 3, :])))
    both = L.Maximum()([a, b]) + abs(a) * L.Minimum()([a, b])
    return [x], L.Dense(1)(L.Concatenate()([both, b * b, -a]))


NETWORKS: dict[str, Callable[[], Made]] = {
    "inputs": inputs,
    "used_twice": used_twice,
    "numbers": numbers,
    "attention": attention,
    "decoder": decoder,
    "put_together": put_together,
}


def windows(sources: list[Any], rng: np.random.Generator) -> list[Any]:
    """Return three windows of each input; categories are whole numbers."""
    found = []
    for source in sources:
        shape = tuple(source.shape)[1:]
        values = rng.normal(0, 1, (3, *shape))
        if source.name in ("shop", "day"):
            values = rng.integers(0, 5, values.shape)
        else:
            values[1], values[2] = abs(values[1]), values[2] * 8
        found.append(values.astype(np.float32))
    return found


def observations(given: list[Any]) -> Any:
    """Return the inputs one behind the other, in each row: X[3, T, F]."""
    rows = []
    for x in given:
        if x.ndim == 2 and x.shape[1] == T:
            x = x[:, :, None]
        rows.append(x if x.ndim == 3 else np.repeat(x[:, None], T, axis=1))
    return np.concatenate(rows, axis=2)


def main() -> None:
    recorded = {}
    for seed, (name, make) in enumerate(NETWORKS.items()):
        keras.utils.set_random_seed(seed)
        sources, answer = make()
        model = keras.Model(sources if len(sources) > 1 else sources[0], answer)
        rng = np.random.default_rng(seed)
        for array in model.weights:
            values = rng.normal(0, 0.6, array.shape)
            array.assign(abs(values) if "scale" in array.name else values)
        given = windows(sources, rng)
        stem = f"keras{MAJOR}_joined_{name}"
        model.save(HERE / f"{stem}.{'h5' if MAJOR == 2 and seed % 2 else 'keras'}")
        Y = model.predict(given if len(given) > 1 else given[0], verbose=0)
        recorded |= {f"{stem}.x": observations(given), f"{stem}.y": np.asarray(Y).reshape(3, -1)}
    np.savez_compressed(HERE / f"keras{MAJOR}_joined.npz", **recorded)


if __name__ == "__main__":
    main()
