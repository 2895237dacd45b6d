"""Entry points for Python that step one observation of one stream: validate, look up, step.

A call returns only whether it succeeded. If it did not, nothing has changed, and the caller takes
the slow path, which raises the right error or gives a new stream its slot.

These calls keep the GIL: they are short, and releasing and acquiring it costs more than many steps
do. So they exclude each other; threads that work without the GIL set TASK_LOCKED
(streamlstm/engine/lock_flag.py).
"""

import numpy as np
from numba import float32, float64, int64, types, uint64

from . import dirty, id_index, layout
from .arguments import UNBOUNDED
from .cache import internal, kernel
from .id_index import SEQ, TIME, column_of, generation_of, set_column
from .pointers import address_of, bits_of, call_at, floats_at, int64s_at

f32 = np.float32


@internal
def is_valid(program, x):
    """Tell whether x is valid: finite numbers, the first a category if the model has one.

    An input that the online stage fills may be NaN as well.
    """
    if x.shape[0] != program[layout.WIDTH]:
        return False
    if program[layout.FILLS] != 0:
        return _is_valid_or_missing(program, x)
    total = f32(0.0)
    for n in range(x.shape[0]):
        total += x[n] * f32(0.0)  # NaN where x is infinite or NaN
    if total != f32(0.0):
        return False
    categories = program[layout.CATEGORIES]
    return categories == 0 or (0 <= x[0] < categories and x[0] == np.floor(x[0]))


@internal
def _is_valid_or_missing(program, x):
    fills = program[layout.FILLS]
    for n in range(x.shape[0]):
        if np.isinf(x[n]) or (np.isnan(x[n]) and program[fills + n] == 0):
            return False
    categories = program[layout.CATEGORIES]
    return categories == 0 or (0 <= x[0] < categories and x[0] == np.floor(x[0]))


@internal
def _is_locked(task):
    return int64s_at(task, layout.TASK)[layout.TASK_LOCKED] != 0


@internal
def _step(head, task, slot, x, seq, time, y):
    if slot < 0:
        return False
    fields = int64s_at(task, layout.TASK)
    program = int64s_at(fields[layout.TASK_PROGRAM], UNBOUNDED)
    if not is_valid(program, x) or y.shape[0] != program[layout.RESULT]:
        return False  # y may have been made for an older model
    if program[layout.TIMED] != 0 and time != time:
        return False
    if seq != 0:
        if seq < 0 or uint64(seq) != column_of(head, slot, SEQ) + uint64(1):
            return False
        set_column(head, slot, SEQ, uint64(seq))
        id_index.clear_producer(head, slot)
    dirty.mark(head, slot)
    copy = floats_at(fields[layout.TASK_OBSERVATION], UNBOUNDED)
    for n in range(x.shape[0]):
        copy[n] = x[n]  # x need not be contiguous
    fields[layout.TASK_SLOT] = slot
    fields[layout.TASK_SLOTS] = task + 8 * layout.TASK_SLOT
    fields[layout.TASK_X] = fields[layout.TASK_OBSERVATION]
    fields[layout.TASK_Y] = y.ctypes.data
    fields[layout.TASK_TIMES] = task + 8 * layout.TASK_TIME
    fields[layout.TASK_TIME] = int64(bits_of(time))
    if time == time:
        set_column(head, slot, TIME, bits_of(time))
    call_at(fields[layout.TASK_STEP], task, int64(0), int64(1), int64(0))
    if seq != 0:
        size = 4 * program[layout.RESULT]
        id_index.store_prediction(head, slot, program[layout.PREDICTION], y.ctypes.data, size)
    fields[layout.TASK_STEPS] += 1
    return True


@kernel(nogil=False, no_cfunc_wrapper=True)
def step_text(table, task, text, x, seq, time, y):
    """Step the stream with a text id of ASCII.

    Parameters
    ----------
    table, task : int64
        Addresses of the table's head (id_index.py) and of the backend's task (layout.py).
    text : str
    x : float32[F], in any layout
    seq : int64
        The observation's number, 0 for none.
    time : float64
        Its event time in seconds, NaN for none.
    y : float32[W]
        Where the result goes.

    Returns
    -------
    bool
        False, and nothing has changed, if the stream is not live or its id not ASCII, if x is not
        valid for the model, if seq is not the next of the stream, or if the task is locked.
    """
    head = int64s_at(table, id_index.HEAD)
    data = address_of(text._data)
    if _is_locked(task) or not text._is_ascii or not id_index.is_valid_text(data, text._length):
        return False
    return _step(head, task, id_index.find_text_at(head, data, text._length), x, seq, time, y)


@kernel(nogil=False, no_cfunc_wrapper=True)
def step_integer(table, task, value, x, seq, time, y):
    """Step the stream with the uint64 id ``value``; as :func:`step_text`."""
    head = int64s_at(table, id_index.HEAD)
    if _is_locked(task):
        return False
    return _step(head, task, id_index.find_integer(head, value), x, seq, time, y)


@kernel(nogil=False, no_cfunc_wrapper=True)
def step_slot(table, task, slot, generation, x, seq, time, y):
    """Step the stream in a slot, if its generation is this one; as :func:`step_text`."""
    head = int64s_at(table, id_index.HEAD)
    if _is_locked(task) or slot < 0 or generation_of(head, slot, 0) != generation:
        return False
    return _step(head, task, slot, x, seq, time, y)


_rest = (types.Array(float32, 1, "A"), int64, float64, types.Array(float32, 1, "C"))

# Every entry point, and the one signature that it is compiled for.
SIGNATURES = {
    step_text: (int64, int64, types.unicode_type, *_rest),
    step_integer: (int64, int64, uint64, *_rest),
    step_slot: (int64, int64, int64, uint64, *_rest),
}
