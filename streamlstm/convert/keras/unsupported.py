"""Layers of Keras that are not supported, and why."""

_ATTENTION = (
    "of attention layers only Attention, AdditiveAttention and MultiHeadAttention are supported"
)
_AXES = "it convolves along another axis than time: a row of a stream has one axis, its features"
_LOCAL = "of convolutions only Conv1D, SeparableConv1D and DepthwiseConv1D are supported"
_MORE_ROWS = "it makes several rows of one; RepeatVector does that at the end of a sequence only"
_GRAPH = "it joins branches, and only Add, Subtract, Average, Multiply and Concatenate can be"
_CODE = "it is Python code, which is never run"
_AT_THE_END = (
    f"{_CODE}. One at the end is left out, keras.Model(net.input, net.layers[-2].output), and if "
    "it multiplies the answer its factor is given as --output-scale (output_scaling=)"
)

REASONS = {
    "Lambda": _AT_THE_END,
    "TFOpLambda": _CODE,
    **dict.fromkeys(("GroupedQueryAttention", "GroupQueryAttention"), _ATTENTION),
    **dict.fromkeys(("Conv2D", "Conv3D", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), _AXES),
    **dict.fromkeys(("Conv1DTranspose", "LocallyConnected1D"), _LOCAL),
    "UpSampling1D": _MORE_ROWS,
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Concatenate", "Average"), _GRAPH),
    "Merge": _GRAPH,
}


def reason(kind: str) -> str:
    """Return why a layer of this class is not supported."""
    return REASONS.get(kind, "the layer is not known")
