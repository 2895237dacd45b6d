"""Evaluation of RTNeural, GuitarML and NAM files in float64, independent of their conversion."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...kernels.reference import sigmoid
from ..common.evaluator import Evaluator
from ..common.files import read_json
from ..common.weights import Float64Array, to_float64
from ..keras.evaluate import FROM_ARRAYS, Step, activation, dense, gru, lstm, normalise, prelu, run
from .nam import read_weights
from .rtneural import read_gains


def rtneural_evaluators(path: str) -> Iterator[Evaluator]:
    """Yield the way to compute a file of RTNeural or AIDA-X."""
    yield Evaluator(FROM_ARRAYS, lambda X, _: evaluate_rtneural(path, X))


def guitarml_evaluators(path: str) -> Iterator[Evaluator]:
    """Yield the way to compute a file of GuitarML."""
    yield Evaluator(FROM_ARRAYS, lambda X, _: evaluate_guitarml(path, X))


def nam_evaluators(path: str) -> Iterator[Evaluator]:
    """Yield the way to compute a file of Neural Amp Modeler."""
    yield Evaluator(FROM_ARRAYS, lambda X, _: evaluate_nam(path, X))


def evaluate_rtneural(path: str, X: Float64Array) -> Float64Array:
    """Compute a network in the JSON of RTNeural or AIDA-X for ``X[T, F]``."""
    content = read_json(path)
    gains = read_gains(str(path), content)
    steps = [step for layer in content["layers"] for step in _steps(layer)]
    X = np.concatenate([gains.before * X[:, :1], X[:, 1:]], axis=1)
    return gains.after * (run(steps, X) + gains.skip * X[:, :1])


def _steps(layer: dict[str, Any]) -> Iterator[Step]:
    kind, arrays = layer["type"], [_array(array) for array in layer.get("weights", [])]
    other = activation(layer.get("activation") or "linear")
    if kind in ("dense", "time-distributed-dense"):
        yield dense(arrays, other)
    elif kind == "lstm":
        yield lstm(arrays, sigmoid, np.tanh)
    elif kind == "gru":
        yield gru(arrays, sigmoid, np.tanh, len(arrays) < 3 or arrays[2].ndim == 2)
    elif kind == "conv1d":
        dilation = layer.get("dilation", 1)
        yield _causal(arrays, dilation[-1] if isinstance(dilation, list) else dilation)
        yield other
    elif kind == "prelu":
        yield prelu(arrays[0])
    elif kind == "batchnorm":
        names = ("gamma", "beta", "mean", "variance")[-len(arrays) :]
        yield normalise(dict(zip(names, arrays, strict=True)), float(layer.get("epsilon", 1e-3)))
    elif kind == "activation":
        yield other


def _causal(arrays: list[Float64Array], dilation: int) -> Step:
    """Return a causal convolution: kernel (k, F, O), bias; before the first row there are zeros."""
    kernel, *bias = arrays
    past = [np.zeros(kernel.shape[1])] * ((len(kernel) - 1) * dilation + 1)

    def step(x: Float64Array) -> Float64Array:
        past.append(x)
        taps = past[::-1][: (len(kernel) - 1) * dilation + 1 : dilation][::-1]
        return np.asarray(sum(tap @ W for tap, W in zip(taps, kernel, strict=True)) + sum(bias))

    return step


def evaluate_guitarml(path: str, X: Float64Array) -> Float64Array:
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


def evaluate_nam(path: str, X: Float64Array) -> Float64Array:
    """Compute an LSTM of Neural Amp Modeler for ``X[T, F]``, from the states in the file."""
    layers, (W, b) = read_weights(str(path), read_json(path))
    steps = [_nam_cell(*layer) for layer in layers]
    return run([*steps, lambda x: W @ x + b], X)


def _nam_cell(W: Float64Array, b: Float64Array, h: Float64Array, c: Float64Array) -> Step:
    """Return a layer whose one matrix multiplies the inputs and behind them the hidden state."""

    def step(x: Float64Array) -> Float64Array:
        nonlocal h, c
        i, f, g, o = np.split(W @ np.concatenate([x, h]) + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return h

    return step


_TORCH = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _torch_cell(W: Float64Array, U: Float64Array, b: Float64Array, d: Float64Array) -> Step:
    """Return a layer of nn.LSTM (gates i, f, g, o), nn.GRU (r, z, n) or nn.RNN."""
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


def _array(values: Any) -> Float64Array:
    return to_float64(values, "the file")
