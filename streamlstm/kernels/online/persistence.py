"""Errors of a forecast and of persistence; the equations are in online/persistence.py."""

import math

from numba import float64

from ..cache import inlined

MEMORY = 0.001  # weight of an error in the usual one; before, 1 / (steps + 1)
OUTLIER = 50.0  # an error counts as at most this many times the usual one for that,
MOST = 100.0  # and as this many where it is told
SMALLEST, LARGEST = 1e-30, 1e30  # of the usual one
LARGEST_ERROR = 3.4028234663852886e38  # that float32 holds: the next is infinite


@inlined
def bounded_error(error):
    """Return an error that float32 holds, however far two values are apart; NaN as it is."""
    if abs(error) > LARGEST_ERROR:
        error = LARGEST_ERROR if error > 0.0 else -LARGEST_ERROR
    return error


@inlined
def relative_errors(S, usual_at, held_at, value, error, count):
    """Return the errors of a forecast and of persistence in units of the usual one of the latter.

    Parameters
    ----------
    S : float32[N]
        State rows.
    usual_at, held_at : int64
        Of the usual error, and of the value when the forecast was made.
    value, error : float64
        What came, less the forecast; NaN: not known.
    count : int64
        Steps that the stream has made before.

    Returns
    -------
    (float64, float64)
        NaN where nothing is known.
    """
    usual, missed = float64(S[usual_at]), abs(value - float64(S[held_at]))
    if not (missed == missed and error == error):
        return math.nan, math.nan
    weight = max(1.0 / (count + 1.0), MEMORY)
    learned = usual + weight * (min(missed, OUTLIER * usual) - usual)
    learned = min(missed if usual == 0.0 else learned, LARGEST)
    S[usual_at] = learned if learned > SMALLEST else 0.0
    unit = 1.0 / usual if usual > 0.0 else math.nan
    return min(abs(error) * unit, MOST), min(missed * unit, MOST)
