"""Orders of gates: each framework stacks them in its own order."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# The orders of streamlstm.network.layers, in the letters of the other frameworks.
LSTM = "ifgo"
GRU = "rzn"


def reorder(array: NDArray[Any], order: str, wanted: str, axis: int = 0) -> NDArray[Any]:
    """Return ``array`` with its gates in another order.

    Parameters
    ----------
    array : array
        Has one part of equal size along ``axis`` for each letter of ``order``.
    order : str
        Order in the source, one letter for each gate: ``"iofg"``.
    wanted : str
        The letters of ``order`` in the wanted order; the gate of a missing letter is dropped.
    axis : int

    Returns
    -------
    array
    """
    parts = np.split(array, len(order), axis=axis)
    return np.concatenate([parts[order.index(gate)] for gate in wanted], axis=axis)
