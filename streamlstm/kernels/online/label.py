"""Entry point for Python: learn from labels that come from outside, of one stream."""

import numpy as np
from numba import float32, float64, int64, types

from .. import layout
from ..arguments import UNBOUNDED
from ..cache import internal, kernel
from ..pointers import floats_at, int64s_at
from . import adaptation, table
from .arguments import steps_of, work_at
from .forecast import bounded_error
from .intervals import interval_update
from .labelled import judge_labels
from .outcomes import APPLIED, TOO_OLD
from .unit import to_training, unit_of


@internal
def _learn_intervals(weights, program, group, S, row, number, labels):
    """Let the intervals of outputs that forecast no input learn, from each label once."""
    stage, first, size = (
        program[layout.STAGE],
        program[group + table.FIRST],
        program[group + table.SIZE],
    )
    position, k = number % program[group + table.RING], program[group + table.INTERVAL_CONSTANTS]
    forecasts = row + program[group + table.FORECASTS] + position * size
    columns = row + program[group + table.INTERVALS]
    for n in range(size):
        if program[stage + table.TARGETS + first + n] < 0:
            error = bounded_error(float64(labels[first + n]) - float64(S[forecasts + n]))
            if error == error:
                at = columns + n * program[group + table.INTERVAL_SIZE]
                largest = row + program[group + table.LARGEST] + n
                interval_update(S, at, weights, k, position, error, largest)
                S[forecasts + n] = np.nan


@internal
def learn_row(weights, program, S, row, back, labels, W, work):
    """Learn from labels of the stream whose state row begins at ``S[row]``.

    ``W`` has room for the working memory of the adaptation from ``work`` on.
    """
    stage = program[layout.STAGE]
    for n in range(labels.shape[0]):
        target = program[stage + table.TARGETS + n]
        if target >= 0:
            unit = unit_of(weights, program, target)
            labels[n] = to_training(S, row, unit, float64(labels[n]))
    number = steps_of(S, row + program[stage + table.COUNT]) - 1 - back
    if number < 0:
        return int64(TOO_OLD)
    outcome = int64(TOO_OLD)
    for g in range(program[stage + table.GROUP_COUNT]):
        group = stage + program[stage + table.GROUPS] + g * table.GROUP_SIZE
        at = row + program[group + table.ADAPTATION]
        k, first = program[group + table.ADAPTATION_CONSTANTS], int64(program[group + table.FIRST])
        step, found = adaptation.find_step(S, at, weights, k, number)
        if found == APPLIED:
            if program[stage + table.LABELLED] != 0:
                judge_labels(weights, program, group, S, row, number, step, labels)
            found = int64(adaptation.learn_step(S, at, weights, k, step, labels, first, W, work))
        if found == APPLIED and program[stage + table.LEVELS] > 0:
            _learn_intervals(weights, program, group, S, row, number, labels)
        if outcome != APPLIED:  # one that has learned is enough; else the best reason why not
            outcome = found if found == APPLIED else max(outcome, found)
    return outcome


@kernel(no_cfunc_wrapper=True)
def learn_label(task, slot, back, labels):
    """Learn from the labels of the observation that came ``back`` observations before the last.

    Parameters
    ----------
    task : int64
        Address of the backend's task (kernels/layout.py).
    slot, back : int64
    labels : float32[O]
        In the unit of the series, NaN for none; changed.

    Returns
    -------
    int64
        What became of them (outcomes.py).
    """
    fields = int64s_at(task, layout.TASK)
    weights = floats_at(fields[layout.TASK_WEIGHTS], UNBOUNDED)
    program = int64s_at(fields[layout.TASK_PROGRAM], UNBOUNDED)
    S = floats_at(fields[layout.TASK_ROWS], UNBOUNDED)
    scratch = floats_at(fields[layout.TASK_SCRATCH], UNBOUNDED)
    row = slot * program[layout.ROW_SIZE]
    return learn_row(weights, program, S, row, back, labels, scratch, work_at(program)[2])


# The entry point, and the one signature that it is compiled for.
SIGNATURES = {learn_label: (int64, int64, int64, types.Array(float32, 1, "C"))}
