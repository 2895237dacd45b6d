"""The table of a compiled loop, as far as it is of sockets and of the queue of their clients."""

from __future__ import annotations

import ctypes
import select
from typing import Any, NamedTuple

import numpy as np
import zmq
from numpy.typing import NDArray

from .. import wire
from ..engine.id_index import IdIndex
from ..kernels import compile, id_index
from ..lazy_arrays import lazy_zeros
from .access.client_accounts import PULL_NAME, THROTTLED
from .access.limits import Limits
from .counters import Counters
from .libzmq import libzmq
from .native import admission, layout
from .queue_limits import QueueLimits
from .sockets import Sockets

_BUSY = "the worker's queue is full and nothing was done; wait a little, send it again"


class LoopSetup(NamedTuple):
    """What a compiled loop serves, and within which bounds.

    Attributes
    ----------
    sockets : Sockets
    wakeup : int
        A file descriptor that ends a wait when there is something to read.
    counters : Counters
    max_message_bytes : int
    queue_limits : QueueLimits
    functions : dict of int to int
        From :func:`.libzmq.find_functions`.
    spin : float
        Seconds to poll for messages before sleeping.
    authenticated : bool
        Whether the sockets use CURVE: then each message's sender has a role.
    limits : Limits
        Of each client.
    """

    sockets: Sockets
    wakeup: int
    counters: Counters
    max_message_bytes: int
    queue_limits: QueueLimits
    functions: dict[int, int]
    spin: float
    authenticated: bool
    limits: Limits


