"""Count what the online stage says in results; the compiled loop does it in native/results.py."""

import numpy as np
from numpy.typing import NDArray

from ..network.result_places import ResultPlaces
from .counters import Counters
from .native import layout


def count_results(counters: Counters, results: NDArray[np.float32], places: ResultPlaces) -> None:
    """Count alarms, missing values and intervals.

    Parameters
    ----------
    counters : Counters
    results : float32[B, W]
        Of observations that were applied.
    places : ResultPlaces
    """
    of_outputs = results[:, places.covered : places.level].astype(np.float64)
    covered, own, naive = np.split(of_outputs, 3, axis=1)
    for place, count in (
        (layout.ALARMS, (results[:, places.alarm] > 0).sum()),
        (layout.FILLED, results[:, places.filled].sum()),
        (layout.ABSENT, np.isnan(results[:, 0]).sum()),
        (layout.DRIFTS, (results[:, places.drift] > 0).sum()),
        (layout.JUDGED, (covered == covered).sum()),
        (layout.COVERED, (covered > 0).sum()),
        (layout.OWN_ERROR, _in_units(own)),
        (layout.NAIVE_ERROR, _in_units(naive)),
    ):
        counters.add(place, int(count))


def _in_units(errors: NDArray[np.float64]) -> int:
    """Return the sum of errors as a whole number; NaN where nothing is known."""
    return int(np.nan_to_num(errors * layout.ERROR_UNIT).astype(np.int64).sum())
