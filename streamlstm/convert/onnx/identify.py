"""What an exporter took apart, put together again: activations and layer normalisation.

Older opsets have no Gelu, SiLU, Softsign or LayerNormalization; exporters write them as a dozen
elementary nodes, each in its own way. Instead of a pattern for each way, the function that the
nodes compute together is evaluated and compared with those that are known here.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ...errors import ConvertError
from ...kernels import reference
from ...network.activations import name_activation
from ...network.layers import Dense, LayerNorm
from ..common.chain import Chain
from ..common.weights import Float64Array
from .flow import Activate, Entry, Flow, Function, Scale, Step, apply

Vector = Callable[[Float64Array], Float64Array]
_CANDIDATES: tuple[str, ...] = (
    "silu",
    "hard_silu",
    "mish",
    "gelu",
    "gelu_tanh",
    "softsign",
    "softplus",
    "sigmoid",
    "tanh",
    "relu",
    "elu",
    "selu",
    "softmax",
    "log_softmax",
    "exponential",
    name_activation("hard_sigmoid", 1 / 6, 0.5),
    name_activation("hard_sigmoid", 0.2, 0.5),
    name_activation("hard_tanh", -1, 1),
    name_activation("hard_tanh", 0, 6),
    "linear",
)
_MINUS = Scale(-1, 0, "")
_LOG_SIGMOID = (_MINUS, Activate("softplus", ""), _MINUS)
# Constants in the file are float32 or less, and so are the functions written with them.
_TOLERANCE = 1e-6


def emit(flow: Flow, width: int) -> Chain:
    """Return the chain of layers that a flow went through.

    Parameters
    ----------
    flow : Flow
    width : int
        F, features of the graph's input.

    Raises
    ------
    ConvertError
        If nodes compute what has no name here.
    """
    chain = Chain(width)
    if flow.columns != tuple(range(width)):
        weight = np.eye(width)[list(flow.columns)]
        bias = np.zeros(len(weight))
        chain.add(Dense(width, len(weight)), {"weight": weight, "bias": bias}, flow.origin)
    entries = list(flow.entries)
    while entries:
        run = _run(entries)
        taken = _emit_run(chain, entries[:run]) if run else _emit_one(chain, entries)
        del entries[:taken]
    return chain


def _run(entries: Sequence[Entry]) -> int:
    """Return how many entries from the first on are functions, if one of them has no name."""
    length = 0
    while length < len(entries) and not isinstance(entries[length], Step):
        length += 1
    unnamed = any(isinstance(entry, Function) for entry in entries[:length])
    return length if unnamed else 0


def _emit_one(chain: Chain, entries: Sequence[Entry]) -> int:
    entry = entries[0]
    if isinstance(entry, Step):
        chain.add(entry.layer, entry.weights, entry.node)
    elif isinstance(entry, Activate):
        chain.activate(entry.name, entry.node)
    elif isinstance(entry, Scale):
        after = entries[1] if len(entries) > 1 else None
        if isinstance(after, Scale) and _shifts(entry) and _stretches(after):
            chain.normalise(-entry.bias, 1 / after.weight, entry.node)
            return 2
        chain.scale(entry.weight, entry.bias, entry.node)
    return 1


def _shifts(entry: Scale) -> bool:
    return bool((entry.weight == 1).all() and entry.bias.any())


def _stretches(entry: Scale) -> bool:
    return bool((entry.bias == 0).all() and (entry.weight > 0).all())


def _emit_run(chain: Chain, run: Sequence[Entry]) -> int:
    """Emit the first function of a run that is recognised, and what stands before it."""
    first = next(n for n, entry in enumerate(run) if isinstance(entry, Function))
    N = chain.width or 1
    for start in range(first, -1, -1):
        for end in range(first + 1, len(run) + 1):
            found = recognise(lambda x, span=run[start:end]: apply(span, x), N)  # type: ignore[misc]
            if found is None:
                continue
            for n in range(start):
                _emit_one(chain, run[n : n + 1])
            if isinstance(found, float):
                arrays = {"weight": np.ones(N), "bias": np.zeros(N)}
                chain.add(LayerNorm(N, found), arrays, run[first].node)
                return end
            for entry in found:
                _emit_one(chain, [entry])
            return end
    raise ConvertError(
        f"{run[first].node} is part of a computation that is no known activation or normalisation."
    )


def recognise(function: Vector, width: int) -> Sequence[Entry] | float | None:
    """Return the entries that a function is, or the epsilon of a layer normalisation.

    Parameters
    ----------
    function : callable
        Of x[B, N] to an array of the same shape.
    width : int
        N.
    """
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(0, spread, (24, width)) for spread in (0.3, 1.0, 4.0)])
    with np.errstate(all="ignore"):
        y = function(x)
        if np.shape(y) != x.shape or not np.isfinite(y).all():
            return None
        named = [[Activate(name, "")] for name in _CANDIDATES]
        for entries in (*named, _LOG_SIGMOID, _softplus(function, width)):
            if _close(y, apply(entries, x)):
                return entries
        return _layer_norm_epsilon(function, x)


def _softplus(function: Vector, width: int) -> Sequence[Entry]:
    """Return softplus with PyTorch's beta, which is what its value at zero says."""
    beta = np.log(2) / function(np.zeros((1, width))).flat[0]
    return Scale(beta, 0, ""), Activate("softplus", ""), Scale(1 / beta, 0, "")


def _layer_norm_epsilon(function: Vector, x: Float64Array) -> float | None:
    """Solve ``y = (x - mean) / sqrt(variance + epsilon)`` for epsilon, and see if it holds."""
    if x.shape[1] < 2:
        return None
    small = x[:24] * 1e-3  # where epsilon weighs as much as the variance
    centred = small - small.mean(-1, keepdims=True)
    ratio = np.median(np.abs(centred / function(small)), axis=-1)
    epsilon = float(np.median(ratio**2 - (centred**2).mean(-1)))
    epsilon = max(float(f"{epsilon:.6g}"), 1e-12) if np.isfinite(epsilon) else 1.0
    agree = all(
        _close(function(values), reference.normalise(values, epsilon)) for values in (x, small)
    )
    return epsilon if agree else None


def _close(a: Float64Array, b: Float64Array) -> bool:
    return bool((np.abs(a - b) <= _TOLERANCE * (1 + np.abs(b))).all())
