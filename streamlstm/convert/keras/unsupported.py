"""Layers of Keras that are not supported, why, and how the others are brought."""

from .network import KerasLayer

_ATTENTION = (
    "of attention layers only Attention and MultiHeadAttention, of dot products, are supported"
)
_AXES = "it convolves along another axis than time: a row of a stream has one axis, its features"
_LOCAL = "of convolutions only Conv1D, SeparableConv1D and DepthwiseConv1D are supported"
_MORE_ROWS = "it makes several rows of one; RepeatVector does that at the end of a sequence only"
_GRAPH = "it joins branches, and only Add, Subtract, Average, Multiply and Concatenate can be"
_CODE = "it is Python code, which is never run"
_FACTOR = (
    f"{_CODE}; if it multiplies the answer, give its factor as --output-scale (output_scaling=)"
)
_GROUPS = "it normalises by mean and variance of what it is given, over groups of features and rows"

REASONS = {
    "Lambda": _FACTOR,
    "TFOpLambda": _CODE,
    "AdditiveAttention": _ATTENTION,
    "GroupNormalization": _GROUPS,
    "UnitNormalization": "it divides by the length of a vector, and no layer here does",
    "RMSNormalization": "it divides by the root of the mean square, and no layer here does",
    "SpectralNormalization": "it changes the weights of a layer while it is trained: save that",
    **dict.fromkeys(("GroupedQueryAttention", "GroupQueryAttention"), _ATTENTION),
    **dict.fromkeys(("Conv2D", "Conv3D", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), _AXES),
    **dict.fromkeys(("Conv1DTranspose", "LocallyConnected1D"), _LOCAL),
    "UpSampling1D": _MORE_ROWS,
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Concatenate", "Average"), _GRAPH),
    **dict.fromkeys(("Maximum", "Minimum", "Merge"), _GRAPH),
}
_BEFORE = (
    "What comes before it can be brought by itself, keras.Model(net.input, "
    "net.get_layer({name!r}).input).save('part.keras'), and the rest be computed in your program."
)
_BEHIND = (
    "What comes behind it can be brought by itself, keras.Model(net.get_layer({name!r}).output, "
    "net.output).save('rest.keras'), to which your program gives what it computes."
)
_JOINED = (
    "Each thing that it joins can be brought by itself, keras.Model(net.input, "
    "net.get_layer({name!r}).input[0]).save('part.keras'), and be joined in your program."
)


def way_around(layer: KerasLayer, first: bool) -> str:
    """Return how the rest of a network can be brought, as a sentence.

    Parameters
    ----------
    layer : KerasLayer
        What cannot be.
    first : bool
        Whether nothing comes before it.
    """
    text = _JOINED if layer.branches else _BEHIND if first else _BEFORE
    return text.format(name=layer.group)


def reason(kind: str) -> str:
    """Return why a layer of this class is not supported."""
    return REASONS.get(kind, "no layer here computes what this class does")
