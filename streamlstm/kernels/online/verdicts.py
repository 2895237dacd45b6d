"""The verdicts on what came to a stream, of which one is told: the most unusual."""

from numba import float64

from .. import layout
from ..cache import inlined
from . import table
from .anomaly import GAP_ALARM, MISSING, NONE

# What is known before the first verdict: as `merge` returns it.
NOTHING = (0.0, 1.0, 0.0, 0.0, -1.0, 2.0)


@inlined
def merge(verdict, most, count, gap):
    """Add the verdict on one input to what is known of the others: the most unusual is told.

    Parameters
    ----------
    verdict : tuple of float64
        Score, p-value, alarm and kind.
    most : tuple of float64
        The same so far, and rank and p-value of its kind.
    count : int64
        Of all that is judged.
    gap : float64
        Missing values of this input in succession.
    """
    score, p, alarm, kind = verdict
    most_score, least_p, any_alarm, told, best, of_kind = most
    p = min(p * count, 1.0)
    # The kind of an alarm that begins, else of one that stands, else that values are missing.
    rank = 3.0 if alarm > 0.0 else 0.0 if kind == NONE else 2.0
    if kind == MISSING and alarm == 0.0:
        rank = 1.0 if gap >= GAP_ALARM else 0.0
    if rank > best or (rank == best and p < of_kind):
        best, of_kind, told = rank, p, kind if rank > 0.0 else float64(NONE)
    return max(most_score, score), min(least_p, p), max(any_alarm, alarm), told, best, of_kind


@inlined
def write_verdict(program, most, absent, Y, y):
    """Write score, p-value, alarm and kind to the result."""
    stage = program[layout.STAGE]
    Y[y + program[stage + table.SCORE]] = most[0]
    Y[y + program[stage + table.P_VALUE]] = most[1]
    Y[y + program[stage + table.ALARM]] = most[2]
    Y[y + program[stage + table.KIND]] = float64(MISSING) if absent and most[3] == NONE else most[3]
