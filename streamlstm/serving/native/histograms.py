"""Count values in the histograms of the counters; in Python it is ../counters.py."""

import numpy as np
from numba import int64

from ...kernels.cache import internal
from ...kernels.pointers import int64s_at, leading_zeros
from . import layout


@internal
def count_in(loop, histogram, value, unit):
    """Count a value in a histogram of the counters, in the bucket of ``counters.bucket_of``."""
    cells = int64s_at(loop[layout.COUNTS] + 8 * histogram, int64(layout.HISTOGRAM))
    cells[0] += value
    bucket = int64(0)
    if value >> unit > 0:
        octave = 63 - leading_zeros(np.uint64(value >> unit))
        below = octave + unit - 1
        half = int64(0)
        if below >= 0:
            half = value >> below & 1
        bucket = min(2 * octave + half + 1, layout.BUCKETS - 1)
    cells[1 + bucket] += 1
