"""Make a block of rows from the messages at the front of the queue, and step it."""

from numba import int64

from ...kernels import compile, id_index
from ...kernels import layout as plan
from ...kernels.arguments import UNBOUNDED
from ...kernels.cache import by_address, inlined, internal
from ...kernels.pointers import call_at, copy_bytes, int64s_at
from . import layout
from .claim import ARRIVES, HAND_OVER, MOVED, row_of
from .ingest import ingest
from .queue import advance, next_record, received, set_received
from .results import count_results, wants_values
from .views import fields_of


@internal
def _run(loop, task, slots, X, Y, times, first, stop):
    """Step rows ``first`` to ``stop`` of these arrays, on as many threads as it pays for."""
    fields = int64s_at(task, plan.TASK)
    fields[plan.TASK_SLOTS] = slots
    fields[plan.TASK_X] = X
    fields[plan.TASK_Y] = Y
    fields[plan.TASK_TIMES] = times
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
    if loop[layout.LAST_ROUND] == 0:
        step_rows(loop, int64(0), rows)
        return
    fields = int64s_at(task, plan.TASK)
    fields[plan.TASK_STEPS] += rows
    program = int64s_at(fields[plan.TASK_PROGRAM], UNBOUNDED)
    _step_rounds(loop, task, program, rows)
    _finish(loop, program, int64(0), rows)


@internal
def step_rows(loop, first, stop):
    """Step rows ``first`` to ``stop`` of the block, no two of one stream."""
    task = loop[layout.TASK]
    fields = int64s_at(task, plan.TASK)
    fields[plan.TASK_STEPS] += stop - first
    if has_changes(loop) and wants_values(loop):
        _keep_values(loop, first, stop)
    arrays = loop[layout.SLOTS], loop[layout.X], loop[layout.Y], loop[layout.TIMES]
    _run(loop, task, arrays[0], arrays[1], arrays[2], arrays[3], first, stop)
    program = int64s_at(fields[plan.TASK_PROGRAM], UNBOUNDED)
    _finish(loop, program, first, stop)


@inlined
def has_changes(loop):
    """Return whether a step may replace inputs, those of counters, by their changes."""
    return loop[layout.INPUT_OFFSETS] != 0


@internal
def _keep_values(loop, first, stop):
    """Copy rows, which the step changes, to where rows are sorted: there they are published."""
    wide = (
        4
        * int64s_at(int64s_at(loop[layout.TASK], plan.TASK)[plan.TASK_PROGRAM], UNBOUNDED)[
            plan.WIDTH
        ]
    )
    copy_bytes(
        loop[layout.X_SORTED] + wide * first, loop[layout.X] + wide * first, wide * (stop - first)
    )


@inlined
def values_at(loop):
    """Return where the rows of the block are as they came."""
    return loop[layout.X_SORTED if has_changes(loop) and loop[layout.LAST_ROUND] == 0 else layout.X]


@internal
def _finish(loop, program, first, stop):
    """Keep the predictions of numbered observations, and count what the results say."""
    count_results(loop, program, first, stop)
    head, size = int64s_at(loop[layout.TABLE], id_index.HEAD), 4 * program[plan.RESULT]
    slots = int64s_at(loop[layout.SLOTS], stop)
    for n in range(first, stop):  # in their order: the last one of a stream stays
        if row_of(loop, n)[layout.SEQ] != 0:
            y = loop[layout.Y] + size * n
            id_index.store_prediction(head, slots[n], program[plan.PREDICTION], y, size)


@internal
def _step_rounds(loop, task, program, rows):
    wide, high = 4 * program[plan.WIDTH], 4 * program[plan.RESULT]
    order, rounds = _sort(loop, rows)
    slots = int64s_at(loop[layout.SLOTS], rows)
    into = int64s_at(loop[layout.SLOTS_SORTED], rows)
    times, sorted_times = (
        int64s_at(loop[layout.TIMES], rows),
        int64s_at(loop[layout.TIMES_SORTED], rows),
    )
    for n in range(rows):
        into[n] = slots[order[n]]
        sorted_times[n] = times[order[n]]
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
                loop[layout.TIMES_SORTED],
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
def _take(loop, record, messages, row):
    """Call :func:`take_message`, which is compiled besides, so by another process meanwhile."""
    call_at(loop[layout.TAKE_MESSAGE], loop[layout.ADDRESS], record, messages, row)
    return loop[layout.TAKEN_ROWS]


@by_address
def take_message(address, record, messages, row):
    """Make rows of the block, from ``row`` on, from the first message of the queue.

    TAKEN_ROWS is how many then; or why it was not taken, as :func:`ingest` says.
    """
    loop = int64s_at(address, layout.LOOP)
    loop[layout.TAKEN_ROWS] = _taken(loop, record, messages, row)


@inlined
def _taken(loop, record, messages, row):
    role = fields_of(record)[layout.ROLE]
    if role != layout.MAY_ALL and role != layout.MAY_STEP:
        return int64(HAND_OVER)  # Python checks what this role may do
    head = int64s_at(loop[layout.TABLE], id_index.HEAD)
    count = ingest(loop, head, record, row, loop[layout.FIRST_ROUND])
    if count <= 0:
        pulled = fields_of(record)[layout.CLIENT] == loop[layout.MAX_MESSAGES]
        if pulled and count in (MOVED, ARRIVES):
            return int64(HAND_OVER)  # each row is by itself there, and nobody gets a reply
        return count
    set_received(loop, record, received(loop, record) + count)
    message = message_of(loop, messages)
    message[layout.BATCH_RECORD] = record
    message[layout.BATCH_FIRST] = row
    message[layout.BATCH_COUNT] = count
    message[layout.BATCH_MANY] = loop[layout.MANY]
    message[layout.BATCH_NUMBERED] = loop[layout.NUMBERED]
    advance(loop, record, count)
    return count


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
    loop[layout.FIRST_ROUND] = base
    loop[layout.LAST_ROUND] = 0
    loop[layout.REFUSED_ROW] = -1
    loop[layout.ONCE_FROM] = layout.BLOCK_ROOM
    messages, rows, reason = int64(0), int64(0), int64(1)
    while rows < layout.BLOCK and reason > 0:
        record = next_record(loop)
        if record == 0:
            break
        reason = _take(loop, record, messages, rows)
        if reason > 0:
            messages += 1
            rows += reason
    head[id_index.BLOCK] = base + loop[layout.LAST_ROUND]
    return messages, rows, reason


@internal
def gather_between(loop, head, rows):
    """Make a small block of single observations, behind the rows of one that is being stepped.

    That one is a single STEPS, and names each of its streams once. Nothing is taken from its
    client, whose replies keep their order, nor of its streams.

    Returns
    -------
    int64
        How many messages were taken, the first of them as message 1: each is a row.
    """
    client = fields_of(message_of(loop, int64(0))[layout.BATCH_RECORD])[layout.CLIENT]
    taken = int64(0)
    loop[layout.FIRST_ROUND] = head[id_index.BLOCK]
    loop[layout.ONCE_FROM] = rows
    while taken < layout.BLOCK - 1:
        record = next_record(loop)
        if record == 0 or fields_of(record)[layout.CLIENT] == client:
            break
        if _take(loop, record, taken + 1, rows + taken) <= 0:
            break
        taken += 1
    return taken


NAME = "decoding of messages"
compile.register(NAME, {take_message: (int64,) * 4})
