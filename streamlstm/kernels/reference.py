"""The specification of every activation and layer: plain NumPy, any float dtype.

Tests compare every other kernel with these functions, in float64. Arrays hold a block of B streams,
one a row. A function takes the input, the layer's state vectors and weights by name, and the
layer's options as keywords; it returns the output and the new state. If ``trace`` is given, the
gates are added to it by name.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = Mapping[str, Array]
State = dict[str, Array]
Activation = tuple[str, tuple[float, ...]]  # name and parameters


def sigmoid(x: Array) -> Array:
    """Logistic function, written so that no exponential overflows."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def elu(x: Array, a: float) -> Array:
    """``x`` above zero, ``a (exp(x) - 1)`` below."""
    return np.where(x > 0, x, a * np.expm1(np.minimum(x, 0)))


def softplus(x: Array) -> Array:
    """``log(1 + exp(x))``, written so that no exponential overflows."""
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def gelu(x: Array) -> Array:
    """``x`` times the distribution function of the normal distribution."""
    return np.asarray(x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))))


def log_softmax(x: Array) -> Array:
    """Logarithm of softmax over the last axis."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


ACTIVATIONS: dict[str, Callable[..., Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "hard_sigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "hard_tanh": lambda x, a, b: np.clip(x, a, b),
    "affine": lambda x, a, b: a * x + b,
    "scaled_tanh": lambda x, a, b: a * np.tanh(b * x),
    "leaky_relu": lambda x, a: np.where(x >= 0, x, a * x),
    "thresholded_relu": lambda x, a: np.where(x > a, x, 0),
    "elu": elu,
    "selu": lambda x: 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softplus": softplus,
    "silu": lambda x: x * sigmoid(x),
    "gelu": gelu,
    "gelu_tanh": lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "exponential": np.exp,
    "mish": lambda x: x * np.tanh(softplus(x)),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "softmax": lambda x: np.exp(log_softmax(x)),
    "log_softmax": log_softmax,
}


def activate(activation: Activation, x: Array) -> Array:
    """Apply an activation given by name and parameters."""
    name, parameters = activation
    return np.asarray(ACTIVATIONS[name](x, *parameters))


def clip(x: Array, bound: float | None) -> Array:
    """Bound ``x`` to [-bound, bound]; not at all if it is None."""
    return x if bound is None else np.clip(x, -bound, bound)


def normalise(x: Array, epsilon: float) -> Array:
    """Shift to mean 0 and scale to variance 1 over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + epsilon))


def lstm(
    x: Array,
    state: State,
    weights: Weights,
    *,
    coupled: bool = False,
    gate: Activation = ("sigmoid", ()),
    candidate: Activation = ("tanh", ()),
    cell: Activation = ("tanh", ()),
    gate_clip: float | None = None,
    cell_clip: float | None = None,
    projection_clip: float | None = None,
    trace: State | None = None,
) -> tuple[Array, State]:
    """Advance an LSTM layer by one step; equations in :class:`streamlstm.network.layers.LSTM`.

    Parameters
    ----------
    x : float[B, F]
        Observations.
    state : dict
        ``h[B, P]`` and ``c[B, H]`` before the step.
    weights : mapping
        By name, as :meth:`streamlstm.network.layers.LSTM.parameters` says.

    Returns
    -------
    h : float[B, P]
        The hidden state, which is the output of the layer.
    state : dict
        After the step.
    """
    h, c = state["h"], state["c"]
    count = 3 if coupled else 4
    gates = np.split(x @ weights["weight_ih"].T + h @ weights["weight_hh"].T, count, axis=1)
    if "norm_weight" in weights:
        gains = np.split(weights["norm_weight"], count)
        gates = [gain * normalise(g, 1e-5) for gain, g in zip(gains, gates, strict=True)]
    gates = [g + bias for g, bias in zip(gates, np.split(weights["bias"], count), strict=True)]
    i, g, o = gates[0], gates[-2], gates[-1]
    f = i if coupled else gates[1]
    peepholes = np.split(weights["peephole"], count - 1) if "peephole" in weights else None
    if peepholes is not None:
        i = i + peepholes[0] * c
        f = f + peepholes[-2] * c
    i = activate(gate, clip(i, gate_clip))
    f = 1 - i if coupled else activate(gate, clip(f, gate_clip))
    g = activate(candidate, clip(g, gate_clip))
    c = clip(f * c + i * g, cell_clip)
    if peepholes is not None:
        o = o + peepholes[-1] * c
    o = activate(gate, clip(o, gate_clip))
    h = o * activate(cell, c)
    if "weight_hr" in weights:
        h = clip(h @ weights["weight_hr"].T, projection_clip)
    if trace is not None:
        trace |= {"input_gate": i, "forget_gate": f, "candidate": g, "output_gate": o, "cell": c}
    return h, {"h": h, "c": c}


