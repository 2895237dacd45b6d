"""Are forecasts better than persistence, the forecast that nothing changes? The specification.

A value v came, for which h steps ago y had been forecast when the value was v'. In units of the
usual error s of persistence, the errors of both are

    own = min(|v - y| / s, 100),    naive = min(|v - v'| / s, 100)
    s <- s + a (min(|v - v'|, 50 s) - s),    a = max(1 / (steps + 1), 0.001)

so that they can be added up over streams of any unit: the sum of ``own`` by that of ``naive`` is
the error ratio. It is the relative mean absolute error of Hyndman and Koehler (Another look at
measures of forecast accuracy, 2006), with their scaling by what persistence misses. Nothing is told
while s is 0, that is before a stream has changed for the first time.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online.persistence import LARGEST, MEMORY, MOST, OUTLIER, SMALLEST

Array = NDArray[Any]


def step(
    came: Array, error: Array, held: Array, usual: Array, count: Array
) -> tuple[Array, Array, Array]:
    """Compare the errors of forecasts with those of persistence.

    Parameters
    ----------
    came, error : float64[B, n]
        What came, and that less what had been forecast; NaN: not known.
    held : float[B, n]
        The value when the forecast was made.
    usual : float[B, n]
        The usual error of persistence, 0 before the first.
    count : int[B]
        Steps that each stream has made before.

    Returns
    -------
    tuple of float64[B, n]
        Both errors, NaN where nothing is known, and the usual one after them.
    """
    missed, usual = np.abs(came - held), usual.astype(np.float64)
    known = ~np.isnan(missed) & ~np.isnan(error)
    weight = np.maximum(1 / (count + 1.0), MEMORY)[:, None]
    learned = usual + weight * (np.minimum(missed, OUTLIER * usual) - usual)
    learned = np.minimum(np.where(usual == 0, missed, learned), LARGEST)
    learned = np.where(learned > SMALLEST, learned, 0)
    unit = np.where(known & (usual > 0), usual, np.nan)
    own, naive = (np.minimum(np.abs(size) / unit, MOST) for size in (error, missed))
    return own, naive, np.where(known, learned, usual)
