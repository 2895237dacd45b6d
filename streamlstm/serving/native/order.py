"""The order of service: start-time fair queueing (Goyal, Vin and Cheng 1996).

Each client has a virtual time, which advances by what its messages cost: UNIT for each observation,
and UNIT for each microsecond that Python took to answer a message that was handed over. The client
whose message would end at the lowest virtual time is served next. So each gets the same share,
whatever it sends: while the message of one takes as long as 2,000 observations, each of the others
may have as many steps. And of clients that come at the same time the one that asks for little does
not wait for those that ask for much: when a message would end is estimated from its size.

A client that was idle continues at the virtual time of the queue, that of the message in service,
less a CREDIT: what it sends after a pause overtakes those who always send, up to one block.

The PULL socket, which stands for all publishers, is one more client, with the weight of all others
that wait: it gets half.

The clients that have a message are a binary heap of their numbers.
"""

from numba import int64, uint64

from ...kernels.arguments import UNBOUNDED
from ...kernels.cache import inlined, internal
from ...kernels.pointers import byte_at, int64s_at
from . import layout
from .layout import FIRST, VIRTUAL_TIME
from .views import fields_of, links_of

UNIT = 256  # what an observation costs; the PULL socket pays less, so it is more than 1
CREDIT = UNIT * layout.BLOCK
NANOSECONDS = 1_000  # of Python's time that cost as much as an observation
_BYTE = UNIT // 64  # about what a byte of a message costs: an observation has some 64
_OF_PYTHON = CREDIT  # about what a message costs that has no observations


@internal
def _heap(loop):
    return int64s_at(loop[layout.HEAP], UNBOUNDED)


@internal
def _time_of(loop, client):
    return links_of(loop, client)[VIRTUAL_TIME]


@internal
def _end_of(loop, client):
    """Return about when the first message of a client would end, by its virtual time."""
    links = links_of(loop, client)
    message = fields_of(links[FIRST])
    cost = _BYTE * message[layout.SIZE]
    if message[layout.SIZE] > 1 and byte_at(message[layout.MESSAGE] + 1) > uint64(layout.STEPS):
        cost += _OF_PYTHON
    return links[VIRTUAL_TIME] + cost


@internal
def first_client(loop):
    """Return the client that is served next; -1 if none has a message."""
    return _heap(loop)[0] if loop[layout.HEAP_SIZE] > 0 else int64(-1)


@internal
def enter(loop, client):
    """Add a client that has a message again."""
    links = links_of(loop, client)
    links[VIRTUAL_TIME] = max(links[VIRTUAL_TIME], loop[layout.VIRTUAL_NOW] - CREDIT)
    _insert(loop, client)


@inlined
def pay(loop, client, cost):
    """Let the first client pay for a message, and stay among those who have one."""
    others = loop[layout.HEAP_SIZE] - 1
    if others == 0:
        _pay_alone(loop, client, cost)
    else:
        _advance_now(loop, client)
        _charge(loop, client, cost, others)
        _sift_down(loop)


@inlined
def leave(loop, client, cost):
    """Let the first client pay for its last message, and remove it."""
    if loop[layout.HEAP_SIZE] == 1:
        loop[layout.HEAP_SIZE] = 0
        _pay_alone(loop, client, cost)
    else:
        suspend(loop, client)
        _charge(loop, client, cost, loop[layout.HEAP_SIZE])


@inlined
def _pay_alone(loop, client, cost):
    """Charge a client while no other waits for it, so that nobody is owed anything."""
    links_of(loop, client)[VIRTUAL_TIME] += cost
    _advance_now(loop, client)


@internal
def suspend(loop, client):
    """Remove the first client until it is known what its message costs: :func:`resume`."""
    _advance_now(loop, client)
    heap = _heap(loop)
    loop[layout.HEAP_SIZE] -= 1
    heap[0] = heap[loop[layout.HEAP_SIZE]]
    _sift_down(loop)


@internal
def resume(loop, client, nanoseconds, has_more):
    """Let a suspended client pay for the time that Python took, and add it again if it has more."""
    cost = max(UNIT * nanoseconds // NANOSECONDS, UNIT)
    _charge(loop, client, cost, loop[layout.HEAP_SIZE])
    if has_more:
        _insert(loop, client)


@internal
def _charge(loop, client, cost, others):
    """Charge a client for a message, while so many others wait."""
    if others == 0:
        _pay_alone(loop, client, cost)
        return
    if client == loop[layout.MAX_MESSAGES]:  # the PULL socket, as if each of them paid with it
        cost = max(cost // others, 1)
    links_of(loop, client)[VIRTUAL_TIME] += cost


@inlined
def _advance_now(loop, client):
    loop[layout.VIRTUAL_NOW] = max(loop[layout.VIRTUAL_NOW], _time_of(loop, client))


@internal
def _insert(loop, client):
    heap, end = _heap(loop), _end_of(loop, client)
    place = loop[layout.HEAP_SIZE]
    loop[layout.HEAP_SIZE] += 1
    while place > 0 and end < _end_of(loop, heap[(place - 1) // 2]):
        heap[place] = heap[(place - 1) // 2]
        place = (place - 1) // 2
    heap[place] = client


@internal
def _sift_down(loop):
    """Move the first client of the heap down to its place."""
    heap, size = _heap(loop), loop[layout.HEAP_SIZE]
    if size <= 1:
        return
    client = heap[0]
    end = _end_of(loop, client)
    place = int64(0)
    child = int64(1)
    while child < size:
        if child + 1 < size and _end_of(loop, heap[child + 1]) < _end_of(loop, heap[child]):
            child += 1
        if end <= _end_of(loop, heap[child]):
            break
        heap[place] = heap[child]
        place, child = child, 2 * child + 1
    heap[place] = client