def gru(
    x: Array,
    state: State,
    weights: Weights,
    *,
    reset_after: bool = True,
    gate: Activation = ("sigmoid", ()),
    candidate: Activation = ("tanh", ()),
    gate_clip: float | None = None,
    trace: State | None = None,
) -> tuple[Array, State]:
    """Advance a GRU layer by one step; equations in :class:`streamlstm.network.layers.GRU`."""
    h = state["h"]
    from_x = np.split(x @ weights["weight_ih"].T + weights["bias_ih"], 3, axis=1)
    from_h = np.split(h @ weights["weight_hh"].T + weights["bias_hh"], 3, axis=1)
    r = activate(gate, clip(from_x[0] + from_h[0], gate_clip))
    z = activate(gate, clip(from_x[1] + from_h[1], gate_clip))
    if reset_after:
        n = from_x[2] + r * from_h[2]
    else:
        last = weights["weight_hh"][2 * h.shape[1] :], weights["bias_hh"][2 * h.shape[1] :]
        n = from_x[2] + (r * h) @ last[0].T + last[1]
    n = activate(candidate, clip(n, gate_clip))
    if trace is not None:
        trace |= {"reset_gate": r, "update_gate": z, "candidate": n}
    h = (1 - z) * n + z * h
    return h, {"h": h}


def rnn(
    x: Array,
    state: State,
    weights: Weights,
    *,
    activation: Activation = ("tanh", ()),
    gate_clip: float | None = None,
    trace: State | None = None,
) -> tuple[Array, State]:
    """Advance a plain recurrent layer by one step; it has no gates to trace."""
    del trace
    a = x @ weights["weight_ih"].T + state["h"] @ weights["weight_hh"].T + weights["bias"]
    h = activate(activation, clip(a, gate_clip))
    return h, {"h": h}


def dense(
    x: Array, state: State, weights: Weights, *, activation: Activation
) -> tuple[Array, State]:
    """Return ``activation(weight @ x + bias)``."""
    return activate(activation, x @ weights["weight"].T + weights["bias"]), state


def pointwise(
    x: Array, state: State, weights: Weights, *, activation: Activation
) -> tuple[Array, State]:
    """Return ``activation(x * weight + bias)``."""
    return activate(activation, x * weights["weight"] + weights["bias"]), state


def layer_norm(x: Array, state: State, weights: Weights, *, epsilon: float) -> tuple[Array, State]:
    """Return ``normalise(x) * weight + bias``."""
    return normalise(x, epsilon) * weights["weight"] + weights["bias"], state


def embedding(x: Array, state: State, weights: Weights) -> tuple[Array, State]:
    """Return the vectors of the categories in ``x[:, 0]``, and the other features after them."""
    vectors = weights["weight"][x[:, 0].astype(np.int64)]
    return np.concatenate([vectors, x[:, 1:]], axis=1), state


def conv1d(
    x: Array,
    state: State,
    weights: Weights,
    *,
    kernel_size: int,
    dilation: int,
    activation: Activation,
) -> tuple[Array, State]:
    """Advance a causal convolution by one step; equation in network.layers.Conv1D.

    The state is ``ring[B, (k - 1) d F]``, the last inputs, and ``place[B, 1]``, of the oldest.
    """
    B, F = x.shape
    rows = x[:, None]
    every = np.arange(B)[:, None]
    if kernel_size > 1:
        length = (kernel_size - 1) * dilation
        ring, place = state["ring"].reshape(B, length, F).copy(), state["place"].astype(np.int64)
        seen = (place + dilation * np.arange(kernel_size - 1)) % length
        rows = np.concatenate([ring[every, seen], rows], axis=1)
        ring[every, place] = x[:, None]
        state = {
            "ring": ring.reshape(B, -1),
            "place": ((place + 1) % length).astype(state["place"].dtype),
        }
    products = np.einsum("bjf,ojf->bo", rows, weights["weight"])
    return activate(activation, products + weights["bias"]), state


def put(x: Array, windows: Array, T: int, fill: bool) -> Array:
    """Put x[B, F] into the windows of B streams; return their rows, [T, B, F], the oldest first.

    Parameters
    ----------
    x : float[B, F]
        Inputs of the first layer.
    windows : float[B, 2 + T F or more]
        Changed in place: how many rows a window has, the place of its next row, and the rows, a
        ring. Rows that have not come are zeros.
    fill : bool
        Whether the first row that comes fills the whole window.
    """
    B, F = x.shape
    every = np.arange(B)
    rows = slice(2, 2 + T * F)
    ring = windows[:, rows].reshape(B, T, F).copy()
    empty = windows[:, 0] == 0 if fill else np.zeros(B, bool)
    ring[empty] = x[empty, None]
    place = windows[:, 1].astype(np.int64)
    ring[every, place] = x
    place = (place + 1) % T
    windows[:, 0] = np.where(empty, T, np.minimum(windows[:, 0] + 1, T))
    windows[:, 1] = np.where(empty, 0, place)
    windows[:, rows] = ring.reshape(B, -1)
    return np.asarray(ring[every, (place + np.arange(T)[:, None]) % T])


def merge_branches(outputs: Sequence[Array], merge: str) -> Array:
    """Return the sum, the product or the concatenation of what branches return.

    Of arrays [..., N], of which an axis but the last of a concatenation may have length 1.
    """
    if merge == "concatenate":
        shape = np.broadcast_shapes(*(y.shape[:-1] for y in outputs))
        wide = [np.broadcast_to(y, (*shape, y.shape[-1])) for y in outputs]
        return np.concatenate(wide, axis=-1)
    merged = outputs[0]
    for y in outputs[1:]:
        merged = merged + y if merge == "add" else merged * y
    return merged


LAYERS: dict[str, Callable[..., tuple[Array, State]]] = {
    "lstm": lstm,
    "gru": gru,
    "rnn": rnn,
    "dense": dense,
    "pointwise": pointwise,
    "layer_norm": layer_norm,
    "embedding": embedding,
    "conv1d": conv1d,
}
