"""Make keras3_window_* and keras2_window_*: networks over windows, saved by Keras, and its numbers.

    pip install keras==3.15.1 torch==2.13.0
    KERAS_BACKEND=torch python -m tests.golden.make_keras_windows

``keras3_windows.npz`` holds for each file ``NAME.x[40, F]``, observations, and ``NAME.y[N, O]``,
what Keras predicts from each window of T rows of them.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

MAJOR = int(keras.__version__.split(".")[0])
L, HERE = keras.layers, Path(__file__).parent
ROWS = 40


def convolutions() -> Any:
    return [
        L.Input((12, 3)),
        L.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="relu"),
        L.BatchNormalization(),
        L.MaxPooling1D(2, padding="same"),
        L.SeparableConv1D(5, 3, padding="same"),
        L.Conv1D(4, 2, strides=2, padding="same", activation="tanh"),
        L.Conv1D(4, 1),
        L.GRU(5, return_sequences=True),
        L.AveragePooling1D(2, strides=1, padding="same"),
        L.Flatten(),
        L.Dense(2),
    ]


def two_ways() -> Any:
    return [
        L.Input((7, 2)),
        L.Bidirectional(L.LSTM(5, return_sequences=True)),
        L.Dropout(0.2),
        L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode="ave"),
        L.Bidirectional(L.SimpleRNN(3), merge_mode="mul"),
        L.Dense(1),
    ]


def decoder() -> Any:
    return [
        L.Input((9, 3)),
        L.DepthwiseConv1D(3, depth_multiplier=2),
        L.Conv1D(6, 3, groups=3, activation="relu"),
        L.MaxPooling1D(2),
        L.Flatten(),
        L.RepeatVector(4),
        L.LSTM(6, return_sequences=True, go_backwards=True),
        L.TimeDistributed(L.Dense(5, activation="tanh")),
        L.TimeDistributed(L.Dense(2)),
    ]


def attention() -> Any:
    inputs = L.Input((6, 3))
    h = L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode="sum")(inputs)
    h = L.Attention(use_scale=True)([h, h])
    return keras.Model(inputs, L.Dense(1)(L.GlobalAveragePooling1D()(h)))


def several_steps() -> Any:
    return [
        L.Input((8, 2)),
        L.Bidirectional(L.LSTM(4)),
        L.Dense(6, use_bias=False),
        L.Reshape((3, 2)),
    ]


def padded() -> Any:
    return [
        L.Input((9, 3)),
        L.ZeroPadding1D((2, 0)),
        L.Conv1D(5, 3, activation="relu"),
        L.Conv1D(4, 3, padding="same"),
        L.Cropping1D((0, 1)),
        L.ZeroPadding1D(1),
        L.MaxPooling1D(2, strides=1),
        L.Cropping1D(2),
        L.LSTM(4),
        L.Dense(1),
    ]


def arithmetic() -> Any:
    inputs = L.Input((8, 3))
    h = L.LSTM(4)((L.Masking(0.0)(inputs) - 1.5) / 4.0)
    y = 2.0 - L.Dense(2)(h) * 3.0 if MAJOR == 3 else L.Dense(2)(h) * 3.0 - 2.0
    return keras.Model(inputs, keras.ops.clip(y, -0.5, 3.0) if MAJOR == 3 else y)


CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "convolutions": (convolutions, "keras"),
    "two_ways": (two_ways, "keras"),
    "two_ways_legacy": (two_ways, "h5"),
    "decoder": (decoder, "h5"),
    "attention": (attention, "keras"),
    "several_steps": (several_steps, "keras"),
    "padded": (padded, "keras"),
    "arithmetic": (arithmetic, "keras"),
}


def main() -> None:
    """Make the cases that are named on the command line; others stay as they are."""
    file = HERE / f"keras{MAJOR}_windows.npz"
    arrays: dict[str, Any] = dict(np.load(file)) if file.exists() else {}
    arrays["version"] = keras.__version__
    for seed, (case, (make, ending)) in enumerate(CASES.items()):
        if sys.argv[1:] and case not in sys.argv[1:]:
            continue
        made = make()
        model = keras.Sequential(made) if isinstance(made, list) else made
        rng = np.random.default_rng(seed)
        for weight in model.weights:
            values = rng.standard_normal(tuple(weight.shape)) * 0.4
            if "variance" in weight.name or "scale" in weight.name:
                values = np.abs(values) + 0.3
            weight.assign(values.astype(np.float32))
        name = f"keras{MAJOR}_window_{case}"
        model.save(HERE / f"{name}.{ending}")
        T, F = model.input_shape[1:]
        x = rng.standard_normal((ROWS, F)).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(x, T, axis=0).transpose(0, 2, 1)
        y = np.asarray(model.predict_on_batch(np.ascontiguousarray(windows)))
        arrays[f"{name}.x"], arrays[f"{name}.y"] = x, y.reshape(len(y), -1)
        print(f"{name}: y {y.shape}, {y.min():.3f} to {y.max():.3f}")
    np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "torch")
    sys.exit(main())
