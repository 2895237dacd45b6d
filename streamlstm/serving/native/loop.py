"""The loop itself: wait, take everything that is ready, step it as one block, answer, go on."""

import numpy as np
from numba import int64, uint64

from ...kernels import id_index
from ...kernels import layout as plan
from ...kernels.arguments import ENDLESS
from ...kernels.cache import kernel, part
from ...kernels.memory import byte_at, c_int, int64s_at, leading_zeros, put_byte
from . import layout
from .answers import answer_busy, answer_message, answer_too_quick
from .block import gather, message_of, step
from .layout import LOOP, RECORD_HEAD
from .observe import NEEDS_ROOM
from .queue import (
    EINTR,
    PULL_DOOR,
    ROUTER_DOOR,
    WAKEUP,
    XPUB_DOOR,
    admit,
    advance,
    counts_of,
    error_number,
    fields_of,
    moment,
    next_record,
    note_empty,
    pull_has_room,
    received,
    release,
    set_received,
    take_one,
)
from .rate import account_of, ahead, charge, note_throttled

_TAKE = 512  # messages of one turn: enough for blocks, few enough that the first waits little
_TAKE_BYTES = 2**22
_LOOK = 1_000_000  # ns between two looks at the wakeup while there is work
_STAMP = 32  # messages that are taken between two looks at the clock
_PATIENT = 20  # one part of so many of the time may be waited for clients' queues,
_MOST_PATIENT = 50_000_000  # ns at a time at most
_DONT_WAIT = 1
_ZERO = np.uint64(0)


@part
def _count_in(loop, histogram, value, unit):
    """Count a value in a histogram of the counts; ``counters.bucket_of``."""
    cells = int64s_at(loop[layout.COUNTS] + 8 * histogram, int64(layout.HISTOGRAM))
    cells[0] += value
    bucket = int64(0)
    if value >> unit > 0:
        octave = 63 - leading_zeros(np.uint64(value >> unit))
        below = octave + unit - 1
        half = int64(0)
        if below >= 0:
            half = value >> below & 1
        bucket = min(2 * octave + half + 1, layout.BUCKETS - 1)
    cells[1 + bucket] += 1


# --- waiting and taking --------------------------------------------------------------------------

# The descriptor of a ZeroMQ socket tells of news only once, and any call of the socket may take
# them. So FULL has a bit for each door that may have something: it is set when the descriptor says
# so or the socket was used otherwise, and cleared when nothing could be taken.


@part
def _look_at(loop, milliseconds):
    """Wait for news, so long at most; return whether Python is wanted."""
    files = loop[layout.FILES]
    found = c_int(loop[layout.POLL], files, int64(4), milliseconds, int64(0))
    loop[layout.NOW] = moment(loop)
    loop[layout.LAST_LOOK] = loop[layout.NOW]
    if found < 0:
        if error_number(loop) != EINTR:
            loop[layout.FAILED] = error_number(loop)
        return True
    for door in range(3):
        if byte_at(files + layout.FILE * door + 6) != _ZERO:
            loop[layout.FULL] |= 1 << door
    return byte_at(files + layout.FILE * WAKEUP + 6) != _ZERO


