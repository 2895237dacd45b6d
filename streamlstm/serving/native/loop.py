"""The message loop: wait, receive what is ready, step it as one block, reply, repeat."""

import numpy as np
from numba import int64

from ...kernels import compile, id_index
from ...kernels import layout as plan
from ...kernels.arguments import UNBOUNDED
from ...kernels.cache import internal, kernel
from ...kernels.pointers import byte_at, c_int, int64s_at
from . import layout
from .admission import look_for_subscriptions, pull_pause, receive_ready
from .block import gather, gather_between, message_of, step, step_rows
from .claim import ARRIVES, MOVED, NEEDS_ROOM
from .histograms import count_in
from .large import free_sent
from .last import answer_last
from .layout import LOOP
from .moved import answer_moved
from .queue import (
    advance,
    finish_handed,
    hand_over,
    next_record,
    release,
)
from .results import alarm_offset
from .send import send_reply, send_results
from .views import (
    EINTR,
    PULL_SOCKET,
    WAKEUP,
    XPUB_SOCKET,
    counts_of,
    error_number,
    fields_of,
    now,
)

_POLL_INTERVAL = 1_000_000  # ns between two polls of the wakeup while there is work
_CLOCK_EVERY = 32  # messages between two readings of the clock
_SEND_SHARE = 20  # at most one part in so many of the time is spent waiting for clients (send.py),
_MAX_SEND_BUDGET = 50_000_000  # and so many ns at once
_PIECE_WORK = 10_000_000  # multiply-adds of a thread between two looks at what came: some 200 us
_PIECE_ROWS = 32  # but at least so many rows, which a block needs to be quick
_IDS = 8  # of a LAST that take as long as an observation
_ZERO = np.uint64(0)

# --- waiting and receiving -----------------------------------------------------------------------

# The descriptor of a ZeroMQ socket is edge-triggered, and any call of the socket may consume the
# edge. So READABLE has a bit for each socket that may have a message: set when the descriptor says
# so or the socket was used otherwise, cleared when a receive found nothing.


@internal
def _poll(loop, milliseconds):
    """Poll the sockets and the wakeup with a timeout; return whether to return to Python."""
    files = loop[layout.POLL_ITEMS]
    found = c_int(loop[layout.POLL], files, int64(4), milliseconds, int64(0))
    loop[layout.NOW] = now(loop)
    loop[layout.LAST_POLL] = loop[layout.NOW]
    if found < 0:
        if error_number(loop) != EINTR:
            loop[layout.FAILED] = error_number(loop)
        return True
    for source in range(3):
        if byte_at(files + layout.POLL_ITEM * source + 6) != _ZERO:
            loop[layout.READABLE] |= 1 << source
    return byte_at(files + layout.POLL_ITEM * WAKEUP + 6) != _ZERO


