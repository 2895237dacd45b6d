"""Writes the nodes of a graph or function: operators, constants, activations."""

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...errors import ConvertError
from ...network.activations import parse_activation

OPSET = 17  # the first with LayerNormalization; every runtime since 2022 has it

# Activations that are one node, with the names of their parameters.
_NODES: dict[str, tuple[str, ...]] = {
    "relu": ("Relu",),
    "tanh": ("Tanh",),
    "sigmoid": ("Sigmoid",),
    "hard_sigmoid": ("HardSigmoid", "alpha", "beta"),
    "leaky_relu": ("LeakyRelu", "alpha"),
    "thresholded_relu": ("ThresholdedRelu", "alpha"),
    "elu": ("Elu", "alpha"),
    "softsign": ("Softsign",),
    "softplus": ("Softplus",),
    "exponential": ("Exp",),
    "hard_silu": ("HardSwish",),
}


class Writer:
    """Collects nodes in the order of execution.

    Parameters
    ----------
    prefix : str
        Prefix of generated names.
    """

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[Any] = []
        self._prefix = prefix
        self._count = 0

    def name(self, word: str) -> str:
        """Generate a name."""
        self._count += 1
        return f"{self._prefix}{word.lower()}_{self._count}"

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output and return that output's name."""
        return self.nodes_out(op, inputs, 1, **attributes)[0]

    def nodes_out(self, op: str, inputs: Any, count: int, **attributes: Any) -> list[str]:
        """Append a node with several outputs and return their names."""
        from onnx import helper

        outputs = [self.name(op) for _ in range(count)]
        self.nodes.append(helper.make_node(op, list(inputs), outputs, outputs[0], **attributes))
        return outputs

    def constant(self, values: ArrayLike, dtype: Any = np.float32) -> str:
        """Append a constant and return its name."""
        from onnx import numpy_helper

        return self.node("Constant", value=numpy_helper.from_array(np.asarray(values, dtype)))

    def indices(self, *values: int) -> str:
        """Append a constant vector of integers."""
        return self.constant(values, np.int64)

    def split(self, x: str, count: int, axis: int) -> list[str]:
        """Append a split into parts of equal size."""
        return [x] if count == 1 else self.nodes_out("Split", [x], count, axis=axis)

    def clip(self, x: str, bound: float | None) -> str:
        """Append a clip to [-bound, bound], if there is a bound."""
        if bound is None:
            return x
        return self.node("Clip", x, self.constant(-bound), self.constant(bound))

    def activate(self, text: str, x: str) -> str:
        """Append an activation."""
        name, parameters = parse_activation(text, together=True)
        if name in _NODES:
            op, *keys = _NODES[name]
            return self.node(op, x, **dict(zip(keys, parameters, strict=True)))
        if name not in _COMPOSED:
            raise ConvertError(f"{name}: this activation has no form in ONNX yet.")
        return _COMPOSED[name](self, x, *parameters)

    def affine(self, x: str, weight: ArrayLike, bias: ArrayLike) -> str:
        """Append ``x * weight + bias``."""
        return self.node("Add", self.node("Mul", x, self.constant(weight)), self.constant(bias))


def _scaled_tanh(w: Writer, x: str, a: float, b: float) -> str:
    inner = w.node("Tanh", w.node("Mul", x, w.constant(b)))
    return w.node("Mul", inner, w.constant(a))


def _gelu(w: Writer, x: str) -> str:
    inner = w.node("Erf", w.node("Div", x, w.constant(sqrt(2))))
    return w.node("Mul", w.node("Mul", x, w.constant(0.5)), w.node("Add", inner, w.constant(1)))


def _gelu_tanh(w: Writer, x: str) -> str:
    cubed = w.node("Mul", x, w.node("Mul", x, x))
    sum_ = w.node("Add", x, w.node("Mul", cubed, w.constant(0.044715)))
    inner = w.node("Tanh", w.node("Mul", sum_, w.constant(sqrt(2 / pi))))
    return w.node("Mul", w.node("Mul", x, w.constant(0.5)), w.node("Add", inner, w.constant(1)))


_COMPOSED: dict[str, Callable[..., str]] = {
    "linear": lambda _, x: x,
    "affine": lambda w, x, a, b: w.affine(x, a, b),
    "hard_tanh": lambda w, x, a, b: w.node("Clip", x, w.constant(a), w.constant(b)),
    "scaled_tanh": _scaled_tanh,
    # ONNX's defaults are rounded to six digits.
    "selu": lambda w, x: w.node("Selu", x, alpha=1.6732632423543772, gamma=1.0507009873554805),
    "silu": lambda w, x: w.node("Mul", x, w.node("Sigmoid", x)),
    "mish": lambda w, x: w.node("Mul", x, w.node("Tanh", w.node("Softplus", x))),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "softmax": lambda w, x: w.node("Softmax", x, axis=-1),
    "log_softmax": lambda w, x: w.node("LogSoftmax", x, axis=-1),
}
