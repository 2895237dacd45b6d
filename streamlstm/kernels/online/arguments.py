"""What the kernels before and behind the layers read of a task and a group (kernels/layout.py)."""

import numpy as np
from numba import int64, njit, uint64

from .. import layout
from ..arguments import UNBOUNDED, arrays
from ..pointers import float_of, floats_at, int64s_at


@njit(inline="always")
def unpack(task, group):
    """Return weights, program, state rows, slots, X, Y and scratch."""
    fields = int64s_at(task, layout.TASK)
    weights, program, S, slots, scratch = arrays(task, group)
    X = floats_at(fields[layout.TASK_X], UNBOUNDED)
    Y = floats_at(fields[layout.TASK_Y], UNBOUNDED)
    return weights, program, S, slots, X, Y, scratch


@njit(inline="always")
def time_of(task, n):
    """Return the event time of an observation of the block, NaN if it has none."""
    times = int64s_at(task, layout.TASK)[layout.TASK_TIMES]
    if times == 0:
        return np.nan
    return float_of(uint64(int64s_at(times + 8 * n, int64(1))[0]))
