"""A second way to compute a network: straight from the arrays of its file, in float64.

Nothing here goes through :class:`streamlstm.Model`, nothing is reordered, transposed or folded; so
that what the converters do to the arrays can be held against it. A step is a function from the
values of one layer to those of the next that keeps its own memory.
"""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np

from ..kernels.reference import activate, sigmoid
from ..network.activations import parse_activation
from .common.sniff import read_json
from .common.weights import Float64Array, to_float64
from .json.rtneural import read_gains
from .keras.activations import LAYERS as ACTIVATIONS
from .keras.activations import read_activation, read_function, read_layer
from .keras.cells import from_cudnn
from .keras.convert import graph_of
from .keras.file import read_keras
from .keras.graph import Leaf
from .keras.join import FOUND
from .keras.weights import Store

Step = Callable[[Float64Array], Float64Array]


def run(steps: Sequence[Step], X: Float64Array) -> Float64Array:
    """Return what the last step gives for each row of ``X[T, F]``."""
    answers = []
    for x in X:
        for step in steps:
            x = step(x)
        answers.append(x)
    return np.stack(answers)


def keras(path: str | PathLike[str], X: Float64Array) -> Float64Array:
    """Compute a network of Keras for ``X[T, F]``."""
    file = read_keras(path)
    graph = graph_of(file)
    store = Store(file, graph.leaves)
    steps = [step for leaf in graph.leaves for step in _keras_steps(store, leaf, file.major)]
    Y = run(steps, X)
    return Y if graph.skip is None else Y + X[:, graph.skip]


def rtneural(path: str | PathLike[str], X: Float64Array) -> Float64Array:
    """Compute a network in the JSON of RTNeural or AIDA-X for ``X[T, F]``."""
    content = read_json(path)
    gains = read_gains(str(path), content)
    steps = [step for layer in content["layers"] for step in _rtneural_steps(layer)]
    X = np.concatenate([gains.before * X[:, :1], X[:, 1:]], axis=1)
    return gains.after * (run(steps, X) + gains.skip * X[:, :1])


def guitarml(path: str | PathLike[str], X: Float64Array) -> Float64Array:
    """Compute a network in the JSON of GuitarML for ``X[T, F]``."""
    content = read_json(path)
    prefix = next(key for key in content["state_dict"] if key.endswith("rec.weight_hh_l0"))
    prefix = prefix.removesuffix("rec.weight_hh_l0")
    arrays = {key.removeprefix(prefix): _array(a) for key, a in content["state_dict"].items()}
    steps, n = [], 0
    while f"rec.weight_hh_l{n}" in arrays:
        steps.append(_torch_cell(*(arrays[f"rec.{name}_l{n}"] for name in _TORCH)))
        n += 1
    W, b = arrays["lin.weight"], arrays.get("lin.bias", 0.0)
    Y = run([*steps, lambda x: W @ x + b], X)
    blocks = list((content.get("blocks") or {}).values())
    skip = content["model_data"].get("skip", 1) or (blocks[0].get("skip", 1) if blocks else 0)
    return Y + X[:, :skip] if skip else Y


