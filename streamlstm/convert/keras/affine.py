"""Arithmetic with numbers in a graph of Keras: ``(x - 1.5) / 4``."""

from typing import TYPE_CHECKING, Any, TypeGuard

from .calls import CONSTANT
from .file import Config

if TYPE_CHECKING:
    from .network import KerasLayer

# Functions of Keras 2 in a graph; in Keras 3 these are layers.
_FUNCTIONS = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "TrueDivide",
    "math.divide": "TrueDivide",
}


def number_of(layer: "KerasLayer") -> float | None:
    """Return the number in a call of a tensor and a number; None of any other call."""
    given = _numbers(layer.calls)
    return None if given is None else given[0]


def scale_of(layer: Config) -> float | None:
    """Return the number by which a layer in a file multiplies; None if it does anything else."""
    found = _affine(str(layer.get("class_name")), layer["config"], layer.get("inbound_nodes"))
    return None if found is None or found[1] else found[0]


def read_affine(layer: "KerasLayer") -> tuple[float, float] | None:
    """Return weight and bias if a layer computes ``x * weight + bias`` with numbers in its call."""
    return _affine(layer.kind, layer.config, layer.calls)


def _affine(kind: str, config: Config, calls: Any) -> tuple[float, float] | None:
    if kind == "TFOpLambda":
        kind = _FUNCTIONS.get(str(config.get("function")), "")
    if kind not in ("Add", "Subtract", "Multiply", "TrueDivide", "Divide"):
        return None
    given = _numbers(calls)
    if given is None:
        return None
    number, first = given
    if kind == "Add":
        return 1.0, number
    if kind == "Subtract":
        return (-1.0, number) if first else (1.0, -number)
    if kind == "Multiply":
        return number, 0.0
    return None if first or number == 0 else (1 / number, 0.0)


def _numbers(calls: Any) -> tuple[float, bool] | None:
    """Return the number in a call of a tensor and a number, and whether it comes first."""
    call = calls[0] if isinstance(calls, list) and calls else None
    if isinstance(call, dict):  # Keras 3
        args = [*call.get("args", ()), *call.get("kwargs", {}).values()]
        if len(args) == 2 and sum(map(_is_number, args)) == 1:
            return float(args[0] if _is_number(args[0]) else args[1]), _is_number(args[0])
    while isinstance(call, list) and call and isinstance(call[0], list):
        call = call[0]
    if isinstance(call, list) and len(call) == 4 and isinstance(call[3], dict):  # Keras 2
        if call[0] == CONSTANT:
            return (float(call[2]), True) if _is_number(call[2]) else None
        number = call[3].get("y")
        return (number, False) if _is_number(number) else None
    return None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
