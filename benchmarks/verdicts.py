"""Is one side slower beyond noise? Judged by blocks that pairs of processes took in turns.

Blocks of one pair of processes share more than the moment: where memory lies, what a cache keeps.
So the interval resamples pairs of processes, and the blocks of each.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

THRESHOLD = 0.02  # less is no news
CONFIDENCE = 0.99
RESAMPLES = 4000
SLOWER, QUICKER, SAME = "slower", "quicker", "same"


class Verdict(NamedTuple):
    """The time of one side in units of the other's, and its interval."""

    ratio: float
    low: float
    high: float

    def word(self, threshold: float = THRESHOLD) -> str:
        """Say whether all of the interval is further from 1 than the threshold, and where."""
        if self.low > 1 + threshold:
            return SLOWER
        if self.high < 1 / (1 + threshold):
            return QUICKER
        return SAME


def compare(before: ArrayLike, after: ArrayLike) -> Verdict:
    """Return the median ratio of blocks that were measured beside each other.

    Parameters
    ----------
    before, after : float[P, N]
        Seconds of N blocks in each of P pairs of processes.
    """
    ratios = np.log(after) - np.log(before)
    P, N = ratios.shape
    rng = np.random.default_rng(0)
    pairs = rng.integers(P, size=(RESAMPLES, P, 1))
    medians = np.median(ratios[pairs, rng.integers(N, size=(RESAMPLES, P, N))], axis=(1, 2))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.exp(np.quantile(medians, (tail, 1 - tail))).tolist()
    return Verdict(float(np.exp(np.median(ratios))), low, high)
