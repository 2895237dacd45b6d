"""Layers of Keras that are not supported, and why."""

_PAST = "it looks at the whole sequence, of which a stream knows only the past one step at a time"
_WINDOW = "it looks at several steps at once, which no supported layer does"
_GRAPH = "it joins branches, and only layers one after the other can be converted"
_CODE = "it is Python code, which is never run"

REASONS = {
    "Lambda": _CODE,
    "TFOpLambda": _CODE,
    **dict.fromkeys(("AdditiveAttention", "MultiHeadAttention"), _PAST),
    **dict.fromkeys(("GroupedQueryAttention", "GroupQueryAttention"), _PAST),
    "Permute": _PAST,
    **dict.fromkeys(("Conv2D", "Conv3D", "Conv1DTranspose", "LocallyConnected1D"), _WINDOW),
    **dict.fromkeys(("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), _WINDOW),
    **dict.fromkeys(("ZeroPadding1D", "Cropping1D"), _WINDOW),
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Concatenate", "Average", "Dot"), _GRAPH),
    **dict.fromkeys(("Maximum", "Minimum", "Merge"), _GRAPH),
}


def reason(kind: str) -> str:
    """Return why a layer of this class is not supported."""
    return REASONS.get(kind, "the layer is not known")
