"""A block: the messages whose turn it is as rows, and the arithmetic of all of them at once."""

from numba import int64

from ...kernels import id_index
from ...kernels import layout as plan
from ...kernels.arguments import ENDLESS
from ...kernels.cache import part
from ...kernels.memory import call_at, copy_bytes, int64s_at
from . import layout
from .observe import observe, row_of
from .queue import advance, fields_of, next_record, received, set_received


@part
def _run(loop, task, slots, X, Y, first, stop):
    """Step rows ``first`` to ``stop`` of these arrays, on as many threads as it pays for."""
    fields = int64s_at(task, plan.TASK)
    fields[plan.TASK_SLOTS] = slots
    fields[plan.TASK_X] = X
    fields[plan.TASK_Y] = Y
    threads = min(
        loop[layout.THREADS], (stop - first) * loop[layout.ROW_WORK] // loop[layout.SHARE_WORK]
    )
    if threads > 1:
        call_at(fields[plan.TASK_SHARED], task, first, stop, threads)
    else:
        call_at(fields[plan.TASK_STEP], task, first, stop, int64(0))


@part
def step(loop, rows):
    """Step the block; a stream that comes again goes into a further round."""
    task = loop[layout.TASK]
    fields = int64s_at(task, plan.TASK)
    fields[plan.TASK_STEPS] += rows
    program = int64s_at(fields[plan.TASK_PROGRAM], ENDLESS)
    if loop[layout.HIGHEST_TURN] == 0:
        _run(loop, task, loop[layout.SLOTS], loop[layout.X], loop[layout.Y], int64(0), rows)
    else:
        _step_rounds(loop, task, program, rows)
    head, size = int64s_at(loop[layout.TABLE], id_index.HEAD), 4 * program[plan.OUTPUTS]
    slots = int64s_at(loop[layout.SLOTS], rows)
    for n in range(rows):  # in their order: the last one of a stream stays
        if row_of(loop, n)[layout.SEQ] != 0:
            y = loop[layout.Y] + size * n
            id_index.keep_prediction(head, slots[n], program[plan.PREDICTION], y, size)


@part
def _step_rounds(loop, task, program, rows):
    wide, high = 4 * program[plan.INPUTS], 4 * program[plan.OUTPUTS]
    order, rounds = _sort(loop, rows)
    slots = int64s_at(loop[layout.SLOTS], rows)
    into = int64s_at(loop[layout.SLOTS_SORTED], rows)
    for n in range(rows):
        into[n] = slots[order[n]]
        copy_bytes(loop[layout.X_SORTED] + wide * n, loop[layout.X] + wide * order[n], wide)
    starts = int64s_at(loop[layout.STARTS], rounds + 1)
    for turn in range(rounds):
        if starts[turn] < starts[turn + 1]:
            _run(
                loop,
                task,
                loop[layout.SLOTS_SORTED],
                loop[layout.X_SORTED],
                loop[layout.Y_SORTED],
                starts[turn],
                starts[turn + 1],
            )
    for n in range(rows):
        copy_bytes(loop[layout.Y] + high * order[n], loop[layout.Y_SORTED] + high * n, high)


@part
def _sort(loop, rows):
    """Order rows by how often their stream has come before, as they came: order, and rounds."""
    rounds = loop[layout.HIGHEST_TURN] + 1
    order = int64s_at(loop[layout.ORDER], rows)
    starts = int64s_at(loop[layout.STARTS], rounds + 1)
    turns = int64s_at(loop[layout.ROWS], rows * layout.ROW)
    for turn in range(rounds + 1):
        starts[turn] = 0
    for n in range(rows):
        starts[turns[n * layout.ROW + layout.TURN] + 1] += 1
    for turn in range(rounds):
        starts[turn + 1] += starts[turn]
    for n in range(rows):
        turn = turns[n * layout.ROW + layout.TURN]
        order[starts[turn]] = n
        starts[turn] += 1
    for turn in range(rounds, 0, -1):
        starts[turn] = starts[turn - 1]
    starts[0] = 0
    return order, rounds


@part
def message_of(loop, n):
    """View a message of the block."""
    return int64s_at(loop[layout.BATCH] + 8 * layout.BATCH_ROW * n, layout.BATCH_ROW)


@part
def gather(loop, head):
    """Make a block of the messages whose turn it is.

    Returns
    -------
    messages, rows : int64
    reason : int64
        Why the next message was not taken, as :func:`observe` says; 1 if there was nothing wrong.
    """
    base = head[id_index.BLOCK] + 1
    loop[layout.HIGHEST_TURN] = 0
    messages, rows, reason = int64(0), int64(0), int64(1)
    while rows < layout.BLOCK:
        record = next_record(loop)
        if record == 0:
            break
        role = fields_of(record)[layout.ROLE]
        if role != layout.MAY_ALL and role != layout.MAY_STEP:
            break  # Python says what it may
        count = observe(loop, head, record, rows, base)
        if count <= 0:
            reason = count
            break
        set_received(loop, record, received(loop, record) + count)
        message = message_of(loop, messages)
        message[layout.BATCH_RECORD] = record
        message[layout.BATCH_FIRST] = rows
        message[layout.BATCH_COUNT] = count
        message[layout.BATCH_MANY] = loop[layout.MANY]
        message[layout.BATCH_NUMBERED] = loop[layout.NUMBERED]
        advance(loop, record)
        messages += 1
        rows += count
    head[id_index.BLOCK] = base + loop[layout.HIGHEST_TURN]
    return messages, rows, reason
