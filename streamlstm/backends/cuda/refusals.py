"""Layers that no kernel for CUDA runs. Nothing of CUDA is imported here."""

from dataclasses import fields

from ...network.layers import Layer, Parallel, Pool
from ...network.model import Model

# What the kernels know of layers that came late: fields that may differ from their defaults.
_KINDS = (
    *("lstm", "gru", "rnn", "dense", "pointwise", "layer_norm", "embedding", "conv1d"),
    *("pool", "bidirectional", "flatten", "last", "repeat", "reverse", "attention"),
)
_ATTENTION = ("input_size", "query", "scale", "join")


def refused(model: Model) -> str:
    """Return the first layer that no kernel for CUDA runs, in words; empty if there is none."""
    for n, layer in enumerate(model.layers):
        if not _is_known(layer):
            return f"branches (layer {n})" if isinstance(layer, Parallel) else layer.describe()
    return ""


def _is_known(layer: Layer) -> bool:
    if isinstance(layer, Pool):
        return layer.function in ("mean", "max")
    if layer.kind == "attention":
        later = (field for field in fields(layer) if field.name not in _ATTENTION)
        return all(getattr(layer, field.name) == field.default for field in later)
    return layer.kind in _KINDS
