"""Why a function or a module of PyTorch cannot be stepped, for messages."""

_PLANE = "it is over a plane, and a row of a stream is one vector; nn.Conv1d can be brought"

_REASONS = {
    "attention": "attention is followed as PyTorch's own modules and functions over a window",
    "attn": "attention is followed as PyTorch's own modules and functions over a window",
    "transformer": "attention is followed as PyTorch's own modules and functions over a window",
    "conv_transpose": "it makes several rows of one",
    "convtranspose": "it makes several rows of one",
    "conv2d": _PLANE,
    "conv3d": _PLANE,
    "conv": "a convolution looks at several steps at once",
    "interpolate": "it makes other numbers of rows",
    "upsample": "it makes other numbers of rows",
    "pow": "no layer here raises to a power; write x * x for the square",
    "normalize": "it divides by the length of a vector, and no layer here does",
    "pool": "pooling looks at several steps at once",
    "embedding_bag": "it sums over several categories",
    "embeddingbag": "it sums over several categories",
    "quantized": "it is quantized: bring the network that it was made from, in floating point",
    "pack_padded": "packed series hold several streams in one: leave that out, a stream has no "
    "padding",
    "instance_norm": "it normalises by mean and variance of the rows that it is given, and no "
    "layer here computes these; one with track_running_stats=True can be brought, and of a window "
    "the ONNX graph of the module (torch.onnx.export)",
    "group_norm": "it normalises by mean and variance of groups of what it is given, and no layer "
    "here computes these; nn.LayerNorm over the features can be brought, and of a window the ONNX "
    "graph of the module (torch.onnx.export)",
    "rms_norm": "it divides by the root of the mean square, and no layer here does; nn.LayerNorm "
    "can be brought",
    "std": "it needs the standard deviation of several numbers, which no layer here computes; "
    "nn.LayerNorm over the features can be brought",
    "var": "it needs the variance of several numbers, which no layer here computes; nn.LayerNorm "
    "over the features can be brought",
    "cumsum": "it sums over the whole past",
    "diff": "it takes the difference of two steps, and there is no layer for it; write "
    "x[:, 1:] - x[:, :-1], or a Conv1d",
    "pad": "it puts steps beside those of the stream",
    "einsum": "only products with a constant matrix are followed: write it as a Linear",
    "where": "a choice by numbers has no layer here",
    "lstm": "its forward is not that of PyTorch's own layer",
    "gru": "its forward is not that of PyTorch's own layer",
}


def reason(name: str) -> str:
    """Return why what is called so cannot be converted."""
    found = [text for word, text in _REASONS.items() if word in name.lower()]
    return found[0] if found else "there is no layer for it here"
