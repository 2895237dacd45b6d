"""Layers of Keras that are not supported, why, and how the others are brought."""

from collections.abc import Sequence
from typing import Any

from .graph import LAST
from .network import KerasLayer

_ATTENTION = (
    "of attention layers only Attention, AdditiveAttention and MultiHeadAttention are supported"
)
_AXES = "it convolves along another axis than time: a row of a stream has one axis, its features"
_LOCAL = "of convolutions only Conv1D, SeparableConv1D and DepthwiseConv1D are supported"
_MORE_ROWS = "it makes several rows of one; RepeatVector does that at the end of a sequence only"
_GRAPH = "it joins branches, and only Add, Subtract, Average, Multiply and Concatenate can be"
_CODE = "it is Python code, which is never run"
_FACTOR = (
    f"{_CODE}. A factor of the inputs or of the answer is given as --input-scale or --output-scale "
    "(input_scaling=, output_scaling=)"
)
_GROUPS = "it normalises by mean and variance of what it is given, over groups of features and rows"

REASONS = {
    "Lambda": _FACTOR,
    "TFOpLambda": _CODE,
    "GroupNormalization": _GROUPS,
    "UnitNormalization": "it divides by the length of a vector, and no layer here does",
    "RMSNormalization": "it divides by the root of the mean square, and no layer here does",
    "SpectralNormalization": "it changes the weights of the layer inside: save a network with that "
    "layer alone",
    **dict.fromkeys(("GroupedQueryAttention", "GroupQueryAttention"), _ATTENTION),
    **dict.fromkeys(("Conv2D", "Conv3D", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), _AXES),
    **dict.fromkeys(("Conv1DTranspose", "LocallyConnected1D"), _LOCAL),
    "UpSampling1D": _MORE_ROWS,
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Concatenate", "Average"), _GRAPH),
    "Merge": _GRAPH,
}
_BEFORE = (
    "What comes before it can be brought by itself, keras.Model(net.inputs, "
    "net.get_layer({0!r}).output).save('part.keras'), and the rest be computed in your own program."
)
_BEHIND = (
    "What comes behind it can be brought by itself, keras.Model(net.get_layer({0!r}).input, "
    "net.outputs).save('rest.keras'), to which your own program gives what it computes."
)
_IN_A_ROW = (
    "What comes behind it can be brought by itself, keras.Sequential([keras.Input("
    "net.get_layer({0!r}).input.shape[1:]), *net.layers[{1}:]]).save('rest.keras'), to which your "
    "own program gives what it computes."
)
_JOINED = (
    "What it joins can be brought by itself, such as keras.Model(net.inputs, "
    "net.get_layer({0!r}).output).save('part.keras'), and be joined in your own program."
)


def way_around(layers: Sequence[KerasLayer], n: int, kind: str = "") -> str:
    """Return how the rest of a network can be brought, as a sentence; empty if nothing is left.

    Parameters
    ----------
    layers : sequence of KerasLayer
        The network, or a branch of it.
    n : int
        Number of the layer that cannot be.
    kind : str
        Sequential, or another class of network; empty for a branch.
    """
    layer = layers[n]
    joined = [branch[-1].group for branch in layer.branches if branch and _has_name(branch[-1])]
    before = [other.group for other in layers[:n] if _has_name(other)]
    behind: list[Any] = [
        other.group for other in layers[n + 1 :] if _has_name(other) and not other.branches
    ]
    if kind == "Sequential" and behind:
        groups = dict.fromkeys(other.group for other in layers if other.kind != "InputLayer")
        behind = [behind[0], list(groups).index(behind[0])]
    rest = _IN_A_ROW if kind == "Sequential" else _BEHIND
    ways = ((_JOINED, joined[:1]), (_BEFORE, before[-1:]), (rest, behind[:2] if kind else []))
    found = [text.format(*names) for text, names in ways if names and names[0] != layer.group]
    return found[0] if found else ""


def _has_name(layer: KerasLayer) -> bool:
    """Tell whether get_layer finds a layer; no function of a graph, and nothing of ours."""
    return not layer.function and layer.kind not in ("InputLayer", LAST)


def reason(kind: str) -> str:
    """Return why a layer of this class is not supported."""
    return REASONS.get(kind, "no layer here computes what this class does")
