"""A causal convolution of one step, with the rows that it has seen as its state."""

import numpy as np

from ...network.layers import Conv1D
from .writer import Writer


def write_step(
    w: Writer, layer: Conv1D, x: str, past: str, weight: str, bias: str
) -> tuple[str, str]:
    """Write one step; return the names of its outputs and of the rows for the next step, if any.

    Parameters
    ----------
    w : Writer
    layer : Conv1D
        Causal.
    x : str
        float32[batch, F].
    past : str
        float32[batch, pad_left F]: the last inputs, the oldest first; "" for a kernel of 1.
    weight, bias : str
        float32[O, k, F] and float32[O].
    """
    F, k = layer.input_size, layer.kernel_size
    rows = w.node("Concat", past, x, axis=1) if past else x
    columns = np.arange(F) + F * layer.dilation * np.arange(k)[:, None]
    seen = w.node("Gather", rows, w.indices(*columns.ravel().tolist()), axis=1)
    flat = w.node("Reshape", weight, w.indices(layer.output_size, k * F))
    y = w.node("Gemm", seen, flat, bias, transB=1)
    if not past:
        return w.activate(layer.activation, y), ""
    end = (layer.pad_left + 1) * F
    left = w.node("Slice", rows, w.indices(F), w.indices(end), w.indices(1))
    return w.activate(layer.activation, y), left
