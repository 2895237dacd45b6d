"""Layers that the kernels for CUDA know. Nothing of CUDA is imported here."""

from collections.abc import Sequence

from ...network.layers import Layer, Parallel
from ...network.model import Model

_KINDS = {
    *("lstm", "gru", "rnn", "dense", "pointwise", "layer_norm", "embedding", "conv1d", "parallel"),
    *("pool", "bidirectional", "flatten", "last", "repeat", "reverse", "attention", "transpose"),
    "softmax_over_rows",
}


def refused(model: Model) -> str:
    """Return the first layer that no kernel for CUDA runs; empty if there is none."""
    return _unknown(model.layers)


def _unknown(layers: Sequence[Layer]) -> str:
    for layer in layers:
        if layer.kind not in _KINDS:
            return layer.describe()
        for branch in layer.branches if isinstance(layer, Parallel) else ():
            if _unknown(branch):
                return _unknown(branch)
    return ""