_TORCH = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _torch_cell(W: Float64Array, U: Float64Array, b: Float64Array, d: Float64Array) -> Step:
    """One layer of nn.LSTM (gates i, f, g, o), nn.GRU (r, z, n) or nn.RNN."""
    h = c = np.zeros(U.shape[1])

    def step(x: Float64Array) -> Float64Array:
        nonlocal h, c
        from_x, from_h = W @ x + b, U @ h + d
        if len(U) == 4 * len(h):
            i, f, g, o = np.split(from_x + from_h, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        elif len(U) == 3 * len(h):
            (rx, zx, nx), (rh, zh, nh) = np.split(from_x, 3), np.split(from_h, 3)
            z = sigmoid(zx + zh)
            h = (1 - z) * np.tanh(nx + sigmoid(rx + rh) * nh) + z * h
        else:
            h = np.tanh(from_x + from_h)
        return h

    return step


def _function(activation: str) -> Step:
    parsed = parse_activation(activation, together=True)
    return lambda x: activate(parsed, x)


def _lstm(arrays: list[Float64Array], gate: Step, other: Step) -> Step:
    K, U, *bias = arrays
    h = c = np.zeros(len(U))

    def step(x: Float64Array) -> Float64Array:
        nonlocal h, c
        i, f, g, o = np.split(x @ K + h @ U + sum(bias), 4)
        c = gate(f) * c + gate(i) * other(g)
        h = gate(o) * other(c)
        return h

    return step


def _gru(arrays: list[Float64Array], gate: Step, other: Step, after: bool) -> Step:
    K, U, *bias = arrays
    H = len(U)
    first = bias[0].reshape(-1, 3 * H)[0] if bias else np.zeros(3 * H)
    second = bias[0][1] if bias and bias[0].ndim == 2 else np.zeros(3 * H)
    h = np.zeros(H)

    def step(x: Float64Array) -> Float64Array:
        nonlocal h
        zx, rx, nx = np.split(x @ K + first, 3)
        zh, rh, nh = np.split(h @ U + second, 3)
        z, r = gate(zx + zh), gate(rx + rh)
        n = other(nx + (r * nh if after else (r * h) @ U[:, 2 * H :]))
        h = z * h + (1 - z) * n
        return h

    return step


def _rnn(arrays: list[Float64Array], other: Step) -> Step:
    K, U, *bias = arrays
    h = np.zeros(len(U))

    def step(x: Float64Array) -> Float64Array:
        nonlocal h
        h = other(x @ K + h @ U + sum(bias))
        return h

    return step


def _dense(arrays: list[Float64Array], other: Step) -> Step:
    K, *bias = arrays
    return lambda x: other(x @ K + sum(bias))


def _prelu(alpha: Float64Array) -> Step:
    return lambda x: np.where(x > 0, x, alpha.reshape(-1) * x)


def _affine(arrays: dict[str, Float64Array], epsilon: float) -> Step:
    """Batch normalisation, or with the mean and variance of ``x`` itself layer normalisation."""

    def step(x: Float64Array) -> Float64Array:
        mean, variance = arrays.get("mean", x.mean()), arrays.get("variance", x.var())
        z = (x - mean) / np.sqrt(variance + epsilon)
        return np.asarray(z * arrays.get("gamma", 1.0) + arrays.get("beta", 0.0))

    return step


def _array(values: Any) -> Float64Array:
    return to_float64(values, "the file")


def _keras_steps(store: Store, leaf: Leaf, major: int) -> Iterator[Step]:
    """Yield what a layer of Keras does, nothing if it does nothing."""
    kind, config = leaf.kind, leaf.config
    arrays = [_array(array) for array in store.arrays(leaf)]
    if kind.startswith("CuDNN"):
        arrays, kind = list(from_cudnn(*arrays).values()), kind.removeprefix("CuDNN")
        config = {"activation": "tanh", "reset_after": True}
    gate, other = (
        _function(read_activation(config.get(key, default), major, leaf.where))
        if kind in ("LSTM", "GRU", "SimpleRNN", "Dense")
        else np.asarray
        for key, default in (("recurrent_activation", "sigmoid"), ("activation", None))
    )
    if kind == "LSTM":
        yield _lstm(arrays, gate, other)
    elif kind == "GRU":
        yield _gru(arrays, gate, other, bool(config.get("reset_after")))
    elif kind == "SimpleRNN":
        yield _rnn(arrays, other)
    elif kind == "Dense":
        yield _dense(arrays, other)
    elif kind in ACTIVATIONS:
        yield _function(read_layer(kind, config, major, leaf.where))
    elif (function := read_function(kind, config)) is not None:
        yield _function(function)
    elif kind == "PReLU":
        yield _prelu(arrays[0])
    elif kind == "Embedding":
        yield lambda x: np.append(arrays[0][int(x[0])], x[1:])
    elif kind == "Concatenate" and config[FOUND].before:
        yield lambda x: np.roll(x, config[FOUND].numbers)
    elif kind in ("BatchNormalization", "LayerNormalization"):
        names = [n for n, on in (("gamma", "scale"), ("beta", "center")) if config.get(on, True)]
        named = dict(zip((*names, "mean", "variance"), arrays, strict=False))
        yield _affine(named, float(config.get("epsilon", 1e-3)))
    elif kind == "Normalization":
        given = arrays[:2] or [_array(config["mean"]), _array(config["variance"])]
        mean, deviation = given[0].reshape(-1), np.sqrt(given[1].reshape(-1))
        inverted = bool(config.get("invert"))
        yield lambda x: x * deviation + mean if inverted else (x - mean) / deviation
    elif kind == "Rescaling":
        yield lambda x: x * _array(config["scale"]) + _array(config.get("offset", 0.0))


def _rtneural_steps(layer: dict[str, Any]) -> Iterator[Step]:
    kind, arrays = layer["type"], [_array(array) for array in layer.get("weights", [])]
    other = _function(layer.get("activation") or "linear")
    if kind in ("dense", "time-distributed-dense"):
        yield _dense(arrays, other)
    elif kind == "lstm":
        yield _lstm(arrays, sigmoid, np.tanh)
    elif kind == "gru":
        yield _gru(arrays, sigmoid, np.tanh, len(arrays) < 3 or arrays[2].ndim == 2)
    elif kind == "prelu":
        yield _prelu(arrays[0])
    elif kind == "batchnorm":
        names = ("gamma", "beta", "mean", "variance")[-len(arrays) :]
        yield _affine(dict(zip(names, arrays, strict=True)), float(layer.get("epsilon", 1e-3)))
    elif kind == "activation":
        yield other
