"""Where the numbers of a result stand, behind the outputs: what the online stage says."""

from typing import NamedTuple


class ResultPlaces(NamedTuple):
    """Where what the online stage says stands in a result, float32[W], behind the O outputs.

    Attributes
    ----------
    low, high : int
        Bounds of the intervals: O for each level, the lowest level first. NaN while unknown, and on
        the side that an interval does not have.
    error : int
        O numbers: what came less what had been predicted for it; NaN where nothing is known.
    score, p_value, alarm, kind : int
        Of the anomaly stage; ``alarm`` is 0 or 1, ``kind`` a position in
        :data:`streamlstm.network.online.KINDS`.
    filled : int
        How many inputs were missing and filled.
    drift : int
        1 if forecasts have become worse than they were before, else 0: told once.
    covered : int
        O numbers: 1 if what came was inside the widest interval that had been forecast for it, 0 if
        not; NaN where nothing is known. For statistics, as those below: they are not sent.
    own_error, naive_error : int
        O numbers each: the size of the error, and of that of persistence, in units of the usual one
        of persistence; NaN where nothing is known.
    level : int
        2 O numbers: what is added to an output that forecasts the change of a counter, and to its
        bounds, as two floats, O of each; 0 for other outputs. Only where there is such an output.
    size : int
        W.
    """

    low: int
    high: int
    error: int
    score: int
    p_value: int
    alarm: int
    kind: int
    filled: int
    drift: int
    covered: int
    own_error: int
    naive_error: int
    level: int
    size: int


def result_places(outputs: int, levels: int, differenced: bool = False) -> ResultPlaces:
    """Return the places in a result of ``outputs`` outputs with so many levels of intervals.

    ``differenced`` tells whether an output forecasts the change of a counter.
    """
    high = outputs * (1 + levels)
    error = high + outputs * levels
    score = error + outputs
    filled = score + 4
    return ResultPlaces(
        low=outputs,
        high=high,
        error=error,
        score=score,
        p_value=score + 1,
        alarm=score + 2,
        kind=score + 3,
        filled=filled,
        drift=filled + 1,
        covered=filled + 2,
        own_error=filled + 2 + outputs,
        naive_error=filled + 2 + 2 * outputs,
        level=filled + 2 + 3 * outputs,
        size=filled + 2 + outputs * (5 if differenced else 3),
    )
