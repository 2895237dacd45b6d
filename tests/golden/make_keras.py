"""Make keras2_* and keras3_*: random networks saved by Keras, and what Keras computes with them.

    pip install keras==3.15.1 torch==2.13.0 && KERAS_BACKEND=torch python tests/golden/make_keras.py
    pip install tensorflow-cpu==2.15.1 && python tests/golden/make_keras.py

Each case is a file as ``model.save`` writes it; ``keras2.npz`` and ``keras3.npz`` hold its inputs
``NAME.x[T, F]`` and outputs ``NAME.y[T, O]``, one for each step. Where a network returns its last
output only, step ``t`` is its answer to the first ``t + 1`` observations.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

MAJOR = int(keras.__version__.split(".")[0])
if MAJOR == 2:
    import tensorflow as tf
L, STEPS, HERE = keras.layers, 200, Path(__file__).parent


def randomize(model: Any, seed: int) -> None:
    """Randomize weights, with a scale that differs by gate; variances stay positive."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        shape, name = tuple(weight.shape), weight.name.split("/")[-1]
        if not shape:
            continue
        values = rng.standard_normal(shape) / max(shape[0], 2) ** 0.5
        gates = max(4, shape[-1] // 4)
        values *= np.repeat(rng.uniform(0.5, 1.3, gates), -(-shape[-1] // gates))[: shape[-1]]
        if "variance" in name:
            values = rng.uniform(0.3, 2, shape)
        elif "gamma" in name:
            values = rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape)
        weight.assign(values.astype(np.float32))
    for layer in model.layers:
        if isinstance(layer, L.Normalization):
            layer.finalize_state()  # it computes with a copy of its weights


def lstm_stack() -> Any:
    return [
        L.Input((None, 3)),
        L.LSTM(7, return_sequences=True, dropout=0.1),
        L.LSTM(5, return_sequences=True, stateful=False, unit_forget_bias=False),
        L.Dropout(0.2),
        L.TimeDistributed(L.Dense(4, activation="tanh")),
        L.Dense(2),
    ]


def lstm_last() -> Any:
    return [
        L.Input((None, 2)),
        L.LSTM(6, return_sequences=True, recurrent_activation="hard_sigmoid"),
        L.GaussianNoise(0.1),
        L.LSTM(9, recurrent_activation="hard_sigmoid", use_bias=False, activation="softsign"),
        L.Flatten(),
        L.Dense(3, activation="hard_sigmoid"),
    ]


def gru_after() -> Any:
    return [
        L.Input((None, 4)),
        L.GRU(6, return_sequences=True),
        L.GRU(5, return_sequences=True, recurrent_activation="hard_sigmoid", activation="softsign"),
        L.Dense(2, use_bias=False),
    ]


def gru_before() -> Any:
    return [
        L.Input((None, 4)),
        L.GRU(6, return_sequences=True, reset_after=False),
        L.GRU(5, return_sequences=True, reset_after=False, use_bias=False),
        L.GRU(4, return_sequences=True, use_bias=False),
        L.Dense(2, activation="softplus"),
    ]


def simple_rnn() -> Any:
    return [
        L.Input((None, 3)),
        L.SimpleRNN(8, return_sequences=True),
        L.BatchNormalization(),
        L.SimpleRNN(6, return_sequences=True, use_bias=False, activation="sigmoid"),
        L.LayerNormalization(),
        L.Dense(4, activation="softmax"),
    ]


def embedding() -> Any:
    return [
        L.Input((None,), dtype="int32"),
        L.Embedding(11, 4),
        L.SpatialDropout1D(0.3),
        L.LSTM(6, return_sequences=True),
        L.Dense(11),
        L.Softmax(),
    ]


def norms() -> Any:
    return [
        L.Input((None, 3)),
        L.Normalization(axis=-1),
        L.Rescaling(0.5, offset=0.25),
        L.BatchNormalization(scale=False),
        L.LSTM(5, return_sequences=True),
        L.BatchNormalization(center=False),
        L.LayerNormalization(epsilon=1e-2, center=False),
        L.Rescaling(-2.0, offset=1.0),
        L.Dense(3),
        L.BatchNormalization(),
        L.Activation("sigmoid"),
        L.Normalization(axis=-1, mean=[1.0, -2.0, 0.5], variance=[4.0, 0.25, 1.0]),
    ]


def batch_norm_first() -> Any:
    return [
        L.Input((None, 3)),
        L.BatchNormalization(),
        L.GRU(5),
        L.BatchNormalization(),
        L.Dense(1),
    ]


def activations() -> Any:
    names = "linear relu tanh sigmoid elu selu softsign softplus swish gelu hard_sigmoid"
    layers = [L.Input((None, 3)), L.Dense(6)]
    for name in names.split():
        layers += [L.Dense(6, activation=name), L.LayerNormalization()]
    slope = {"negative_slope": 0.2} if MAJOR > 2 else {"alpha": 0.2}
    return [
        *layers,
        *(L.Dense(6), L.LeakyReLU(**slope), L.Dense(6), L.ELU(0.7), L.Dense(6), L.ReLU(0.9)),
        *(L.Dense(6), L.ReLU(negative_slope=0.1), L.Dense(6), L.ReLU(threshold=0.3)),
        *(L.Dense(6), L.PReLU(shared_axes=[1]), L.LSTM(4, return_sequences=True)),
        *(L.PReLU(shared_axes=[1, 2]), L.Activation("exponential"), L.Dense(5)),
        L.PReLU(shared_axes=[1]),
    ]


def keras3_activations() -> Any:
    names = "leaky_relu relu6 silu celu hard_tanh sparse_sigmoid log_softmax"
    layers = [L.Input((None, 3)), L.LSTM(4, return_sequences=True, activation="leaky_relu")]
    for name in names.split():
        layers += [L.Dense(6, activation=name), L.LayerNormalization()]
    return [*layers, L.Dense(3, activation=L.LeakyReLU(0.05))]


def functional() -> Any:
    cells = [L.LSTMCell(5), L.GRUCell(4), L.SimpleRNNCell(3)]
    inner = keras.Sequential(
        [L.Input((None, 5)), L.Dense(4), L.BatchNormalization(), L.Dense(6), L.Dropout(0.1)]
    )
    x = inputs = L.Input((None, 3))
    x = L.LSTM(5, return_sequences=True)(x)
    x = inner(x)
    x = L.RNN(cells, return_sequences=True)(x)
    x = L.RNN(L.LSTMCell(4, recurrent_activation="hard_sigmoid"), return_sequences=True)(x)
    x = L.Dense(1)(x[:, -1, :])
    return keras.Model(inputs, L.Add()([inputs[:, -1, 1:2], x]))


def one_step() -> Any:
    """Return a stateful network of one step at a time, as used for live data."""
    inputs = L.Input(batch_shape=(1, 1, 3))
    x = L.LSTM(4, return_sequences=True, stateful=True)(inputs)
    x = L.GRU(5, stateful=True)(x)
    return keras.Model(inputs, L.Dense(2)(L.Flatten()(L.Reshape((1, 5))(x))))


def cudnn() -> Any:
    """Return layers of TensorFlow 1 for NVIDIA GPUs; their successors compute the outputs."""
    old = tf.compat.v1.keras.layers
    layers = [old.CuDNNLSTM(5, return_sequences=True), old.CuDNNGRU(4, return_sequences=True)]
    return [L.Input((None, 3)), *layers, L.Dense(2)]


def cudnn_twin() -> Any:
    layers = [L.LSTM(5, return_sequences=True), L.GRU(4, return_sequences=True)]
    return [L.Input((None, 3)), *layers, L.Dense(2)]


CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "lstm_stack": (lstm_stack, "keras"),
    "lstm_last": (lstm_last, "h5"),
    "gru_after": (gru_after, "keras"),
    "gru_before": (gru_before, "h5"),
    "simple_rnn": (simple_rnn, "keras"),
    "embedding": (embedding, "h5"),
    "norms": (norms, "keras"),
    "batch_norm_first": (batch_norm_first, "h5"),
    "activations": (activations, "keras"),
    "functional_zip": (functional, "keras"),
    "functional_legacy": (functional, "h5"),
    "one_step": (one_step, "keras"),
}
HALF = ("float16", "bfloat16", "float64")


def build(layers: Any) -> Any:
    return keras.Sequential(layers) if isinstance(layers, list) else layers


def observations(model: Any, seed: int) -> np.ndarray:
    """Return x[T, F], or categories x[T, 1]."""
    rng = np.random.default_rng(seed)
    shape = model.input_shape
    if len(shape) == 2:
        return rng.integers(0, 11, (STEPS, 1)).astype(np.float32)
    return rng.standard_normal((STEPS, shape[-1])).astype(np.float32)


def outputs(model: Any, x: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the output of the network at each step."""
    given = x[None, :, 0].astype(np.int32) if len(model.input_shape) == 2 else x[None]
    if model.input_shape[1] == 1:
        yield from (
            np.asarray(model.predict_on_batch(given[:, t : t + 1]))[0] for t in range(STEPS)
        )
    elif len(model.output_shape) == 3:
        yield from np.asarray(model.predict_on_batch(given))[0]
    else:
        for t in range(STEPS):
            yield np.asarray(model.predict_on_batch(given[:, : t + 1]))[0]


def record(arrays: dict[str, Any], name: str, model: Any, seed: int) -> None:
    x = observations(model, seed)
    y = np.stack(list(outputs(model, x)))
    arrays[f"{name}.x"], arrays[f"{name}.y"] = x, y
    print(f"{name}: y {y.shape}, {y.min():.3f} to {y.max():.3f}")


def make_half(arrays: dict[str, Any], seed: int) -> None:
    """Save weights of other types; the outputs are those of the same numbers in float32."""
    for policy in HALF:
        exact = build(lstm_stack())
        randomize(exact, seed)
        dtype = {"dtype": policy}
        # The usual start of a recurrent kernel needs a decomposition that has no half precision.
        rnn = {**dtype, "return_sequences": True, "recurrent_initializer": "glorot_uniform"}
        layers = [L.Input((None, 3)), L.LSTM(7, **rnn), L.LSTM(5, **rnn)]
        rounded = build([*layers, L.Dense(4, "tanh", **dtype), L.Dense(2, **dtype)])
        rounded.set_weights(exact.get_weights())
        exact.set_weights([np.asarray(w).astype(np.float32) for w in rounded.get_weights()])
        for suffix in ("keras", "h5"):
            name = f"keras{MAJOR}_{policy}_{suffix}"
            rounded.save(HERE / f"{name}.{suffix}")
            record(arrays, name, exact, seed)


def main() -> None:
    arrays: dict[str, Any] = {"version": keras.__version__}
    cases = dict(CASES)
    if MAJOR > 2:
        cases["keras3_activations"] = (keras3_activations, "h5")
    for seed, (case, (layers, suffix)) in enumerate(cases.items()):
        name = f"keras{MAJOR}_{case}"
        model = build(layers())
        randomize(model, seed)
        model.save(HERE / f"{name}.{suffix}")
        record(arrays, name, model, seed)
    if MAJOR == 2:
        model, twin = build(cudnn()), build(cudnn_twin())
        randomize(model, 99)
        model.save(HERE / "keras2_cudnn.h5")
        twin.load_weights(HERE / "keras2_cudnn.h5")
        record(arrays, "keras2_cudnn", twin, 99)
    make_half(arrays, 77)
    np.savez_compressed(HERE / f"keras{MAJOR}.npz", **arrays)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
