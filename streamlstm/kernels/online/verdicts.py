"""Verdicts on what came to a stream, of which one is told: the most unusual."""

from numba import float64

from ..cache import inlined
from .anomaly_columns import GAP_ALARM, MISSING, NONE


@inlined
def merge(verdict, most, count, gap):
    """Add the verdict on one input to what is known of the others: the most unusual is told.

    Parameters
    ----------
    verdict : tuple of float64
        Score, p-value, alarm and kind.
    most : tuple of float64
        The same so far, and rank and p-value of its kind.
    count : float64
        Of all that is judged.
    gap : float64
        Missing values of this input in succession.
    """
    score, p, alarm, kind = verdict
    most_score, least_p, any_alarm, told, best, of_kind = most
    p = min(p * count, 1.0)
    # The kind of an alarm that begins, else of one that stands, else that values are missing.
    is_missing = (kind == MISSING) & (alarm == 0.0)
    rank = 3.0 if alarm > 0.0 else 0.0 if kind == NONE else 2.0
    rank = (1.0 if gap >= GAP_ALARM else 0.0) if is_missing else rank
    more = (rank > best) | ((rank == best) & (p < of_kind))
    kind = kind if rank > 0.0 else float64(NONE)
    best, of_kind = rank if more else best, p if more else of_kind
    return (
        max(most_score, score), min(least_p, p), max(any_alarm, alarm), kind if more else told,
        best, of_kind,
    )  # fmt: skip


NOTHING = (0.0, 1.0, 0.0, 0.0, -1.0, 2.0)  # what is known before the first verdict


@inlined
def kind_of(kind, absent):
    """Return the kind that is told, if an input may have been missing for too long."""
    return float64(MISSING) if absent & (kind == NONE) else kind
