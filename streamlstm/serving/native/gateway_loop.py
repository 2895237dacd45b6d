"""The message loop of a gateway: receive, send each request to its worker, pass replies back."""

import numpy as np
from numba import int64

from ...kernels import compile
from ...kernels.cache import internal, kernel
from ...kernels.pointers import byte_at, c_int, c_word, int64s_at
from . import gateway_layout as gl
from . import layout, order
from .admission import look_for_subscriptions, pull_pause, receive_ready
from .gateway_answers import answer, forget_received, lose, receive_replies
from .gateway_flight import send_waiting, worker_row
from .gateway_requests import take_request
from .large import free_sent
from .layout import LOOP
from .queue import received, release, set_received
from .send import send_reply, set_no_drop
from .views import (
    DONT_WAIT,
    EAGAIN,
    EINTR,
    PULL_SOCKET,
    SEND_MORE,
    WAKEUP,
    XPUB_SOCKET,
    counts_of,
    error_number,
    fields_of,
    links_of,
    now,
    refresh,
)

_TAKEN = 512  # requests of the queue between two looks at what came
_FORWARDED = 512  # publications likewise
_POLL_INTERVAL = 1_000_000  # ns between two polls of the wakeup while there is work
_RETRY_MS = 1  # for which it sleeps at most while requests wait for something
_SEND_SHARE, _MAX_SEND_BUDGET = 20, 50_000_000  # as in loop.py
_ZERO = np.uint64(0)


@internal
def _poll(loop, gateway, milliseconds):
    """Poll all sockets with a timeout; return whether to return to Python."""
    files, count = gateway[gl.FILES], gateway[gl.FILE_COUNT]
    found = c_int(loop[layout.POLL], files, count, milliseconds, int64(0))
    loop[layout.NOW] = now(loop)
    loop[layout.LAST_POLL] = loop[layout.NOW]
    if found < 0:
        if error_number(loop) != EINTR:
            loop[layout.FAILED] = error_number(loop)
        return True
    for source in range(3):
        if _is_readable(files, int64(source)):
            loop[layout.READABLE] |= 1 << source
    if _is_readable(files, int64(gl.XSUB_FILE)):
        gateway[gl.XSUB_READABLE] = 1
    for source in range(gl.FIRST_WORKER, count):
        if _is_readable(files, int64(source)):
            worker_row(gateway, source - gl.FIRST_WORKER)[gl.READABLE] = 1
    return _is_readable(files, int64(WAKEUP)) or _is_readable(files, int64(gl.CONTROL))


@internal
def _is_readable(files, source):
    return byte_at(files + layout.POLL_ITEM * source + 6) != _ZERO


