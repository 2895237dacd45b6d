"""Count what the online stage says in results; the compiled loop does it in native/results.py."""

import numpy as np
from numpy.typing import NDArray

from ..network.online import ResultPlaces
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
    covered = results[:, places.covered : places.level]
    for place, count in (
        (layout.ALARMS, (results[:, places.alarm] > 0).sum()),
        (layout.FILLED, results[:, places.filled].sum()),
        (layout.ABSENT, np.isnan(results[:, 0]).sum()),
        (layout.DRIFTS, (results[:, places.drift] > 0).sum()),
        (layout.JUDGED, (covered == covered).sum()),
        (layout.COVERED, (covered > 0).sum()),
    ):
        counters.add(place, int(count))
