"""Activation functions by name: what there is, and what their parameters are.

Equations are in kernels/reference.py. The names are those of PyTorch and Keras, the parameters
those of ONNX.
"""

import math
import re

from ..errors import ModelError

# Default parameters; an activation without any has an empty tuple.
PARAMETERS: dict[str, tuple[float, ...]] = {
    "linear": (),
    "relu": (),
    "tanh": (),
    "sigmoid": (),
    "hard_sigmoid": (1 / 6, 0.5),  # clip(a x + b, 0, 1); Keras 2 and ONNX default to 0.2, 0.5
    "hard_tanh": (-1.0, 1.0),  # clip(x, a, b); (0, 6) is relu6
    "affine": (1.0, 0.0),  # a x + b
    "scaled_tanh": (1.0, 1.0),  # a tanh(b x)
    "leaky_relu": (0.01,),  # a x below zero
    "thresholded_relu": (1.0,),  # x above a, else zero
    "elu": (1.0,),  # a (exp(x) - 1) below zero
    "selu": (),
    "softsign": (),  # x / (1 + |x|)
    "softplus": (),  # log(1 + exp(x))
    "silu": (),  # x sigmoid(x), also called swish
    "gelu": (),  # x times the normal distribution at x
    "gelu_tanh": (),  # its approximation by tanh
    "exponential": (),
    "mish": (),  # x tanh(softplus(x))
    "hard_silu": (),  # x clip(x / 6 + 1/2, 0, 1), also called hardswish
}
TOGETHER = ("softmax", "log_softmax")  # of all outputs of a layer

_FORM = re.compile(r"\s*([a-z0-9_]+)\s*(?:\(([^()]*)\))?\s*")


def parse_activation(text: str, together: bool = False) -> tuple[str, tuple[float, ...]]:
    """Return name and parameters of an activation such as ``"leaky_relu(0.1)"``.

    Parameters
    ----------
    text : str
    together : bool
        Whether softmax and log_softmax may be named.

    Raises
    ------
    ModelError
        If there is no such activation, or its parameters are not right.
    """
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    known = {**PARAMETERS, **dict.fromkeys(TOGETHER if together else (), ())}
    if match is None or match[1] not in known:
        raise ModelError(f"expected an activation out of {', '.join(known)}, got {text!r}.")
    name, brackets = match[1], match[2]
    defaults = known[name]
    if brackets is None:
        return name, defaults
    try:
        given = tuple(float(number) for number in brackets.split(","))
    except ValueError:
        given = ()
    if len(given) != len(defaults) or not all(map(math.isfinite, given)):
        raise ModelError(
            f"activation {name}: expected {len(defaults)} finite parameters, got {text!r}."
        )
    return name, given


def name_activation(name: str, *parameters: float) -> str:
    """Return the text of an activation; :func:`parse_activation` reads it."""
    if not PARAMETERS.get(name):
        return name
    return f"{name}({', '.join(repr(float(p)) for p in parameters or PARAMETERS[name])})"
