"""Take what came at the sockets into the queue: bounded in each pass, limited in rate, fair."""

from numba import int64, uint64

from ...kernels import compile
from ...kernels.cache import by_address, internal
from ...kernels.pointers import call_at, int64s_at, put_byte
from . import layout
from .layout import LOOP, RECORD_HEAD
from .queue import admit, has_room_for_pull
from .rate import account_of, charge, note_throttled, wait_time
from .receive import receive
from .send import reply_busy, reply_throttled
from .views import PULL_SOCKET, ROUTER_SOCKET, XPUB_SOCKET, now, refresh

_MAX_MESSAGES = 512  # of one pass: enough for a block, few enough that the first waits little
_MAX_BYTES = 2**20
_REFUSED_SHARE = 64  # one part in so many of a refused message counts: to refuse it is quick, and
# what is not received ZeroMQ holds
_BUSY_MESSAGES = 4  # messages of a pass that a `busy` reply counts as: it leaves nothing to do
_CLOCK_EVERY = 32  # messages between two readings of the clock


@internal
def pull_pause(loop):
    """Return for how many ns the rate limit pauses the PULL socket, which is not polled then."""
    if loop[layout.INTERVAL] == 0:
        return int64(0)
    rest = wait_time(loop, int64(layout.PULL_ACCOUNT))
    events = loop[layout.POLL_ITEMS] + layout.POLL_ITEM * PULL_SOCKET + 4
    put_byte(events, uint64(rest <= 0))  # POLLIN is 1
    return rest


@internal
def look_for_subscriptions(loop):
    """Set whether the XPUB socket has subscriptions, which Python reads: they are rare."""
    refresh(loop, loop[layout.XPUB])
    # The socket's events are in OPTION now; POLLIN is 1.
    loop[layout.SUBSCRIBED] = int64s_at(loop[layout.OPTION], int64(1))[0] & 1
    loop[layout.READABLE] &= ~(1 << XPUB_SOCKET)


@internal
def receive_ready(loop):
    """Receive from ROUTER and PULL by what is compiled besides, so by another process meanwhile."""
    call_at(loop[layout.RECEIVE_READY], loop[layout.ADDRESS], int64(0), int64(0), int64(0))


@by_address
def receive_messages(address, _b, _c, _d):
    """Receive from ROUTER and PULL, one message of each in turn, up to a bound."""
    loop = int64s_at(address, LOOP)
    router, pull = loop[layout.READABLE] & 1 != 0, loop[layout.READABLE] & 2 != 0
    head = int64s_at(loop[layout.HEAD], RECORD_HEAD // 8)
    if router:
        refresh(loop, loop[layout.ROUTER])
    taken = size = looks = 0
    while (router or pull) and taken < _MAX_MESSAGES and size < _MAX_BYTES:
        looks += 1
        if looks % _CLOCK_EVERY == 0:
            loop[layout.NOW] = now(loop)
        if router:
            router = receive(loop, int64(ROUTER_SOCKET), head)
            if router:
                if _admit_request(loop, head):
                    taken += 1
                    size += head[layout.SIZE]
                else:
                    taken += _BUSY_MESSAGES
                    size += head[layout.SIZE] // _REFUSED_SHARE
        if pull:
            pull = _may_receive_pull(loop) and receive(loop, int64(PULL_SOCKET), head)
            if pull:
                taken += 1
                size += head[layout.SIZE]
                head[layout.ACCOUNT] = layout.PULL_ACCOUNT
                charge(loop, int64(layout.PULL_ACCOUNT), head)
                admit(loop, head, int64(PULL_SOCKET))
    if taken > 0:
        loop[layout.LAST_MESSAGE] = loop[layout.NOW]


@internal
def _admit_request(loop, head):
    """Queue the message in the scratch, or reply ``busy`` and return False."""
    account = int64(-1)
    if loop[layout.ACCOUNTS] != 0:
        account = account_of(loop, head)
        if account < 0:
            reply_busy(loop, head)
            return False
        head[layout.ACCOUNT] = account
        wait = wait_time(loop, account)
        if wait > 0:
            note_throttled(loop, account)
            reply_throttled(loop, head, wait)
            return False
    if not admit(loop, head, int64(ROUTER_SOCKET)):
        reply_busy(loop, head)
        return False
    if account >= 0:
        charge(loop, account, head)
    return True


@internal
def _may_receive_pull(loop):
    """Tell whether rate limit and queue allow one more message from the PULL socket."""
    if loop[layout.INTERVAL] != 0 and wait_time(loop, int64(layout.PULL_ACCOUNT)) > 0:
        note_throttled(loop, int64(layout.PULL_ACCOUNT))
        return False
    return has_room_for_pull(loop)


NAME = "receipt of messages"
compile.register(NAME, {receive_messages: (int64,) * 4})
