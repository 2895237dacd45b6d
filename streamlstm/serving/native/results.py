"""Count what the online stage says in the results of a block; in Python it is ../results.py."""

from numba import int64

from ...kernels import layout as plan
from ...kernels.cache import internal
from ...kernels.online import table
from ...kernels.pointers import floats_at
from . import layout
from .views import counts_of


@internal
def count_results(loop, program, first, stop):
    """Count alarms, missing values and intervals of rows ``first`` to ``stop`` of the block."""
    stage = program[plan.STAGE]
    if stage == 0:
        return
    counts, width = counts_of(loop), program[plan.RESULT]
    alarm, filled = program[stage + table.ALARM], program[stage + table.FILLED]
    drift = program[stage + table.DRIFT]
    covered, outputs = program[stage + table.COVERED], program[plan.OUTPUTS]
    own, naive = program[stage + table.OWN_ERROR], program[stage + table.NAIVE_ERROR]
    for n in range(first, stop):
        y = floats_at(loop[layout.Y] + 4 * width * n, width)
        counts[layout.ALARMS] += y[alarm] > 0.0
        counts[layout.FILLED] += int64(y[filled])
        counts[layout.ABSENT] += y[0] != y[0]
        counts[layout.DRIFTS] += y[drift] > 0.0
        for output in range(outputs):
            inside = y[covered + output]
            counts[layout.JUDGED] += inside == inside
            counts[layout.COVERED] += inside > 0.0
            if y[own + output] == y[own + output]:
                counts[layout.OWN_ERROR] += int64(y[own + output] * layout.ERROR_UNIT)
                counts[layout.NAIVE_ERROR] += int64(y[naive + output] * layout.ERROR_UNIT)


@internal
def alarm_offset(loop, program):
    """Return where in a result the alarm stands, in bytes; 0 if nobody subscribes to alarms."""
    stage = program[plan.STAGE]
    if stage == 0 or counts_of(loop)[layout.ALARM_TOPICS] == 0:
        return int64(0)
    return 4 * program[stage + table.ALARM]


@internal
def wants_values(loop):
    """Return whether somebody subscribes to predictions with what came."""
    return counts_of(loop)[layout.VALUE_TOPICS] != 0