def head_of(record: int) -> list[int]:
    """Return the numbers at the head of the record at an address."""
    return ctypes.cast(record, ctypes.POINTER(ctypes.c_int64))[: layout.RECORD_HEAD // 8]


class QueueTable:
    """Allocates what sockets and a queue of messages need in compiled code, and keeps it alive.

    Parameters
    ----------
    setup : LoopSetup

    Attributes
    ----------
    fields : int64[LOOP]
        The table itself (native/layout.py).
    address : int
    clients : IdIndex
        Clients at the ROUTER socket, by routing id.
    accounts : IdIndex or None
        Accounts of clients, that of the PULL socket first; None where nothing is limited.

    Raises
    ------
    BadValueError
        If the queue is too small for messages of ``setup.max_message_bytes``.
    """

    def __init__(self, setup: LoopSetup) -> None:
        sockets, limits = setup.sockets, setup.limits
        self._alive: list[Any] = [sockets]
        self._libzmq = libzmq()
        self.fields = fields = np.zeros(layout.LOOP, np.int64)
        for place, address in setup.functions.items():
            fields[place] = address
        for place, socket in zip((layout.ROUTER, layout.PULL, layout.XPUB), sockets, strict=True):
            fields[place] = socket.underlying
        fields[layout.COUNTS] = self._keep(setup.counters.cells)
        fields[layout.OPTION] = self._keep(np.array([0, 4], np.int64))
        fields[layout.TIMESPEC] = self._zeros(2)
        fields[layout.POLL_ITEMS] = self._poll_files(sockets, setup.wakeup)
        fields[layout.SPIN] = round(setup.spin * 1e9)
        fields[layout.PACE] = 1_000
        self._allocate_queue(setup.max_message_bytes, setup.queue_limits)
        fields[layout.LARGE_MESSAGE] = self._zeros(8)  # a zmq_msg_t: 64 bytes
        fields[layout.HELD] = self._zeros(layout.MAX_HELD * layout.HELD_REPLY)
        if setup.authenticated or limits:
            # A zmq_msg_t: 64 bytes, and empty once libzmq has initialised it.
            fields[layout.MESSAGE_OBJECT] = message = self._zeros(8)
            self._libzmq.zmq_msg_init(ctypes.c_void_p(message))
            name = b"User-Id\0" if setup.authenticated else b"Peer-Address\0"
            fields[layout.USER_ID] = self._keep(np.frombuffer(name, np.uint8))
            fields[layout.BY_ADDRESS] = not setup.authenticated
            fields[layout.ACCOUNT_NAME] = self._zeros(layout.MAX_IDENTITY, np.uint8)
        self.accounts: IdIndex | None = None
        if limits:
            self.accounts = self._allocate_accounts(limits)
        self.address = fields[layout.ADDRESS] = self._keep(fields)
        fields[layout.RECEIVE_READY] = compile.address(admission.receive_messages)

    def _keep(self, array: NDArray[Any]) -> int:
        """Keep an array alive as long as the table; return its address."""
        self._alive.append(array)
        return int(array.ctypes.data)

    def _zeros(self, count: int, dtype: Any = np.int64) -> int:
        return self._keep(lazy_zeros(count, dtype))

    def _poll_files(self, sockets: Sockets, wakeup: int) -> int:
        """Return the address of what poll takes: descriptor, events, events found, of each."""
        kind = np.dtype([("fd", "i4"), ("events", "i2"), ("found", "i2")])
        files = np.zeros(4, kind)
        files["fd"] = [*(socket.getsockopt(zmq.FD) for socket in sockets), wakeup]
        files["events"] = select.POLLIN
        return self._keep(files)

    def _allocate_queue(self, max_message_bytes: int, limits: QueueLimits) -> None:
        """Allocate the queue, and the scratch that one message is received into."""
        limits.check(max_message_bytes)
        fields, messages = self.fields, limits.messages
        # Twice the limit is received, so that a message above it gets an answer that says so.
        frame = 2 * max_message_bytes
        fields[layout.MAX_SIZE], fields[layout.MAX_FRAME] = max_message_bytes, frame
        fields[layout.MAX_MESSAGES], fields[layout.MAX_BYTES] = messages, limits.bytes
        route = layout.MAX_IDENTITY + layout.MAX_ENVELOPE * layout.MAX_ENVELOPE_BYTES
        fields[layout.SCRATCH] = self._zeros(route + frame, np.uint8)
        fields[layout.HEAD] = self._zeros(layout.RECORD_HEAD // 8)
        fields[layout.RECORDS] = self._zeros(messages * layout.RECORD, np.uint8)
        fields[layout.LINKS] = self._zeros((messages + 1) * layout.LINK)
        fields[layout.HEAP] = self._zeros(messages + 1)
        self.clients = clients = IdIndex(messages)
        clients.reserve(messages, 2 * messages * layout.MAX_IDENTITY)
        fields[layout.CLIENTS] = clients.address
        fields[layout.SPARE_TEXTS] = self._zeros(int(clients.head[id_index.TEXT_SIZE]), np.uint8)
        self._put_words("busy", _BUSY, layout.BUSY_WORDS, layout.BUSY_SIZE)

    def _allocate_accounts(self, limits: Limits) -> IdIndex:
        names = layout.MAX_ACCOUNTS * layout.MAX_IDENTITY
        accounts = IdIndex(layout.MAX_ACCOUNTS)
        accounts.reserve(layout.MAX_ACCOUNTS, 2 * names)
        accounts.claim(PULL_NAME)
        self.fields[layout.ACCOUNTS] = accounts.address
        size = int(accounts.head[id_index.TEXT_SIZE])
        self.fields[layout.SPARE_NAMES] = self._zeros(size, np.uint8)
        self.fields[layout.INTERVAL] = limits.interval
        self._put_words("busy", THROTTLED, layout.RATE_WORDS, layout.RATE_SIZE)
        return accounts

    def _put_words(self, code: str, sentence: str, place: int, size: int) -> None:
        """Put the code and the sentence of a reply into the table."""
        words = wire.encode_words(code, sentence)
        self.fields[place] = self._keep(np.frombuffer(words, np.uint8))
        self.fields[size] = len(words)

    def close(self) -> None:
        """Release what libzmq holds."""
        if self.fields[layout.MESSAGE_OBJECT]:
            self._libzmq.zmq_msg_close(ctypes.c_void_p(int(self.fields[layout.MESSAGE_OBJECT])))
