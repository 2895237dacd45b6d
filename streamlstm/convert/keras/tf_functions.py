"""Functions of TensorFlow in a graph of Keras 2, as layers or functions of Keras."""

from typing import Any

from .file import Config

# What a function is called, and what its arguments are called behind the tensor, in their order.
_SAME: dict[str, tuple[str, tuple[str, ...]]] = {
    "expand_dims": ("ExpandDims", ("axis",)),
    "squeeze": ("Squeeze", ("axis",)),
    "compat.v1.squeeze": ("Squeeze", ("axis",)),
    "reshape": ("Reshape", ("shape",)),
    "transpose": ("Permute", ("perm",)),
    "compat.v1.transpose": ("Permute", ("perm",)),
    "math.reduce_mean": ("Mean", ("axis", "keepdims")),
    "math.reduce_sum": ("Sum", ("axis", "keepdims")),
    "math.reduce_max": ("Max", ("axis", "keepdims")),
    "nn.softmax": ("Softmax", ("axis",)),
    "math.abs": ("Absolute", ()),
    "math.square": ("Square", ()),
    "math.negative": ("Negative", ()),
    "math.maximum": ("Maximum", ()),
    "math.minimum": ("Minimum", ()),
    "linalg.matmul": ("Matmul", ("b", "transpose_a", "transpose_b")),
    "concat": ("Concatenate", ("axis",)),
}


def as_layer(kind: str, config: Config, calls: Any) -> tuple[str, Config]:
    """Return class and configuration of a layer that does what a function in a graph does.

    Functions that are read as they are (arithmetic with numbers, activations) stay as they are.
    """
    if kind == "Transpose":  # keras.ops.transpose
        return _permuted(config, config.get("axes"))
    if kind == "Reshape" and "newshape" in config:  # keras.ops.reshape
        return kind, {**config, "target_shape": _behind_batch(config["newshape"])}
    if kind != "TFOpLambda" or config.get("function") not in _SAME:
        return kind, config
    kind, names = _SAME[config["function"]]
    given = _options(calls)
    found = {**config, **{name: given[name] for name in names if given.get(name) is not None}}
    found.pop("function")
    if kind == "Permute":
        return _permuted(found, found.get("perm"))
    if kind == "Reshape":
        found["target_shape"] = _behind_batch(found.get("shape"))
    if kind == "Softmax":
        found.setdefault("axis", -1)
    return kind, found


def _permuted(config: Config, axes: Any) -> tuple[str, Config]:
    if not isinstance(axes, list | tuple) or list(axes)[:1] != [0]:
        return "Transpose", config
    return "Permute", {**config, "dims": list(axes)[1:]}


def _behind_batch(shape: Any) -> list[int] | None:
    return list(shape)[1:] if isinstance(shape, list | tuple) else None


def _options(calls: Any) -> dict[str, Any]:
    """Return the named arguments of a call; Keras 2 has them behind its first tensor."""
    call = calls[0] if isinstance(calls, list) and calls else None
    while isinstance(call, list) and call and isinstance(call[0], list):
        call = call[0]
    found = call[3] if isinstance(call, list) and len(call) > 3 else {}
    return found if isinstance(found, dict) else {}
