"""Evaluation of Keras networks in float64, independent of their conversion.

Nothing here uses :class:`streamlstm.Model`, and no array is reordered, transposed or folded: it
tests what the converter does to the arrays. A step is a function from the outputs of one layer to
those of the next; it keeps its own state.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...kernels.reference import activate
from ...network.activations import parse_activation
from ..common.evaluator import Evaluator
from ..common.weights import Float64Array, to_float64
from .activations import LAYERS as ACTIVATIONS
from .activations import read_activation, read_function, read_layer
from .add_layers import from_cudnn
from .affine import read_affine
from .concatenate import ANNOTATION, SLICES
from .config import read_slice
from .evaluate_rows import answers_all_rows, join, looks_over_rows, over_rows
from .file import Config, read_keras
from .inputs import PART
from .network import KerasLayer, Network, read_network
from .runtime import installed_keras, run_keras
from .weights import FileWeights

Step = Callable[[Float64Array], Float64Array]
FROM_ARRAYS = "its arrays, in float64"


def evaluators(path: str) -> Iterator[Evaluator]:
    """Yield ways to compute a Keras file: an installed Keras of its version, then its arrays."""
    module = installed_keras(read_keras(path).major)
    if module:
        parts = read_network(read_keras(path)).parts
        yield Evaluator(module, lambda X, O: run_keras(module, path, X, O, parts))
    yield Evaluator(FROM_ARRAYS, lambda X, _: evaluate(path, X), _caveat(path))


def _caveat(path: str) -> str:
    """Return what the arrays alone do not do: rows that Keras masks are not left out."""
    layers = read_network(read_keras(path)).all_layers
    masks = any(each.kind == "Masking" or each.config.get("mask_zero") for each in layers)
    return "no rows masked" if masks else ""


def evaluate(path: str, X: Float64Array) -> Float64Array:
    """Compute a Keras network for ``X[T, F]`` from the arrays of its file."""
    file = read_keras(path)
    network = read_network(file)
    weights = FileWeights(file, network.all_layers)
    if looks_over_rows(network):
        return _over_window(weights, network, file.major, X)
    steps = [step for layer in network.layers for step in _steps(weights, layer, file.major)]
    Y = run(steps, X)
    return Y if network.skip is None else Y + X[:, network.skip]


def _over_window(
    weights: FileWeights, network: Network, major: int, X: Float64Array
) -> Float64Array:
    """Return the last outputs, Y[1, O], of a network for a window of rows."""
    Y = _through(weights, network.layers, major, X)
    Y = Y.reshape(1, -1) if answers_all_rows(network) else Y[-1:]
    return Y if network.skip is None else Y + X[-1:, network.skip]


def _through(
    weights: FileWeights, layers: Sequence[KerasLayer], major: int, Y: Float64Array
) -> Float64Array:
    """Return all outputs of a chain of layers for a window of rows."""
    for layer in layers:
        if layer.branches:
            parts = [_through(weights, branch, major, Y) for branch in layer.branches]
            Y = join(layer, parts, _arrays(weights, layer))
            continue
        arrays = _arrays(weights, layer)
        name = layer.config.get("activation")
        own = activation(read_activation(name, major, layer.where))
        rows = over_rows(layer, arrays, own, _cell(major))
        Y = rows(Y) if rows else run(list(_steps(weights, layer, major)), Y)
    return Y


def _arrays(weights: FileWeights, layer: KerasLayer) -> list[Float64Array]:
    return [to_float64(array, layer.where) for array in weights.arrays(layer)]


def _cell(major: int) -> Callable[[str, Config, list[Float64Array]], Step]:
    """Return what makes the step of a recurrent layer."""

    def cell(kind: str, config: Config, arrays: list[Float64Array]) -> Step:
        name = config.get("recurrent_activation", "sigmoid")
        gate = activation(read_activation(name, major, ""))
        other = activation(read_activation(config.get("activation"), major, ""))
        if kind == "SimpleRNN":
            return simple_rnn(arrays, other)
        if kind == "LSTM":
            return lstm(arrays, gate, other)
        return gru(arrays, gate, other, bool(config.get("reset_after")))

    return cell


def run(steps: Sequence[Step], X: Float64Array) -> Float64Array:
    """Return the outputs of the last step for each row of ``X[T, F]``."""
    return np.stack([_chain(steps, x) for x in X])


def _chain(steps: Sequence[Step], x: Float64Array) -> Float64Array:
    for step in steps:
        x = step(x)
    return x


def _steps(weights: FileWeights, layer: KerasLayer, major: int) -> Iterator[Step]:
    """Yield the step of a layer; none if it has no effect."""
    kind, config = layer.kind, layer.config
    if layer.branches:
        chains = [[s for x in b for s in _steps(weights, x, major)] for b in layer.branches]
        yield lambda x: join(layer, [_chain(steps, x) for steps in chains], [])
        return
    arrays = [to_float64(array, layer.where) for array in weights.arrays(layer)]
    if kind.startswith("CuDNN"):
        arrays, kind = list(from_cudnn(*arrays).values()), kind.removeprefix("CuDNN")
        config = {"activation": "tanh", "reset_after": True}
    gate, other = (
        activation(read_activation(config.get(key, default), major, layer.where))
        if kind in ("LSTM", "GRU", "SimpleRNN", "Dense")
        else np.asarray
        for key, default in (("recurrent_activation", "sigmoid"), ("activation", None))
    )
    if kind == "LSTM":
        yield lstm(arrays, gate, other)
    elif kind == "GRU":
        yield gru(arrays, gate, other, bool(config.get("reset_after")))
    elif kind == "SimpleRNN":
        yield simple_rnn(arrays, other)
    elif kind == "Dense":
        yield dense(arrays, other)
    elif kind in ACTIVATIONS:
        yield activation(read_layer(kind, config, major, layer.where))
    elif (affine := read_affine(layer)) is not None:
        weight, shift = affine
        yield lambda x: x * weight + shift
    elif (function := read_function(kind, config)) is not None:
        yield activation(function)
    elif kind == "PReLU":
        yield prelu(arrays[0])
    elif kind == "Embedding":
        yield lambda x: np.append(arrays[0][int(x[0])], x[1:])
    elif kind == "Concatenate" and config[ANNOTATION].numbers_first:
        yield lambda x: np.roll(x, config[ANNOTATION].numbers)
    elif kind in ("BatchNormalization", "LayerNormalization"):
        names = [n for n, on in (("gamma", "scale"), ("beta", "center")) if config.get(on, True)]
        named = dict(zip((*names, "mean", "variance"), arrays, strict=False))
        yield normalise(named, float(config.get("epsilon", 1e-3)))
    elif kind == "Normalization":
        given = arrays[:2] or [
            to_float64(config["mean"], layer.where),
            to_float64(config["variance"], layer.where),
        ]
        mean, deviation = given[0].reshape(-1), np.sqrt(given[1].reshape(-1))
        inverted = bool(config.get("invert"))
        yield lambda x: x * deviation + mean if inverted else (x - mean) / deviation
    elif kind == PART:
        yield lambda x: x[config["part"].columns]
    elif kind in SLICES:
        columns = read_slice(layer.calls, 3) or read_slice(layer.calls, 2) or slice(None)
        yield lambda x: x[columns]
    elif kind == "Rescaling":
        yield (
            lambda x: (
                x * to_float64(config["scale"], layer.where)
                + to_float64(config.get("offset", 0.0), layer.where)
            )
        )


def activation(text: str) -> Step:
    """Return an activation by its name."""
    parsed = parse_activation(text, together=True)
    return lambda x: activate(parsed, x)


def lstm(arrays: list[Float64Array], gate: Step, other: Step) -> Step:
    """Return an LSTM: kernel, recurrent kernel, bias; gates i, f, c, o."""
    K, U, *bias = arrays
    h = c = np.zeros(len(U))

    def step(x: Float64Array) -> Float64Array:
        nonlocal h, c
        i, f, g, o = np.split(x @ K + h @ U + sum(bias), 4)
        c = gate(f) * c + gate(i) * other(g)
        h = gate(o) * other(c)
        return h

    return step


def gru(arrays: list[Float64Array], gate: Step, other: Step, after: bool) -> Step:
    """Return a GRU: kernel, recurrent kernel, one or two rows of biases; gates z, r, h."""
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


def simple_rnn(arrays: list[Float64Array], other: Step) -> Step:
    """Return a plain recurrent layer: kernel, recurrent kernel, bias."""
    K, U, *bias = arrays
    h = np.zeros(len(U))

    def step(x: Float64Array) -> Float64Array:
        nonlocal h
        h = other(x @ K + h @ U + sum(bias))
        return h

    return step


def dense(arrays: list[Float64Array], other: Step) -> Step:
    """Return a dense layer: kernel, bias."""
    K, *bias = arrays
    return lambda x: other(x @ K + sum(bias))


def prelu(alpha: Float64Array) -> Step:
    """Return a PReLU."""
    return lambda x: np.where(x > 0, x, alpha.reshape(-1) * x)


def normalise(arrays: dict[str, Float64Array], epsilon: float) -> Step:
    """Return batch normalisation, or without mean and variance layer normalisation."""

    def step(x: Float64Array) -> Float64Array:
        mean, variance = arrays.get("mean", x.mean()), arrays.get("variance", x.var())
        z = (x - mean) / np.sqrt(variance + epsilon)
        return np.asarray(z * arrays.get("gamma", 1.0) + arrays.get("beta", 0.0))

    return step
