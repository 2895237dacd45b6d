"""Orders of gates: every framework stacks them in an order of its own."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# The order of streamlstm.network.layers, by the letters that others use.
LSTM = "ifgo"
GRU = "rzn"


def reorder(array: NDArray[Any], order: str, wanted: str, axis: int = 0) -> NDArray[Any]:
    """Return ``array`` with its gates in another order.

    Parameters
    ----------
    array : array
        Along ``axis`` one part of equal size for each letter of ``order``.
    order : str
        The order in the source, a letter a gate: ``"iofg"``.
    wanted : str
        The letters of ``order`` in the order they shall have; a letter left out is dropped.
    axis : int

    Returns
    -------
    array
    """
    parts = np.split(array, len(order), axis=axis)
    return np.concatenate([parts[order.index(gate)] for gate in wanted], axis=axis)
