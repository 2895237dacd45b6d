"""Send large replies, and know which of them libzmq still holds.

A client that does not read makes libzmq hold up to a thousand of its replies: little while they are
short. A large one is given to libzmq in memory of its own, with a function to call as soon as the
reply has gone: libzmq's own `zmq_atomic_counter_inc`, which adds 1 to what begins there. So a reply
whose first four bytes have changed is no longer needed. Until then it is charged to its client,
which may have as many bytes of such replies as are still free (queue.py), and one in any case.
"""

from numba import int64

from ...kernels.cache import internal
from ...kernels.pointers import c_int, c_int_of_five, c_word, copy_bytes, half_at, int64s_at
from . import layout
from .layout import HELD_ADDRESS, HELD_CLIENT, HELD_REPLY, HELD_SIZE, HELD_WORD


@internal
def _held(loop, n):
    """View one of the replies that libzmq holds."""
    return int64s_at(loop[layout.HELD] + 8 * HELD_REPLY * n, HELD_REPLY)


@internal
def free_sent(loop):
    """Free the replies that libzmq no longer holds."""
    n = int64(0)
    while n < loop[layout.HELD_COUNT]:
        held = _held(loop, n)
        if int64(half_at(held[HELD_ADDRESS])) == held[HELD_WORD]:
            n += 1
            continue
        c_word(loop[layout.RELEASE], held[HELD_ADDRESS], int64(0), int64(0), int64(0))
        loop[layout.HELD_BYTES] -= held[HELD_SIZE]
        loop[layout.HELD_COUNT] -= 1
        last = _held(loop, loop[layout.HELD_COUNT])
        for place in range(HELD_REPLY):
            held[place] = last[place]


@internal
def may_hold(loop, client, size):
    """Tell whether libzmq may hold one more reply of so many bytes to a client."""
    free_sent(loop)
    if loop[layout.HELD_COUNT] == layout.MAX_HELD:
        return False
    own = int64(0)
    for n in range(loop[layout.HELD_COUNT]):
        held = _held(loop, n)
        if held[HELD_CLIENT] == client:
            own += held[HELD_SIZE]
    return own == 0 or own + size <= loop[layout.MAX_BYTES] - loop[layout.HELD_BYTES]


@internal
def send_large(loop, client, at, size, flags):
    """Send the last frame of a reply in memory of its own; return False if there is none."""
    data = c_word(loop[layout.ALLOCATE], size, int64(0), int64(0), int64(0))
    if data == 0:
        return False
    copy_bytes(data, at, size)
    held = _held(loop, loop[layout.HELD_COUNT])
    held[HELD_ADDRESS], held[HELD_SIZE], held[HELD_CLIENT] = data, size, client
    held[HELD_WORD] = int64(half_at(data))
    loop[layout.HELD_COUNT] += 1
    loop[layout.HELD_BYTES] += size
    message = loop[layout.LARGE_MESSAGE]
    c_int_of_five(loop[layout.INIT_MESSAGE], message, data, size, loop[layout.COUNT_UP], int64(0))
    sent = c_int(loop[layout.SEND_MESSAGE], message, loop[layout.ROUTER], flags, int64(0))
    if sent < 0:
        c_int(loop[layout.CLOSE_MESSAGE], message, int64(0), int64(0), int64(0))
    return True
