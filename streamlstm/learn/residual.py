"""A residual layer, ``x + f(x)``, as layers that every backend runs.

A served network is a chain in which each layer sees only the outputs of the one before. So the
layer gets F more units that carry its input past the cell, and a dense layer behind it adds both.
Such a unit has its input gate open, its forget gate closed and no recurrent weights, so that it
shows ``tanh(tanh(s x))``; with s = 2^-12 that is ``s x`` up to the rounding of float32 for inputs
of a few units, and what a stack of layers adds up is no larger. The price is a layer with H + F
units instead of H.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..network.layers import Dense, Layer
from .cells.block import Exported

Array = NDArray[Any]

SCALE = 2.0**-12
_SHUT = -30.0  # the sigmoid of it is below 1e-13, that of its opposite 1 in float32
# For each kind of layer and each gate of a unit that carries an input: its bias, and whether it
# sees the input.
_GATES = {
    "lstm": [(-_SHUT, False), (_SHUT, False), (0.0, True), (-_SHUT, False)],  # i, f, g, o
    "gru": [(0.0, False), (_SHUT, False), (0.0, True)],  # r, z, n
    "rnn": [(0.0, True)],
}


def widen(exported: Exported) -> list[Exported]:
    """Return the layer with F more units, and the dense layer that adds them to the others.

    Parameters
    ----------
    exported : (Layer, dict of str to array)
        A recurrent layer as wide as its inputs, F = H.

    Returns
    -------
    list of (Layer, dict of str to array)
        The layer with 2 H units, and a dense layer with H outputs.
    """
    layer, weights = exported
    gates, H = _GATES[layer.kind], layer.output_size
    dtype = weights["weight_ih"].dtype
    unit = np.eye(H, dtype=dtype)

    def rows(name: str, added: list[Array]) -> Array:
        """Put the rows of the new units behind those of each gate."""
        parts = np.split(weights[name], len(gates))
        return np.concatenate([each for pair in zip(parts, added, strict=True) for each in pair])

    biases = [np.full(H, bias, dtype) for bias, _ in gates]
    nothing = [np.zeros(H, dtype) for _ in gates]
    recurrent = rows("weight_hh", [np.zeros((H, H), dtype) for _ in gates])
    wide = {
        "weight_ih": rows("weight_ih", [unit * (SCALE if sees else 0) for _, sees in gates]),
        "weight_hh": np.pad(recurrent, ((0, 0), (0, H))),
    }
    for name in weights.keys() - wide.keys():
        wide[name] = rows(name, nothing if name == "bias_hh" else biases)
    adding = {"weight": np.hstack([unit, unit / SCALE]), "bias": np.zeros(H, dtype)}
    widened: Layer = type(layer)(H, 2 * H)  # type: ignore[call-arg] # all take F, H
    return [(widened, wide), (Dense(2 * H, H), adding)]


def narrow(weights: Mapping[str, Array], H: int) -> dict[str, Array]:
    """Return the weights of the layer that `widen` was given."""
    narrowed = {}
    for name, array in weights.items():
        gates = array.reshape(-1, 2 * H, *array.shape[1:])[:, :H]
        narrowed[name] = gates.reshape(-1, *array.shape[1:])
    narrowed["weight_hh"] = narrowed["weight_hh"][:, :H]
    return narrowed
