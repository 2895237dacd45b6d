"""Where forecasts were worst: stretches of consecutive rows, and means over such stretches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .forecasts import Float64Array, Forecasts, Rows

LONGEST, FEWEST = 100, 20  # rows of a stretch at most, and how many stretches a stream has at least
MOST = 5  # stretches that are told


@dataclass(frozen=True)
class Stretch:
    """Consecutive scored rows of one stream.

    Attributes
    ----------
    first_row, last_row : int
        Rows of the table that the first and the last of its forecasts spoke of.
    mae : float
        Mean absolute error, in the unit of the column.
    times : float
        That error as a multiple of the stream's, above 1.
    """

    first_row: int
    last_row: int
    mae: float
    times: float


def worst_stretches(forecasts: Forecasts, rows: Rows) -> tuple[Stretch, ...]:
    """Return the `MOST` stretches with the largest errors at most, the worst first.

    Those whose error is not above the stream's are left out.

    Parameters
    ----------
    forecasts : Forecasts
    rows : int[k]
        Scored rows of one stream, in order.
    """
    return worst_of(np.abs(forecasts.error[rows]), forecasts.aimed[rows])


def worst_of(errors: Float64Array, aimed: Rows) -> tuple[Stretch, ...]:
    """Return the same of errors of one stream, in order.

    Parameters
    ----------
    errors : float64[k]
        Sizes of errors.
    aimed : int[k]
        The row of the table that each forecast spoke of.
    """
    if not len(errors):
        return ()
    starts, means = stretch_means(errors, stretch_length(len(errors)))
    ends = np.append(starts[1:], len(errors))
    overall = float(errors.mean())
    order = np.argsort(-means, kind="stable")[:MOST]
    return tuple(
        Stretch(
            first_row=int(aimed[starts[n]]),
            last_row=int(aimed[ends[n] - 1]),
            mae=float(means[n]),
            times=float(means[n]) / overall,
        )
        for n in order.tolist()
        if means[n] > overall
    )


def stretch_length(rows: int) -> int:
    """Return the rows of a stretch."""
    return max(min(LONGEST, rows // FEWEST), 1)


def stretch_means(errors: Float64Array, length: int) -> tuple[Rows, Float64Array]:
    """Return the start of each stretch of about ``length`` errors, and its mean."""
    # What is left over is a stretch of its own from half the length on, else part of the last.
    starts = np.arange(0, len(errors) - (length + 1) // 2 + 1, length)
    counts = np.diff(np.append(starts, len(errors)))
    return starts, np.add.reduceat(errors, starts) / counts
