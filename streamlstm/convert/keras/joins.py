"""Handlers of layers of Keras that join branches."""

from ...errors import ConvertError
from .branches import MERGES, add_joined, branches_of, kind_of
from .context import Context
from .network import KerasLayer
from .operations import one_behind_the_other
from .unsupported import reason


def join(context: Context, layer: KerasLayer) -> None:
    """Add, Average, Subtract, Multiply and Concatenate."""
    kind = kind_of(layer)
    if kind not in MERGES:
        raise ConvertError(f"{layer.where} is refused: {reason(layer.kind)}.")
    parts = branches_of(context, layer)
    if kind == "Concatenate" and _joins_steps(parts, layer):
        one_behind_the_other(context, layer, parts)
        return
    if kind == "Subtract":
        parts[1].builder.scale(-1, 0, layer.where)
    add_joined(context, layer, parts, MERGES[kind])
    if kind == "Average":
        context.builder.scale(1 / len(parts), 0, layer.where)


def _joins_steps(parts: list[Context], layer: KerasLayer) -> bool:
    """Tell whether steps are concatenated, not features."""
    axis = layer.config.get("axis", -1)
    vectors = all(part.time == 0 for part in parts)
    if axis in (-1, 1 if vectors else 2):
        return False
    if vectors or axis not in (1, -2):
        raise ConvertError(f"{layer.where}: expected axis -1, the features, got {axis}.")
    return True
