"""What the kernels before and behind the layers read of a task and a group (kernels/layout.py)."""

import numpy as np
from numba import int64, njit, uint64

from .. import layout
from ..arguments import ROWS_AT, UNBOUNDED, arrays
from ..cache import inlined
from ..layout import GROUP, PAD
from ..pointers import float_of, floats_at, int64s_at

DIGITS = 1 << 24  # whole numbers that float32 holds
LARGEST_COUNT = DIGITS * DIGITS - 2  # where the count of steps stops


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


@inlined
def work_at(program):
    """Return where in the scratch outputs, the stage's vectors, and other work have their room.

    They are behind the rows of the layers (step.scratch_size).
    """
    out = ROWS_AT + GROUP * (2 * program[layout.STRIDE] + program[layout.WORKSPACE])
    room = (program[layout.OUTPUTS] + PAD - 1) // PAD * PAD
    return out, out + room, out + 2 * room


@inlined
def steps_of(S, at):
    """Return the number of steps in two floats."""
    return int64(S[at]) * DIGITS + int64(S[at + 1])


@inlined
def count_step(S, at):
    """Count a step in two floats; return how many there were before."""
    count = steps_of(S, at)
    after = min(count + 1, LARGEST_COUNT)
    S[at] = after // DIGITS
    S[at + 1] = after % DIGITS
    return count


@inlined
def place_of(count, ring):
    """Return the place in a ring of the forecast that is due after ``count`` steps."""
    return count % ring if ring > 1 else 0  # a division takes as long as much of the rest
