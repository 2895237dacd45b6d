"""Make a block of rows from the messages at the front of the queue, and step it."""

from numba import int64

from ...kernels import id_index
from ...kernels import layout as plan
from ...kernels.arguments import UNBOUNDED
from ...kernels.cache import internal
from ...kernels.pointers import call_at, copy_bytes, int64s_at
from . import layout
from .ingest import ingest, row_of
from .queue import advance, next_record, received, set_received
from .views import fields_of


@internal
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


@internal
def step(loop, rows):
    """Step the block; further observations of a stream go into further rounds."""
    task = loop[layout.TASK]
    fields = int64s_at(task, plan.TASK)
    fields[plan.TASK_STEPS] += rows
    program = int64s_at(fields[plan.TASK_PROGRAM], UNBOUNDED)
    if loop[layout.LAST_ROUND] == 0:
        _run(loop, task, loop[layout.SLOTS], loop[layout.X], loop[layout.Y], int64(0), rows)
    else:
        _step_rounds(loop, task, program, rows)
    head, size = int64s_at(loop[layout.TABLE], id_index.HEAD), 4 * program[plan.OUTPUTS]
    slots = int64s_at(loop[layout.SLOTS], rows)
    for n in range(rows):  # in their order: the last one of a stream stays
        if row_of(loop, n)[layout.SEQ] != 0:
            y = loop[layout.Y] + size * n
            id_index.store_prediction(head, slots[n], program[plan.PREDICTION], y, size)


@internal
def _step_rounds(loop, task, program, rows):
    wide, high = 4 * program[plan.INPUTS], 4 * program[plan.OUTPUTS]
    order, rounds = _sort(loop, rows)
    slots = int64s_at(loop[layout.SLOTS], rows)
    into = int64s_at(loop[layout.SLOTS_SORTED], rows)
    for n in range(rows):
        into[n] = slots[order[n]]
        copy_bytes(loop[layout.X_SORTED] + wide * n, loop[layout.X] + wide * order[n], wide)
    starts = int64s_at(loop[layout.STARTS], rounds + 1)
    for round_ in range(rounds):
        if starts[round_] < starts[round_ + 1]:
            _run(
                loop,
                task,
                loop[layout.SLOTS_SORTED],
                loop[layout.X_SORTED],
                loop[layout.Y_SORTED],
                starts[round_],
                starts[round_ + 1],
            )
    for n in range(rows):
        copy_bytes(loop[layout.Y] + high * order[n], loop[layout.Y_SORTED] + high * n, high)


@internal
def _sort(loop, rows):
    """Sort rows by their round, stably; return the order and the number of rounds."""
    rounds = loop[layout.LAST_ROUND] + 1
    order = int64s_at(loop[layout.ORDER], rows)
    starts = int64s_at(loop[layout.STARTS], rounds + 1)
    fields = int64s_at(loop[layout.ROWS], rows * layout.ROW)
    for round_ in range(rounds + 1):
        starts[round_] = 0
    for n in range(rows):
        starts[fields[n * layout.ROW + layout.ROUND] + 1] += 1
    for round_ in range(rounds):
        starts[round_ + 1] += starts[round_]
    for n in range(rows):
        round_ = fields[n * layout.ROW + layout.ROUND]
        order[starts[round_]] = n
        starts[round_] += 1
    for round_ in range(rounds, 0, -1):
        starts[round_] = starts[round_ - 1]
    starts[0] = 0
    return order, rounds


@internal
def message_of(loop, n):
    """View a message of the block."""
    return int64s_at(loop[layout.BATCH] + 8 * layout.BATCH_ROW * n, layout.BATCH_ROW)


@internal
def gather(loop, head):
    """Make a block of the messages at the front of the queue.

    Returns
    -------
    messages, rows : int64
    reason : int64
        Why the next message was not taken, as :func:`ingest` says; 1 if there was nothing wrong.
    """
    base = head[id_index.BLOCK] + 1
    loop[layout.LAST_ROUND] = 0
    messages, rows, reason = int64(0), int64(0), int64(1)
    while rows < layout.BLOCK:
        record = next_record(loop)
        if record == 0:
            break
        role = fields_of(record)[layout.ROLE]
        if role != layout.MAY_ALL and role != layout.MAY_STEP:
            break  # Python checks what this role may do
        count = ingest(loop, head, record, rows, base)
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
        advance(loop, record, count)
        messages += 1
        rows += count
    head[id_index.BLOCK] = base + loop[layout.LAST_ROUND]
    return messages, rows, reason
