"""Changes of counters, and their levels; specified in online/differences.py."""

import numpy as np
from numba import float32, float64

from .. import layout
from ..cache import inlined
from . import table

# Columns, each for all counters: the last value as two floats, rows since it came and 0 before the
# first, and the level as two floats.
LAST, LAST_LOW, ROWS, LEVEL, LEVEL_LOW = range(5)
COLUMNS = 5
MAX_ROWS = 2.0**24 - 1.0
LARGEST = 3.4028234663852886e38  # that float32 holds


@inlined
def take_changes(program, S, row, X, x):
    """Replace the counters in an observation by their changes, NaN where they are missing."""
    stage = program[layout.STAGE]
    count = program[stage + table.DIFFERENCE_COUNT]
    at, counters = row + program[stage + table.DIFFERENCES], program[stage + table.DIFFERENCE_LIST]
    for d in range(count):
        n = program[stage + counters + d]
        high, low = X[x + n], X[x + program[layout.INPUTS] + d]
        value, rows, k = float64(high) + float64(low), float64(S[at + ROWS * count + d]), at + d
        if value != value:
            if rows > 0.0:
                S[at + ROWS * count + d] = min(rows + 1.0, MAX_ROWS)
            continue
        last = float64(S[k + LAST * count]) + float64(S[k + LAST_LOW * count])
        change = 0.0
        if rows > 0.0 and value >= last:
            change = min((value - last) / rows, LARGEST)
        elif rows > 0.0 and program[program[layout.FILLS] + n] != 0:
            change = np.nan
        S[k + LAST * count], S[k + LAST_LOW * count], S[k + ROWS * count] = high, low, 1.0
        S[k + LEVEL * count], S[k + LEVEL_LOW * count] = high, low
        X[x + n] = change


@inlined
def advance_levels(program, S, row, Z, z):
    """Move the levels of counters that did not come by what their changes at ``Z[z]`` are."""
    stage = program[layout.STAGE]
    count = program[stage + table.DIFFERENCE_COUNT]
    at, counters = row + program[stage + table.DIFFERENCES], program[stage + table.DIFFERENCE_LIST]
    for d in range(count):
        k = at + d
        if S[k + ROWS * count] == 1.0:  # it came
            continue
        change = float64(Z[z + program[stage + counters + d]])
        level = float64(S[k + LEVEL * count]) + float64(S[k + LEVEL_LOW * count]) + change
        high = float32(level)
        S[k + LEVEL * count], S[k + LEVEL_LOW * count] = high, float32(level - float64(high))


@inlined
def write_levels(program, S, row, Y, y, w):
    """Write to a result what is added to each output, as two floats.

    Number ``n`` of the result stands at ``Y[y + w n]``.
    """
    stage, O = program[layout.STAGE], program[layout.OUTPUTS]
    count, place = program[stage + table.DIFFERENCE_COUNT], program[stage + table.LEVEL]
    at = row + program[stage + table.DIFFERENCES]
    of_outputs = stage + program[stage + table.DIFFERENCE_LIST] + count
    for n in range(O):
        d, high = program[of_outputs + n], y + (place + n) * w
        Y[high] = S[at + LEVEL * count + d] if d >= 0 else 0.0
        Y[high + O * w] = S[at + LEVEL_LOW * count + d] if d >= 0 else 0.0
