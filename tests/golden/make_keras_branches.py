"""Make keras3_branches_*: networks that fork and join, saved by Keras, and its numbers.

    pip install keras==3.15.1 tensorflow==2.18.0
    python -m tests.golden.make_keras_branches

``keras3_branches.npz`` holds for each file ``NAME.x[40, F]``, observations, and ``NAME.y[N, O]``,
what Keras predicts from each window of T rows of them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

L, HERE = keras.layers, Path(__file__).parent
ROWS = 40


def temporal_convolutions(x: Any) -> Any:
    """Residual blocks of causal convolutions, the first with a convolution of kernel 1 beside."""
    for dilation in (1, 2):
        y = L.Conv1D(5, 3, padding="causal", dilation_rate=dilation, activation="relu")(x)
        y = L.Conv1D(5, 3, padding="causal", dilation_rate=dilation)(L.SpatialDropout1D(0.1)(y))
        beside = x if x.shape[-1] == 5 else L.Conv1D(5, 1)(x)
        x = L.Activation("relu")(L.Add()([beside, y]))
    return L.Dense(2)(x[:, -1, :])


def pooled_both_ways(x: Any) -> Any:
    """Mean, maximum and last output of a GRU, beside a dense layer of the last row."""
    h = L.GRU(4, return_sequences=True)(x)
    parts = [L.GlobalAveragePooling1D()(h), L.GlobalMaxPooling1D()(h), h[:, -1, :]]
    return L.Dense(1)(L.Concatenate()([*parts, L.Dense(3, "tanh")(x[:, -1, :])]))


def states(x: Any) -> Any:
    """The states that a Bidirectional returns, and branches of some of the features."""
    y, forward, _, backward, _ = L.Bidirectional(
        L.LSTM(3, return_sequences=True, return_state=True)
    )(x)
    one, other = L.LSTM(4)(x[:, :, :2]), L.LSTM(4)(x[:, :, 2:])
    mixed = L.Average()([L.Subtract()([one, other]), L.Multiply()([one, other])])
    return L.Dense(2)(L.Concatenate()([backward, mixed, forward, L.Flatten()(y)]))


def dense_blocks(x: Any) -> Any:
    """Each block gets what all before it have returned."""
    for _ in range(3):
        x = L.Concatenate()([x, L.Conv1D(2, 2, padding="same", activation="tanh")(x)])
    gate = L.Dense(9, activation="sigmoid")(L.GlobalAveragePooling1D(keepdims=True)(x))
    return L.Dense(1)(L.LSTM(3)(L.Multiply()([x, gate])))


def additive_attention(x: Any) -> Any:
    """Shares of steps by a dense layer, in two ways that people write it, and by query and key."""
    h = L.LSTM(4, return_sequences=True)(x)
    shares = L.Softmax(axis=1)(L.Dense(1, activation="tanh")(h))
    first = L.Flatten()(L.Dot(axes=1)([shares, h]))
    shares = L.Activation("softmax")(L.Flatten()(L.Dense(1, activation="tanh")(h)))
    second = keras.ops.sum(L.Multiply()([h, L.Permute([2, 1])(L.RepeatVector(4)(shares))]), axis=1)
    query = L.RepeatVector(1)(L.GRU(4)(x))
    third = L.Flatten()(L.Attention(use_scale=True)([query, h]))
    return L.Dense(2)(L.Concatenate()([first, second, third]))


def several_heads(x: Any) -> Any:
    """Blocks of a transformer, the second causal, with other keys than values."""
    y = L.MultiHeadAttention(2, 3)(x, x)
    x = L.LayerNormalization()(L.Add()([x, y]))
    x = L.Add()([x, L.Dense(3)(L.Dense(7, activation="gelu")(x))])
    keys = L.Conv1D(3, 3, padding="causal")(x)
    y = L.MultiHeadAttention(3, 2, value_dim=5)(x, x, keys, use_causal_mask=True)
    return L.Dense(1)(L.GlobalAveragePooling1D()(L.Add()([x, y])))


def attention_to_inputs(x: Any) -> Any:
    """Shares of the steps of each input before a recurrent layer."""
    shares = L.Permute((2, 1))(L.Dense(8, activation="softmax")(L.Permute((2, 1))(x)))
    return L.Dense(1)(L.LSTM(5)(L.Multiply()([x, shares])))


NETWORKS: dict[str, Callable[[Any], Any]] = {
    "temporal_convolutions": temporal_convolutions,
    "pooled_both_ways": pooled_both_ways,
    "states": states,
    "dense_blocks": dense_blocks,
    "additive_attention": additive_attention,
    "several_heads": several_heads,
    "attention_to_inputs": attention_to_inputs,
}


def main() -> None:
    recorded = {}
    for seed, (name, make) in enumerate(NETWORKS.items()):
        keras.utils.set_random_seed(seed)
        source = L.Input((8, 3))
        model = keras.Model(source, make(source))
        rng = np.random.default_rng(seed)
        for array in model.weights:
            array.assign(rng.normal(0, 0.6, array.shape))
            if "scale" in array.name:
                array.assign(abs(array))
        x = rng.normal(0, 1, (ROWS, 3)).astype(np.float32)
        windows = np.stack([x[n : n + 8] for n in range(ROWS - 7)])
        stem = f"keras3_branches_{name}"
        model.save(HERE / f"{stem}.{'h5' if name in ('states', 'several_heads') else 'keras'}")
        recorded |= {f"{stem}.x": x, f"{stem}.y": model.predict(windows, verbose=0)}
    np.savez_compressed(HERE / "keras3_branches.npz", **recorded)


if __name__ == "__main__":
    main()
