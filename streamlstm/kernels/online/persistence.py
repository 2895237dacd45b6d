"""Errors of a forecast and of persistence; the equations are in online/persistence.py."""

import math

from ..cache import inlined

MEMORY = 0.001  # weight of an error in the usual one; before, 1 / (steps + 1)
OUTLIER = 50.0  # an error counts as at most this many times the usual one for that,
MOST = 100.0  # and as this many where it is told
SMALLEST, LARGEST = 1e-30, 1e30  # of the usual one


@inlined
def relative_errors(usual, held, value, error, count):
    """Return the errors of a forecast and of persistence in units of the usual one of the latter.

    There are no branches, so that LLVM can take the streams of a tile at once (forecast_block.py).

    Parameters
    ----------
    usual, held : float64
        The usual error of persistence, and the value when the forecast was made.
    value, error : float64
        What came, less the forecast; NaN: not known.
    count : float64
        Steps that the stream has made before.

    Returns
    -------
    (float64, float64, float64)
        The two errors, NaN where nothing is known; and what is usual from now on.
    """
    missed = abs(value - held)
    known, begins = (missed == missed) & (error == error), usual == 0.0
    weight = max(1.0 / (count + 1.0), MEMORY)
    learned = usual + weight * (min(missed, OUTLIER * usual) - usual)
    learned = min(missed if begins else learned, LARGEST)
    learned = learned if learned > SMALLEST else 0.0
    unit = 1.0 / (1.0 if begins else usual)
    own, naive = min(abs(error) * unit, MOST), min(missed * unit, MOST)
    told = known & (usual > 0.0)
    return own if told else math.nan, naive if told else math.nan, learned if known else usual
