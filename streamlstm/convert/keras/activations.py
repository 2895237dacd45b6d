"""Activations of Keras: names, functions and layers."""

from typing import Any

from ...errors import ConvertError
from ...network.activations import WITHOUT_PARAMETERS, name_activation

_SAME = {*WITHOUT_PARAMETERS, "elu", "softmax", "log_softmax"}
_OTHERS = {
    "swish": "silu",
    "hard_swish": "hard_silu",
    "relu6": name_activation("hard_tanh", 0, 6),
    "leaky_relu": name_activation("leaky_relu", 0.2),
    "celu": name_activation("elu", 1),
    "hard_tanh": name_activation("hard_tanh", -1, 1),
    "sparse_sigmoid": name_activation("hard_sigmoid", 0.5, 0.5),
    "exp": "exponential",
}
# Functions in a graph, without parameters: of keras.ops, and of TensorFlow in Keras 2.
_FUNCTIONS = {
    **{name.capitalize(): name for name in ("relu", "tanh", "sigmoid", "softplus", "softsign")},
    **{name.capitalize(): name for name in ("silu", "selu", "relu6", "exp")},
    **{f"nn.{name}": name for name in ("relu", "tanh", "sigmoid", "softplus", "softsign")},
    **{f"nn.{name}": name for name in ("silu", "selu", "relu6")},
    **{f"math.{name}": name for name in ("tanh", "sigmoid", "softplus", "exp")},
}
# Layers that are an activation and nothing else.
LAYERS = ("Activation", "ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Softmax")


def read_activation(value: Any, major: int, where: str) -> str:
    """Return the activation in a configuration.

    Parameters
    ----------
    value : str, dict or None
        A name, a serialized function or layer; None is linear.
    major : int
        Version of Keras that wrote it: version 3 changed the hard sigmoid.
    where : str
        Name of the layer, for messages.

    Raises
    ------
    ConvertError
        If the activation is not known.
    """
    if isinstance(value, dict):
        name, config = value.get("class_name"), value.get("config")
        if name in LAYERS and isinstance(config, dict):
            return read_layer(name, config, major, where)
        if name == "function" and value.get("registered_name") in (None, "function", config):
            value = config
    if value is None:
        return "linear"
    if value == "hard_sigmoid":
        return name_activation("hard_sigmoid", *((0.2, 0.5) if major < 3 else (1 / 6, 0.5)))
    if isinstance(value, str) and (value in _SAME or value in _OTHERS):
        return _OTHERS.get(value, value)
    shown = value.get("class_name", value) if isinstance(value, dict) else value
    known = ", ".join(sorted({*_SAME, *_OTHERS, "hard_sigmoid"}))
    raise ConvertError(f"{where}: the activation {shown!r} is not among those known: {known}.")


def read_layer(kind: str, config: dict[str, Any], major: int, where: str) -> str:
    """Return the activation of a layer whose class is in ``LAYERS``.

    Raises
    ------
    ConvertError
        If the activation is not known.
    """
    if kind == "Activation":
        return read_activation(config.get("activation"), major, where)
    if kind == "ReLU":
        return _relu(config, where)
    if kind == "LeakyReLU":
        slope = config.get("negative_slope", config.get("alpha", 0.3))
        return name_activation("leaky_relu", number(slope, where))
    if kind == "ELU":
        return name_activation("elu", number(config.get("alpha", 1.0), where))
    if kind == "ThresholdedReLU":
        return name_activation("thresholded_relu", number(config.get("theta", 1.0), where))
    axis = config.get("axis", -1)
    if axis not in (-1, [-1], 2, [2]):
        raise ConvertError(f"{where}: expected softmax over the last axis, got axis {axis}.")
    return "softmax"


def read_function(kind: str, config: dict[str, Any]) -> str | None:
    """Return the activation of a function in a graph; None if it is not one."""
    if kind == "Clip":
        limits = (number(config.get(key), kind) for key in ("x_min", "x_max"))
        return name_activation("hard_tanh", *limits)
    name = _FUNCTIONS.get(str(config.get("function")) if kind == "TFOpLambda" else kind)
    return _OTHERS.get(name, name) if name else None


def number(value: Any, where: str) -> float:
    """Return a number in a configuration; Keras 2 sometimes wraps it as an array."""
    if isinstance(value, dict):
        inner = value.get("value", value.get("config"))
        return number(inner.get("value") if isinstance(inner, dict) else inner, where)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConvertError(f"{where}: expected a number, got {value!r}.")
    return float(value)


def _relu(config: dict[str, Any], where: str) -> str:
    """``max_value`` above it, ``x`` above threshold, ``negative_slope (x - threshold)`` below."""
    top = config.get("max_value")
    slope, threshold = (
        number(config.get(key) or 0, where) for key in ("negative_slope", "threshold")
    )
    if top is None and threshold == 0:
        return name_activation("leaky_relu", slope) if slope else "relu"
    if slope == 0 and threshold == 0:
        return name_activation("hard_tanh", 0, number(top, where))
    if top is None and slope == 0:
        return name_activation("thresholded_relu", threshold)
    raise ConvertError(
        f"{where}: expected a ReLU with one of max_value, negative_slope and threshold, "
        f"got {top}, {slope} and {threshold}."
    )
