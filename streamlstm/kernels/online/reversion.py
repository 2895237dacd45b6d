"""How far a stream goes back to its middle in some rows; specified in online/reversion.py."""

from numba import float64

from ..cache import inlined

LONG = 8  # rows of the shortest look back; the next ones are twice as long each
LOOKS = 4
LONGEST = float(LONG * 2 ** (LOOKS - 1))
SHARES = 3  # of the way to the median: none, half, all of it
USUAL_SIZES = 80.0  # usual changes that a miss counts at most
MEMORY = 0.97  # what older misses still weigh after one more
CREDIT = 0.95  # the misses of the last value count so much: another has to be better
MEDIAN_RATE, MEDIAN_START = 0.02, 4.0  # of a usual change; and at first, over n + 3


@inlined
def next_median(median, value, size, seen, first):
    """Return the running median after a value."""
    step = size * max(MEDIAN_START / (seen + 3.0), MEDIAN_RATE)
    moved = median + (step if value > median else 0.0) - (step if value < median else 0.0)
    return value if first else moved


@inlined
def is_look(rows):
    """Tell whether something is learned so many rows after a look back began; 0: none has."""
    two = (rows == 1.0 * LONG) | (rows == 2.0 * LONG) | (rows == 4.0 * LONG)
    return two | (rows == 0.0) | (rows >= LONGEST)


@inlined
def look_back(S, place, F, rows, value, size, median):
    """Learn from a value, ``rows`` after the look back began; return the rows for the next one.

    Parameters
    ----------
    S : float32[...]
        State rows; at ``S[place + c F]`` stand, in this order, the value and the median then, and
        the misses of each share and length.
    place, F : int64
    rows : float64
        One of those that :func:`is_look` names.
    value, size, median : float64
        What came, the usual size of a change, and the median now.

    Returns
    -------
    float64
    """
    then, way = float64(S[place]), float64(S[place + F]) - float64(S[place])
    length = 1.0 * LONG
    for look in range(LOOKS):
        if rows == length:
            for share in range(SHARES):
                c = place + (2 + SHARES * look + share) * F
                miss = min(abs(value - then - 0.5 * share * way), USUAL_SIZES * size)
                S[c] = MEMORY * float64(S[c]) + miss
        length *= 2.0
    if rows == 0.0 or rows >= LONGEST:
        S[place] = value
        S[place + F] = median
        rows = 0.0
    return rows + 1.0


@inlined
def share_of(S, place, F, look):
    """Return the share of the way to the median with the smallest misses, of one length."""
    c = place + (2 + SHARES * look) * F
    none, half, whole = CREDIT * float64(S[c]), float64(S[c + F]), float64(S[c + 2 * F])
    bend = none + whole - 2.0 * half
    if bend > 0.0:
        return max(0.0, min(1.0, 0.5 + 0.25 * (none - whole) / bend))
    return 1.0 if whole < none else 0.0
