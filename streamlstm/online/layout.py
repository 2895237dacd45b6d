"""The numbers that the online stage keeps of a stream, in the order of the state row."""

from ..errors import ModelError
from ..network.model import Model

MAX_HORIZON = 1_024  # of a model whose stage compares forecasts with what comes


def stage_columns(model: Model) -> dict[str, int]:
    """Return how many floats each part of the stage keeps; empty for a model without a stage.

    - ``inputs``: F, the inputs of the last step as they were filled.
    - ``position``: 1, the place in the rings of the forecast that is due with this step.
    - ``forecasts``: O for each step of the horizon, a ring.

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
    return {
        "inputs": model.input_size,
        "position": 1,
        "forecasts": model.output_size * max(model.horizon, 1),
    }


def stage_places(model: Model, start: int = 0) -> dict[str, slice]:
    """Return the columns of each part, from ``start`` on."""
    places = {}
    for name, size in stage_columns(model).items():
        places[name] = slice(start, start + size)
        start += size
    return places
