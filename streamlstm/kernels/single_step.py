"""Entry points for Python that step one observation of one stream: validate, look up, step.

A call gets the objects of Python as they are (objects.py), and returns a result, or None: then
nothing has changed, and the caller takes the slow path, which converts an observation, raises the
right error or gives a new stream its slot.

These calls keep the GIL: they are short, and releasing and acquiring it costs more than many steps
do. So they exclude each other; threads that work without the GIL set TASK_LOCKED
(streamlstm/engine/lock_flag.py).
"""

import numpy as np
from numba import int64
from numpy.typing import NDArray

from . import dirty, id_index, layout, objects
from .arguments import UNBOUNDED
from .cache import inlined, internal, kernel
from .id_index import SEQ, TIME, column_of, generation_of, set_column
from .pointers import bits_of, call_at, floats_at, int64s_at

f32 = np.float32
_ZERO, _ONE = np.uint64(0), np.uint64(1)

# Behind the table of objects: the addresses of the table's head (id_index.py) and of the backend's
# task (layout.py).
_HEAD, _TASK, _PLACE = range(objects.SIZE, objects.SIZE + 3)


def place(head: int, task: int) -> NDArray[np.int64] | None:
    """Return the table that the methods are bound to; None if they cannot be used here."""
    known = objects.table()
    return None if known is None else np.append(known, [head, task])


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


@inlined
def _head_of(fields):
    return int64s_at(fields[_HEAD], id_index.HEAD)


@inlined
def _is_locked(fields):
    return int64s_at(fields[_TASK], layout.TASK)[layout.TASK_LOCKED] != 0


@inlined
def _find(fields, stream):
    """Return the slot of a stream by its id; a negative number if it has none, or is no id."""
    if objects.has_type(fields, stream, objects.TEXT):
        data, length = objects.read_text(fields, stream)
        if data == 0 or not id_index.is_valid_text(data, length):
            return int64(-1)
        return id_index.find_text_at(_head_of(fields), data, length)
    known, value = objects.read_unsigned(fields, stream)
    return id_index.find_integer(_head_of(fields), value) if known else int64(-1)


@inlined
def _step(fields, slot, x, seq, time):
    """Step the stream in a slot; return the address of its result, 0 if something is not valid."""
    head, task = _head_of(fields), int64s_at(fields[_TASK], layout.TASK)
    program = int64s_at(task[layout.TASK_PROGRAM], UNBOUNDED)
    width, results = program[layout.WIDTH], program[layout.RESULT]
    is_number, number = objects.read_unsigned(fields, seq)
    is_time, moment = objects.read_time(fields, time)
    if not is_number or not is_time or not objects.is_row(fields, x, width):
        return int64(0)
    observation = task[layout.TASK_OBSERVATION]
    objects.copy_row(x, observation, width)
    if not is_valid(program, floats_at(observation, width)):
        return int64(0)
    if program[layout.TIMED] != 0 and moment != moment:
        return int64(0)
    if number != _ZERO and number != column_of(head, slot, SEQ) + _ONE:
        return int64(0)
    y, data = objects.new_floats(fields, results)
    if y == 0:
        return int64(0)
    if number != _ZERO:
        set_column(head, slot, SEQ, number)
        id_index.clear_producer(head, slot)
    dirty.mark(head, slot)
    task[layout.TASK_SLOT] = slot
    task[layout.TASK_SLOTS] = fields[_TASK] + 8 * layout.TASK_SLOT
    task[layout.TASK_X] = observation
    task[layout.TASK_Y] = data
    task[layout.TASK_TIMES] = fields[_TASK] + 8 * layout.TASK_TIME
    task[layout.TASK_TIME] = int64(bits_of(moment))
    if moment == moment:
        set_column(head, slot, TIME, bits_of(moment))
    call_at(task[layout.TASK_STEP], fields[_TASK], int64(0), int64(1), int64(0))
    if number != _ZERO:
        id_index.store_prediction(head, slot, program[layout.PREDICTION], data, 4 * results)
    task[layout.TASK_STEPS] += 1
    return y


@kernel(nogil=False, no_cpython_wrapper=True)
def step_stream(place, arguments, count):
    """Step a stream by its id: a method of the array that :func:`place` returns.

    Parameters
    ----------
    stream : str or int
    x : float32[F], in any layout
    seq : int
        The observation's number, 0 for none.
    time : float or None
        Its event time in seconds.

    Returns
    -------
    float32[W] or None
        None, and nothing has changed, if an argument has another type or shape, if the stream is
        not live, if x is not valid for the model, if seq is not the next of the stream, or if the
        task is locked.
    """
    fields = int64s_at(objects.data_of(place), _PLACE)
    given = int64s_at(arguments, count)
    y = int64(0)
    if count == 4 and not _is_locked(fields):
        slot = _find(fields, given[0])
        if slot >= 0:
            y = _step(fields, slot, given[1], given[2], given[3])
    return objects.returned(fields, y)


@kernel(nogil=False, no_cpython_wrapper=True)
def step_slot(place, arguments, count):
    """Step the stream in a slot, if its generation is still this one; as :func:`step_stream`.

    Parameters
    ----------
    slot, generation : int
    x, seq, time
    """
    fields = int64s_at(objects.data_of(place), _PLACE)
    given = int64s_at(arguments, count)
    y = int64(0)
    if count == 5 and not _is_locked(fields):
        is_slot, slot = objects.read_unsigned(fields, given[0])  # -1 is none yet
        is_owner, owner = objects.read_unsigned(fields, given[1])
        if is_slot and is_owner and generation_of(_head_of(fields), int64(slot), 0) == owner:
            y = _step(fields, int64(slot), given[2], given[3], given[4])
    return objects.returned(fields, y)


# Every entry point, and the one signature that it is compiled for.
SIGNATURES = dict.fromkeys((step_stream, step_slot), objects.METHOD)
