"""Handler of Conv nodes: those of kernel 1 are dense layers at every step."""

from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Dense
from .feature_ops import LayerOp
from .node import Node
from .tensor import SymbolicTensor, Value


def conv(node: Node, x: SymbolicTensor, weight: Value, bias: Value = None) -> Any:
    """Conv of kernel 1, over axis 1, which must hold the features."""
    W = np.asarray(node.constant(weight), np.float64)
    sizes, groups = W.shape[2:], node.attribute("group", 1)
    strides = [n for n in node.attribute("strides") or [] if n != 1]
    if any(n != 1 for n in sizes) or groups != 1 or strides or any(node.attribute("pads") or []):
        raise ConvertError(
            f"{node} is a convolution that looks at {' x '.join(map(str, sizes))} rows at once"
            + (f", in {groups} groups" if groups != 1 else "")
            + ". In ONNX only those of kernel 1 are read; bring the Keras file, where convolutions "
            "over rows are layers (from_keras)."
        )
    if not x.is_features(1):
        raise ConvertError(f"{node}: expected the features on axis 1.")
    O = len(W)
    b = np.zeros(O) if bias is None else np.asarray(node.constant(bias), np.float64)
    op = LayerOp(Dense(W.shape[1], O), {"weight": W.reshape(O, -1), "bias": b}, str(node))
    return x.with_features(1, O, op)