@internal
def _wait(loop):
    """Wait until a socket may be readable or it is UNTIL; return whether to return to Python.

    While there is work, it polls only every _POLL_INTERVAL, for the wakeup.
    """
    rest = pull_pause(loop)
    full = loop[layout.READABLE]
    if rest > 0:
        full &= ~(1 << PULL_SOCKET)
    if full != 0 or counts_of(loop)[layout.QUEUED] > 0:
        if loop[layout.NOW] - loop[layout.LAST_POLL] < _POLL_INTERVAL:
            return False
        return _poll(loop, int64(0))
    until = min(loop[layout.LAST_MESSAGE] + loop[layout.SPIN], loop[layout.UNTIL])
    if loop[layout.NOW] < until:
        return _poll(loop, int64(0))
    left = loop[layout.UNTIL] - loop[layout.NOW]
    if rest > 0:
        left = min(left, rest)
    return _poll(loop, max((left + 999_999) // 1_000_000, 0))


# --- replying ------------------------------------------------------------------------------------


@internal
def _step_block(loop):
    """Step one block and reply; return how the loop goes on: TICK, HAND_OVER or NEEDS_ROOM."""
    head = int64s_at(loop[layout.TABLE], id_index.HEAD)
    start = now(loop)
    messages, rows, reason = gather(loop, head)
    if messages == 0:
        if reason == NEEDS_ROOM:
            return int64(layout.NEEDS_ROOM)
        if reason in (MOVED, ARRIVES):
            answer_moved(loop, next_record(loop), reason)
            return int64(layout.TICK)
        if _answer_last(loop, head):
            return int64(layout.TICK)
        hand_over(loop)
        counts_of(loop)[layout.HANDED_OVER] += 1
        return int64(layout.HAND_OVER)
    before = now(loop)
    between = int64(0)
    if loop[layout.LAST_ROUND] == 0 and rows > layout.BLOCK:
        between = _step_pieces(loop, head, rows)
    else:
        step(loop, rows)
    _count_block(loop, rows, now(loop) - before - between)
    after = _send_replies(loop, int64(0), messages)
    loop[layout.PACE] += ((after - start) // messages - loop[layout.PACE]) // 8
    return int64(layout.TICK)


@internal
def _count_block(loop, rows, nanoseconds):
    counts_of(loop)[layout.BLOCKS] += 1
    count_in(loop, int64(layout.STEP_TIME), nanoseconds, int64(layout.TIME_UNIT))
    count_in(loop, int64(layout.BLOCK_SIZE), rows, int64(0))


@internal
def _send_replies(loop, first, stop):
    """Reply to messages of the block, publish, and free their records; return the time."""
    task = int64s_at(loop[layout.TASK], plan.TASK)
    program = int64s_at(task[plan.TASK_PROGRAM], UNBOUNDED)
    size, width = 4 * program[plan.OUTPUTS], 4 * program[plan.RESULT]
    alarm = alarm_offset(loop, program)
    after = loop[layout.NOW]
    since = first
    for n in range(first, stop):
        send_results(loop, message_of(loop, n), size, width, alarm)
        if n - since == _CLOCK_EVERY - 1 or n == stop - 1:
            after = now(loop)
            for done in range(since, n + 1):
                record = message_of(loop, done)[layout.BATCH_RECORD]
                taken = fields_of(record)[layout.TAKEN]
                count_in(loop, int64(layout.LATENCY), after - taken, int64(layout.TIME_UNIT))
                release(loop, record)
            since = n + 1
    loop[layout.NOW] = after
    return after


@internal
def _step_pieces(loop, head, rows):
    """Step a large STEPS in pieces, and answer single observations of others between them.

    Returns
    -------
    int64
        ns that were spent on the others.
    """
    threads = min(loop[layout.THREADS], rows * loop[layout.ROW_WORK] // loop[layout.SHARE_WORK])
    work = _PIECE_WORK * max(threads, 1) // max(loop[layout.ROW_WORK], 1)
    piece = min(max(work, _PIECE_ROWS), layout.BLOCK * 8)
    between = first = int64(0)
    while first < rows:
        stop = min(first + piece, rows)
        step_rows(loop, first, stop)
        if stop < rows:
            start = now(loop)
            _answer_between(loop, head, rows)
            between += now(loop) - start
        first = stop
    return between


@internal
def _answer_between(loop, head, rows):
    """Answer single observations that are ready, of streams that the block does not have."""
    if loop[layout.CLOSED] == 0:
        _poll(loop, int64(0))  # what it finds besides is found again
        receive_ready(loop)
    taken = gather_between(loop, head, rows)
    if taken == 0:
        return
    before = now(loop)
    step_rows(loop, rows, rows + taken)
    _count_block(loop, taken, now(loop) - before)
    _send_replies(loop, int64(1), taken + 1)


@internal
def _answer_last(loop, head):
    """Answer the first message of the queue if it is a LAST; tell whether it was."""
    record = next_record(loop)
    count = answer_last(loop, head, record)
    if count == 0:
        return False
    advance(loop, record, 1 + count // _IDS)
    loop[layout.NOW] = now(loop)
    taken = fields_of(record)[layout.TAKEN]
    count_in(loop, int64(layout.LATENCY), loop[layout.NOW] - taken, int64(layout.TIME_UNIT))
    release(loop, record)
    return True


@kernel(no_cfunc_wrapper=True)
def serve(address):
    """Serve until Python has something to do.

    Parameters
    ----------
    address : int64
        Of the loop's table (layout.py).

    Returns
    -------
    int64
        TICK: it is UNTIL, or there are subscriptions to read (SUBSCRIBED, which may be set with any
        reason). WOKEN: the wakeup is readable, or a signal came. HAND_OVER: Python has to
        answer the record at HANDED_RECORD, which the next call frees. NEEDS_ROOM: the table of
        streams needs larger arrays. STOPPED: libzmq failed with the errno in FAILED.
    """
    loop = int64s_at(address, LOOP)
    finish_handed(loop)
    loop[layout.NOW] = now(loop)
    loop[layout.READABLE] = 7  # Python may have used the sockets
    loop[layout.SUBSCRIBED] = 0
    free_sent(loop)
    while loop[layout.NOW] < loop[layout.UNTIL]:
        before = loop[layout.NOW]
        wanted = _wait(loop)
        if loop[layout.FAILED] != 0:
            return int64(layout.STOPPED)
        if wanted:
            return int64(layout.WOKEN)
        if loop[layout.NOW] >= loop[layout.UNTIL]:
            break  # a process that was stopped meanwhile may have no right to answer any more
        if loop[layout.READABLE] & 1 << XPUB_SOCKET:
            look_for_subscriptions(loop)
        if loop[layout.CLOSED] == 0:
            receive_ready(loop)
        elif counts_of(loop)[layout.QUEUED] == 0:
            break
        if counts_of(loop)[layout.QUEUED] > 0:
            outcome = _step_block(loop)
            if outcome != layout.TICK:
                return outcome
        earned = loop[layout.SEND_BUDGET] + (loop[layout.NOW] - before) // _SEND_SHARE
        loop[layout.SEND_BUDGET] = min(earned, _MAX_SEND_BUDGET)
        if loop[layout.SUBSCRIBED] != 0:
            break
    return int64(layout.TICK)


@kernel(no_cfunc_wrapper=True)
def discard(address):
    """Free all messages in the queue without an answer, and the large replies that are sent."""
    loop = int64s_at(address, LOOP)
    free_sent(loop)
    finish_handed(loop)
    record = next_record(loop)
    while record != 0:
        advance(loop, record, int64(1))
        release(loop, record)
        record = next_record(loop)


@kernel(no_cfunc_wrapper=True)
def reply_to_handed(address, at, size):
    """Send ``size`` bytes at ``at`` to the sender of the message that Python answers."""
    loop = int64s_at(address, LOOP)
    send_reply(loop, fields_of(loop[layout.HANDED_RECORD]), at, size)


NAME = "message loop of the worker"
SIGNATURES = {
    serve: (int64,),
    discard: (int64,),
    reply_to_handed: (int64, int64, int64),
}
compile.register(NAME, SIGNATURES)
