"""The numbers that the online stage keeps of a stream, in the order of the state row."""

from ..errors import ModelError
from ..network.model import Model
from . import intervals

MAX_HORIZON = 1_024  # of a model whose stage compares forecasts with what comes


def stage_columns(model: Model) -> dict[str, int]:
    """Return how many floats each part of the stage keeps; empty for a model without a stage.

    - ``inputs``: F, the inputs of the last step as they were filled.
    - ``position``: 1, the place in the rings of the forecast that is due with this step.
    - ``forecasts``: O for each step of the horizon, a ring.
    - ``intervals``: for each output those of :func:`.intervals.columns`.

    Raises
    ------
    ModelError
        If the horizon is too long for that.
    """
    online = model.online
    if online is None:
        return {}
    if model.horizon > MAX_HORIZON:
        raise ModelError(
            f"online: expected a horizon of at most {MAX_HORIZON} steps, got {model.horizon}: every "
            "stream keeps its forecasts until what they speak of has come."
        )
    ring = ring_length(model)
    columns = {"inputs": model.input_size, "position": 1, "forecasts": model.output_size * ring}
    if levels := len(online.intervals):
        size = sum(intervals.columns(levels, ring).values())
        columns["intervals"] = model.output_size * size
    return columns


def ring_length(model: Model) -> int:
    """Return how many forecasts of a stream are kept until what they speak of has come."""
    return max(model.horizon, 1)


def stage_places(model: Model, start: int = 0) -> dict[str, slice]:
    """Return the columns of each part, from ``start`` on."""
    places = {}
    for name, size in stage_columns(model).items():
        places[name] = slice(start, start + size)
        start += size
    return places