@internal
def _wait(loop, gateway):
    """Wait until there is something to do or it is UNTIL; return whether to return to Python."""
    rest = pull_pause(loop)
    ready = loop[layout.READABLE]
    if rest > 0:
        ready &= ~(1 << PULL_SOCKET)
    ready |= gateway[gl.XSUB_READABLE] | loop[layout.HEAP_SIZE]
    for source in range(gl.FIRST_WORKER, gateway[gl.FILE_COUNT]):
        ready |= worker_row(gateway, source - gl.FIRST_WORKER)[gl.READABLE]
    if ready != 0:
        if loop[layout.NOW] - loop[layout.LAST_POLL] < _POLL_INTERVAL:
            return False
        return _poll(loop, gateway, int64(0))
    if loop[layout.NOW] < min(loop[layout.LAST_MESSAGE] + loop[layout.SPIN], loop[layout.UNTIL]):
        return _poll(loop, gateway, int64(0))
    left = loop[layout.UNTIL] - loop[layout.NOW]
    if rest > 0:
        left = min(left, rest)
    milliseconds = max((left + 999_999) // 1_000_000, 0)
    if gateway[gl.STIRRED_COUNT] > 0:
        milliseconds = min(milliseconds, _RETRY_MS)
    return _poll(loop, gateway, milliseconds)


# --- publications --------------------------------------------------------------------------------


@internal
def _pass_publications(loop, gateway):
    """Pass what workers published to the subscribers here."""
    refresh(loop, gateway[gl.XSUB])
    at = loop[layout.REPLY]
    message, xsub = gateway[gl.REPLY_MESSAGE], gateway[gl.XSUB]
    for _ in range(_FORWARDED):
        room, flags = int64(layout.MAX_IDENTITY + 64), int64(DONT_WAIT)
        size = c_int(loop[layout.RECEIVE], xsub, at, room, flags)
        if size < 0:
            if error_number(loop) == EAGAIN:
                gateway[gl.XSUB_READABLE] = 0
            elif error_number(loop) != EINTR:
                loop[layout.FAILED] = error_number(loop)
            return
        length = c_int(loop[layout.RECEIVE_MESSAGE], message, xsub, flags, int64(0))
        data = c_word(loop[layout.DATA_OF], message, int64(0), int64(0), int64(0))
        if length >= 0 and size <= room:
            _publish(loop, at, size, data, length)


@internal
def _publish(loop, topic, size, data, length):
    counts_of(loop)[layout.PUBLICATIONS] += 1
    loop[layout.READABLE] |= 1 << XPUB_SOCKET
    xpub, more, last = loop[layout.XPUB], int64(SEND_MORE | DONT_WAIT), int64(DONT_WAIT)
    full = c_int(loop[layout.SEND], xpub, topic, size, more) < 0
    if full:  # as in send.py
        counts_of(loop)[layout.SUBSCRIBER_OVERFLOWS] += 1
        set_no_drop(loop, int64(0))
        c_int(loop[layout.SEND], xpub, topic, size, more)
    c_int(loop[layout.SEND], xpub, data, length, last)
    if full:
        set_no_drop(loop, int64(1))


# --- entries -------------------------------------------------------------------------------------


@internal
def _turn(loop, gateway):
    """Do what can be done at once; return why Python has to go on, 0 for no reason."""
    for source in range(gl.FIRST_WORKER, gateway[gl.FILE_COUNT]):
        if receive_replies(loop, gateway, source - gl.FIRST_WORKER):
            return int64(gl.REPLY)
    if gateway[gl.XSUB_READABLE] != 0:
        _pass_publications(loop, gateway)
    if loop[layout.READABLE] & 1 << XPUB_SOCKET:
        look_for_subscriptions(loop)
    if loop[layout.CLOSED] == 0:
        receive_ready(loop)
    if gateway[gl.STIRRED_COUNT] > 0:
        send_waiting(loop, gateway)
    taken = int64(0)
    while loop[layout.HEAP_SIZE] > 0 and taken < _TAKEN:
        taken += 1
        if take_request(loop, gateway):
            return int64(gl.REQUEST)
    return int64(0)


@kernel(no_cfunc_wrapper=True)
def forward(address):
    """Serve until Python has something to do.

    Parameters
    ----------
    address : int64
        Of the gateway's table (gateway_layout.py).

    Returns
    -------
    int64
        TICK: it is UNTIL, or there are subscriptions to read. WOKEN: the wakeup or the control
        socket is readable, or a signal came. REQUEST: Python has to answer the request of
        HANDED_RECORD, and then calls :func:`finish`. REPLY: Python has to deal with a reply, to one
        of its own messages or to the request of HANDED_RECORD. STOPPED: libzmq failed with the
        errno in FAILED.
    """
    gateway = int64s_at(address, gl.GATEWAY)
    loop = int64s_at(gateway[gl.LOOP_AT], LOOP)
    loop[layout.NOW] = now(loop)
    loop[layout.READABLE] = 7  # Python may have used the sockets
    loop[layout.SUBSCRIBED] = 0
    gateway[gl.XSUB_READABLE] = 1
    gateway[gl.HANDED_RECORD] = 0
    free_sent(loop)
    while loop[layout.NOW] < loop[layout.UNTIL]:
        before = loop[layout.NOW]
        wanted = _wait(loop, gateway)
        if loop[layout.FAILED] != 0:
            return int64(layout.STOPPED)
        if wanted:
            return int64(layout.WOKEN)
        reason = _turn(loop, gateway)
        loop[layout.NOW] = now(loop)
        earned = loop[layout.SEND_BUDGET] + (loop[layout.NOW] - before) // _SEND_SHARE
        loop[layout.SEND_BUDGET] = min(earned, _MAX_SEND_BUDGET)
        if reason != 0:
            return reason
        if loop[layout.SUBSCRIBED] != 0:
            break
    return int64(layout.TICK)


@kernel(no_cfunc_wrapper=True)
def finish(address, record, rows, at, size):
    """Answer a request that Python has dealt with, and go on with its client.

    Parameters
    ----------
    address, record : int64
    rows : int64
        Observations that it had, for barriers.
    at, size : int64
        The reply; size 0 for none.
    """
    gateway = int64s_at(address, gl.GATEWAY)
    loop = int64s_at(gateway[gl.LOOP_AT], LOOP)
    fields = fields_of(record)
    client = fields[layout.CLIENT]
    if client != loop[layout.MAX_MESSAGES]:
        set_received(loop, record, received(loop, record) + rows)
        if size > 0:
            send_reply(loop, fields, at, size)
    links = links_of(loop, client)
    links[layout.FIRST] = fields[layout.NEXT]
    links[gl.STOPPED] = 0
    order.resume(loop, client, int64(0), links[layout.FIRST] != 0)
    release(loop, record)


@kernel(no_cfunc_wrapper=True)
def pass_on(address, record, at, size):
    """Answer a request with a reply that Python has looked at; size 0 for none."""
    gateway = int64s_at(address, gl.GATEWAY)
    answer(int64s_at(gateway[gl.LOOP_AT], LOOP), gateway, record, at, size)


@kernel(no_cfunc_wrapper=True)
def leave(address, worker):
    """Deal with what was at a worker that is gone."""
    gateway = int64s_at(address, gl.GATEWAY)
    loop = int64s_at(gateway[gl.LOOP_AT], LOOP)
    lose(loop, gateway, worker)
    forget_received(loop)


NAME = "message loop of the gateway"
SIGNATURES = {
    forward: (int64,),
    finish: (int64,) * 5,
    pass_on: (int64,) * 4,
    leave: (int64,) * 2,
}
compile.register(NAME, SIGNATURES)
