"""Layers over whole windows, row by row or all rows at once, for the backend in NumPy."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels import reference, reference_rows
from ..network.activations import parse_activation
from ..network.layers import Bidirectional, Layer, Parallel
from ..network.layers.parallel import own_part
from .precision import is_plain, rounded

Array = NDArray[Any]
State = dict[str, Array]


def step_of(layer: Layer, weights: Mapping[str, Array], narrow: str = "") -> Any:
    """Return what advances a layer by one row: a function of input, state and trace.

    A plain LSTM rounds what it multiplies to the precision ``narrow``, if one is given.
    """
    if isinstance(layer, Parallel):
        return partial(_step_branches, layer, weights, narrow)
    step = partial(reference.LAYERS[layer.kind], weights=weights, **_options(layer))
    return partial(_step_narrow, step, narrow) if narrow and is_plain(layer) else step


def _step_narrow(
    step: Any, narrow: str, x: Array, state: State, **trace: Any
) -> tuple[Array, State]:
    """Advance a plain LSTM whose input and hidden state are rounded."""
    h = rounded(state["h"], narrow)
    advanced: tuple[Array, State] = step(rounded(x, narrow), state | {"h": h}, **trace)
    return advanced


def _step_branches(
    layer: Parallel, weights: Mapping[str, Array], narrow: str, x: Array, state: State
) -> tuple[Array, State]:
    """Advance all branches by one row."""
    outputs: list[Array] = []
    after: State = {}
    for b, branch in enumerate(layer.branches):
        y = x
        for n, inner in enumerate(branch):
            at = f"{b}.{n}."
            y, new = step_of(inner, own_part(at, weights), narrow)(y, own_part(at, state))
            after |= {f"{at}{name}": vector for name, vector in new.items()}
        outputs.append(y)
    return reference.merge_branches(outputs, layer.merge), after


class RowsLayer:
    """A layer over windows, from its initial state.

    Parameters
    ----------
    layer : Layer
    weights : mapping of str to float[...]
    initial : dict of str to float[N]
        The state vectors of the layer before the first row, by name.
    narrow : str
        As for :func:`step_of`.
    """

    def __init__(
        self, layer: Layer, weights: Mapping[str, Array], initial: State, narrow: str = ""
    ) -> None:
        self._layer, self._weights, self._initial = layer, weights, initial
        self._narrow = narrow

    def run(self, X: Array, traced: bool) -> tuple[Array, State, State]:
        """Return outputs, states after the last row, and gates there, of X[rows, B, N]."""
        layer = self._layer
        if isinstance(layer, Bidirectional):
            Y, state, trace = self._recurrent("forward_", layer.layer, X, traced)
            back, after, _ = self._recurrent("backward_", layer.layer, X[::-1], False)
            state |= {f"backward_{name}": vector for name, vector in after.items()}
            joined = (Y, back[::-1]) if layer.sequence else (Y[-1:], back[-1:])
            return reference_rows.merge(*joined, layer.merge), state, trace
        if isinstance(layer, Parallel):
            return self._branches(layer, X)
        if layer.over_rows:
            return reference_rows.ROWS[layer.kind](X, self._weights, **_fields(layer)), {}, {}
        if layer.state:
            return self._recurrent("", layer, X, traced)
        step = step_of(layer, self._weights)
        return np.stack([step(x, {})[0] for x in X]), {}, {}

    def _branches(self, layer: Parallel, X: Array) -> tuple[Array, State, State]:
        outputs: list[Array] = []
        states: State = {}
        for b, branch in enumerate(layer.branches):
            Y = X
            for n, inner in enumerate(branch):
                at = f"{b}.{n}."
                parts = own_part(at, self._weights), own_part(at, self._initial)
                Y, state, _ = RowsLayer(inner, *parts, self._narrow).run(Y, False)
                states |= {f"{at}{name}": vector for name, vector in state.items()}
            outputs.append(Y)
        return reference.merge_branches(outputs, layer.merge), states, {}

    def _recurrent(
        self, prefix: str, layer: Layer, X: Array, traced: bool
    ) -> tuple[Array, State, State]:
        own = {n.removeprefix(prefix): a for n, a in self._weights.items() if n.startswith(prefix)}
        step = step_of(layer, own, self._narrow)
        names = "backward_" if prefix == "backward_" else ""
        state = {
            name: np.tile(self._initial[names + name], (X.shape[1], 1)) for name in layer.state
        }
        outputs = []
        trace: State = {}
        for x in X:
            trace = {}
            y, state = step(x, state, trace=trace)
            outputs.append(y)
        return np.stack(outputs), state, trace if traced else {}


_NAMED = ("coupled", "reset_after", "kernel_size", "dilation")


def _fields(layer: Layer) -> dict[str, Any]:
    """Return the keywords of a layer over rows: all fields but sizes, activations parsed."""
    fields = {n: v for n, v in asdict(layer).items() if n not in ("input_size", "output_size")}
    if "activation" in fields:
        fields["activation"] = parse_activation(fields["activation"], together=True)
    return fields


def _options(layer: Layer) -> dict[str, Any]:
    """Return the keywords of the reference: all fields but sizes, activations parsed."""
    options: dict[str, Any] = {}
    for name, value in asdict(layer).items():
        if name.endswith("activation"):
            short = name.removesuffix("_activation")
            options[short] = parse_activation(value, together=True)
        elif name == "epsilon" or name.endswith("_clip") or name in _NAMED:
            options[name] = value
    return options