@part
def _wait(loop):
    """Wait until a door may have something or it is UNTIL; return whether Python is wanted.

    While there is work, this only looks at the wakeup now and then.
    """
    rest = _let_pull_rest(loop)
    full = loop[layout.FULL]
    if rest > 0:
        full &= ~(1 << PULL_DOOR)
    if full != 0 or counts_of(loop)[layout.QUEUED] > 0:
        if loop[layout.NOW] - loop[layout.LAST_LOOK] < _LOOK:
            return False
        return _look_at(loop, int64(0))
    until = min(loop[layout.LAST_MESSAGE] + loop[layout.SPIN], loop[layout.UNTIL])
    if loop[layout.NOW] < until:
        return _look_at(loop, int64(0))
    left = loop[layout.UNTIL] - loop[layout.NOW]
    if rest > 0:
        left = min(left, rest)
    return _look_at(loop, max((left + 999_999) // 1_000_000, 0))


@part
def _let_pull_rest(loop):
    """Return for how many ns nothing is taken from the pull door, and let poll pass it over."""
    if loop[layout.INTERVAL] == 0:
        return int64(0)
    rest = ahead(loop, int64(layout.PULL_ACCOUNT))
    put_byte(loop[layout.FILES] + layout.FILE * PULL_DOOR + 4, uint64(rest <= 0))  # POLLIN is 1
    return rest


@part
def _listen(loop):
    """Count what is subscribed to: nothing is published where nobody listens."""
    counts = counts_of(loop)
    at = loop[layout.SCRATCH]
    for _ in range(_TAKE):
        size = c_int(
            loop[layout.RECEIVE], loop[layout.XPUB], at, loop[layout.MAX_FRAME], int64(_DONT_WAIT)
        )
        if size < 0:
            note_empty(loop, int64(XPUB_DOOR))
            return
        if size > 0 and byte_at(at) == np.uint64(1):
            counts[layout.SUBSCRIPTIONS] += 1
        elif size > 0 and byte_at(at) == _ZERO and counts[layout.SUBSCRIPTIONS] > 0:
            counts[layout.SUBSCRIPTIONS] -= 1


@part
def _take(loop):
    """Take what is there at router and pull, one message of each in turn, up to a bound."""
    router, pull = loop[layout.FULL] & 1 != 0, loop[layout.FULL] & 2 != 0
    head = int64s_at(loop[layout.HEAD], RECORD_HEAD // 8)
    taken = size = 0
    while (router or pull) and taken < _TAKE and size < _TAKE_BYTES:
        if taken % _STAMP == _STAMP - 1:
            loop[layout.NOW] = moment(loop)
        if router:
            router = take_one(loop, int64(ROUTER_DOOR), head)
            if router:
                taken += 1
                size += head[layout.SIZE]
                _admit_asked(loop, head)
        if pull:
            pull = _pull_may_come(loop) and take_one(loop, int64(PULL_DOOR), head)
            if pull:
                taken += 1
                size += head[layout.SIZE]
                head[layout.ACCOUNT] = layout.PULL_ACCOUNT
                charge(loop, int64(layout.PULL_ACCOUNT), head)
                admit(loop, head, int64(PULL_DOOR))
    if taken > 0:
        loop[layout.LAST_MESSAGE] = loop[layout.NOW]


@part
def _admit_asked(loop, head):
    """Let the message in the scratch wait its turn, or answer that its client has to wait."""
    if loop[layout.ACCOUNTS] == 0:
        if not admit(loop, head, int64(ROUTER_DOOR)):
            answer_busy(loop, head)
        return
    account = account_of(loop, head)
    if account < 0:
        answer_busy(loop, head)
        return
    head[layout.ACCOUNT] = account
    wait = ahead(loop, account)
    if wait > 0:
        note_throttled(loop, account)
        answer_too_quick(loop, head, wait)
    elif admit(loop, head, int64(ROUTER_DOOR)):
        charge(loop, account, head)
    else:
        answer_busy(loop, head)


@part
def _pull_may_come(loop):
    """Tell whether one more message may be taken from the pull door."""
    if loop[layout.INTERVAL] != 0 and ahead(loop, int64(layout.PULL_ACCOUNT)) > 0:
        note_throttled(loop, int64(layout.PULL_ACCOUNT))
        return False
    return pull_has_room(loop)


# --- answering -----------------------------------------------------------------------------------


@part
def _answer(loop):
    """Step and answer one block; return how the loop goes on: TICK, HAND_OVER or NEEDS_ROOM."""
    head = int64s_at(loop[layout.TABLE], id_index.HEAD)
    counts = counts_of(loop)
    start = moment(loop)
    messages, rows, reason = gather(loop, head)
    if messages == 0:
        if reason == NEEDS_ROOM:
            return int64(layout.NEEDS_ROOM)
        loop[layout.HANDED] = next_record(loop)
        loop[layout.RECEIVED] = received(loop, loop[layout.HANDED])
        advance(loop, loop[layout.HANDED])
        counts[layout.HANDED_OVER] += 1
        return int64(layout.HAND_OVER)
    before = moment(loop)
    step(loop, rows)
    after = moment(loop)
    counts[layout.BLOCKS] += 1
    _count_in(loop, int64(layout.STEP_TIME), after - before, int64(layout.TIME_UNIT))
    _count_in(loop, int64(layout.BLOCK_SIZE), rows, int64(0))
    task = int64s_at(loop[layout.TASK], plan.TASK)
    size = 4 * int64s_at(task[plan.TASK_PROGRAM], ENDLESS)[plan.OUTPUTS]
    for n in range(messages):
        message = message_of(loop, n)
        answer_message(loop, message, size)
        if n % _STAMP == _STAMP - 1 or n == messages - 1:
            after = moment(loop)
            for done in range(n // _STAMP * _STAMP, n + 1):
                record = message_of(loop, done)[layout.BATCH_RECORD]
                taken = fields_of(record)[layout.TAKEN]
                _count_in(loop, int64(layout.LATENCY), after - taken, int64(layout.TIME_UNIT))
                release(loop, record)
    loop[layout.NOW] = after
    loop[layout.PACE] += ((after - start) // messages - loop[layout.PACE]) // 8
    return int64(layout.TICK)


@kernel(no_cfunc_wrapper=True)
def serve(address):
    """Serve until Python has to do something.

    Parameters
    ----------
    address : int64
        Of the loop's table (layout.py).

    Returns
    -------
    int64
        TICK: it is UNTIL. WOKEN: the wakeup is ready, or a signal came. HAND_OVER: the record at
        HANDED is to be answered by Python; the next call gives it back. NEEDS_ROOM: the table of
        streams needs larger arrays. STOPPED: FAILED says with which errno.
    """
    loop = int64s_at(address, LOOP)
    if loop[layout.HANDED] != 0:
        set_received(loop, loop[layout.HANDED], loop[layout.RECEIVED])
        release(loop, loop[layout.HANDED])
        loop[layout.HANDED] = 0
    loop[layout.NOW] = moment(loop)
    loop[layout.FULL] = 7  # Python may have used the sockets
    while loop[layout.NOW] < loop[layout.UNTIL]:
        before = loop[layout.NOW]
        wanted = _wait(loop)
        if loop[layout.FAILED] != 0:
            return int64(layout.STOPPED)
        if wanted:
            return int64(layout.WOKEN)
        if loop[layout.FULL] & 1 << XPUB_DOOR:
            _listen(loop)
        if loop[layout.CLOSED] == 0:
            _take(loop)
        elif counts_of(loop)[layout.QUEUED] == 0:
            break
        if counts_of(loop)[layout.QUEUED] > 0:
            outcome = _answer(loop)
            if outcome != layout.TICK:
                return outcome
        earned = loop[layout.PATIENCE] + (loop[layout.NOW] - before) // _PATIENT
        loop[layout.PATIENCE] = min(earned, _MOST_PATIENT)
    return int64(layout.TICK)


@kernel(no_cfunc_wrapper=True)
def let_go(address):
    """Give back all messages that wait; nobody will answer them."""
    loop = int64s_at(address, LOOP)
    if loop[layout.HANDED] != 0:
        release(loop, loop[layout.HANDED])
        loop[layout.HANDED] = 0
    record = next_record(loop)
    while record != 0:
        advance(loop, record)
        release(loop, record)
        record = next_record(loop)


SIGNATURES = {serve: (int64,), let_go: (int64,)}
