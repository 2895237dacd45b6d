"""How much arithmetic a step is."""

from ..network.layers import Embedding
from ..network.model import Model
from ..network.window import rows_through

# Streams that together have so many weights to be multiplied are quicker in blocks, which share
# what they read, than one by one, without a call for every row.
BLOCK_WORK = 1_000_000


def few_streams(model: Model) -> int:
    """Return of how many streams more than which a block is quicker than each by itself."""
    return BLOCK_WORK // max(sum(array.size for w in model.weights for array in w.values()), 1)


def multiply_adds(model: Model) -> int:
    """Return the multiply-adds of one step of one stream, about."""
    times = [1] * len(model.layers)
    if model.window is not None:
        rows = rows_through(model.layers, model.window)
        # A recurrent layer takes each row that comes, others make each that goes out.
        times = [rows[n + (not layer.state)] for n, layer in enumerate(model.layers)]
    return sum(
        times[n] * array.size
        for n, (layer, weights) in enumerate(zip(model.layers, model.weights, strict=True))
        if not isinstance(layer, Embedding)
        for array in weights.values()
    )
