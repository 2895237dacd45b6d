"""The compiled loop of a worker, from Python's side: its table, and one call into it."""

from __future__ import annotations

import ctypes
import select
import time
from enum import IntEnum
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from .. import wire
from ..engine.native_view import Lent
from ..engine.state_table import StateTable
from ..kernels import compile, id_index
from ..lazy_arrays import lazy_zeros
from .access.limits import PULL_NAME, TOO_QUICK, Account, Limits
from .access.roles import permitted
from .envelope import Arrival, bad_envelope, too_many_frames
from .native import layout, loop
from .native.counters import Counters
from .queue_limits import Bounds
from .sessions import Session

NAME = "the worker's loop"
compile.register(NAME, list(loop.SIGNATURES.items()))

# So many multiply-adds must fall to each thread for a block to be shared, some 100 us of them. An
# engine by itself shares a tenth of that; here the other threads are ZeroMQ's and the clients', and
# with 64 units two threads halved the predictions a second on two cores.
SHARE_WORK = 5_000_000

# Functions of libzmq and of C, and where their addresses stand.
_ZMQ = {
    "zmq_recv": layout.RECEIVE,
    "zmq_send": layout.SEND,
    "zmq_getsockopt": layout.GET_OPTION,
    "zmq_setsockopt": layout.SET_OPTION,
    "zmq_errno": layout.ERROR_NUMBER,
}
_KNOWN = {  # where doors have locks
    "zmq_msg_recv": layout.RECEIVE_KNOWN,
    "zmq_msg_data": layout.DATA_OF,
    "zmq_msg_gets": layout.PROPERTY_OF,
}
_C = {
    "poll": layout.POLL,
    "clock_gettime": layout.CLOCK,
    "malloc": layout.ALLOCATE,
    "free": layout.RELEASE,
    "usleep": layout.SLEEP,
}
_BUSY_SENTENCE = "the worker's queue is full and nothing was done; wait a little, send it again"


class Reason(IntEnum):
    """Why the loop came back."""

    TICK = layout.TICK
    WOKEN = layout.WOKEN
    HAND_OVER = layout.HAND_OVER
    NEEDS_ROOM = layout.NEEDS_ROOM
    STOPPED = layout.STOPPED


def libzmq() -> ctypes.CDLL:
    """Return the libzmq that pyzmq has loaded; raises OSError if it is not on Cython's backend."""
    from zmq.backend.cython import _zmq

    return ctypes.CDLL(_zmq.__file__)


def find_functions() -> dict[int, int] | None:
    """Return where C's and libzmq's functions stand, by their places in the loop's table.

    libzmq is the one that pyzmq has loaded. None if it cannot be found: pyzmq may have been built
    in another way than its wheels.
    """
    found = {}
    try:
        for library, names in ((libzmq(), _ZMQ | _KNOWN), (ctypes.CDLL(None), _C)):
            for name, place in names.items():
                found[place] = ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except (ImportError, OSError, AttributeError):
        return None
    return found if all(found.values()) else None


class CompiledLoop:
    """Serves three doors until Python has something to do.

    Parameters
    ----------
    lent : Lent
        The engine's streams. Nobody else steps them while :meth:`serve` runs.
    doors : sequence of zmq.Socket
        ROUTER, PULL, XPUB.
    wakeup : int
        A file descriptor that ends a wait when there is something to read.
    counters : Counters
    max_message_bytes : int
    bounds : Bounds
    functions : dict of int to int
        From :func:`find_functions`.
    spin : float
        Seconds to look for messages before sleeping.
    locked : bool
        Whether doors have locks: then each message's sender has a role.
    limits : Limits
    """

    def __init__(
        self,
        lent: Lent,
        doors: list[zmq.Socket[bytes]],
        wakeup: int,
        counters: Counters,
        max_message_bytes: int,
        bounds: Bounds,
        functions: dict[int, int],
        spin: float = 0.0,
        locked: bool = False,
        limits: Limits = Limits(),  # noqa: B008 - it cannot change
    ) -> None:
        compile.prepare(None, [NAME])
        self._serve = compile.entry(loop.serve, loop.SIGNATURES[loop.serve])
        self._let_go = compile.entry(loop.let_go, loop.SIGNATURES[loop.let_go])
        self.taken = 0  # when the message that was handed over last came, in ns of the clock
        self._lent = lent
        self._kept: list[Any] = [doors]
        self._of_model: list[Any] = []
        self._sizes = (0, 0)
        self._fields = np.zeros(layout.LOOP, np.int64)
        self._libzmq = libzmq()
        for place, address in functions.items():
            self._fields[place] = address
        for place, door in zip((layout.ROUTER, layout.PULL, layout.XPUB), doors, strict=True):
            self._fields[place] = door.underlying
        self._lay_out(counters, doors, wakeup)
        self._follow()
        self._bound(max_message_bytes, bounds)
        self._fields[layout.SPIN] = round(spin * 1e9)
        self._fields[layout.PACE] = 1_000
        if locked:
            # A zmq_msg_t: 64 bytes, and empty once libzmq has initialised it.
            self._fields[layout.KNOWN] = known = self._zeros(8)
            self._libzmq.zmq_msg_init(ctypes.c_void_p(known))
            name = np.frombuffer(b"User-Id\0", np.uint8)
            self._fields[layout.USER_ID] = self._keep(name)
        self._locked = locked
        self._accounts: StateTable | None = None
        if limits:
            self._limit(limits)
        self._address = self._keep(self._fields)

    def _keep(self, array: NDArray[Any]) -> int:
        """Keep an array alive as long as the loop; return its address."""
        self._kept.append(array)
        return int(array.ctypes.data)

    def _zeros(self, count: int, dtype: Any = np.int64) -> int:
        return self._keep(lazy_zeros(count, dtype))

    def _lay_out(self, counters: Counters, doors: list[zmq.Socket[bytes]], wakeup: int) -> None:
        """Make what a block needs, but for what depends on the model, and say where it stands."""
        fields, lent, room = self._fields, self._lent, layout.BLOCK_ROOM
        fields[layout.TABLE], fields[layout.TASK] = lent.table, lent.task
        fields[layout.SHARE_WORK] = SHARE_WORK
        fields[layout.COUNTS] = self._keep(counters.cells)
        fields[layout.OPTION] = self._keep(np.array([0, 4], np.int64))
        fields[layout.MOMENT] = self._zeros(2)
        fields[layout.FILES] = self._files(doors, wakeup)
        self._busy(_BUSY_SENTENCE, layout.BUSY_WORDS, layout.BUSY_SIZE)
        fields[layout.BATCH] = self._zeros(layout.BLOCK * layout.BATCH_ROW)
        fields[layout.ROWS] = self._zeros(room * layout.ROW)
        fields[layout.ORDER] = self._zeros(room)
        fields[layout.STARTS] = self._zeros(2 * room + 2)
        fields[layout.SLOTS], fields[layout.SLOTS_SORTED] = self._zeros(room), self._zeros(room)

    def _follow(self) -> None:
        """Make what depends on the model: at first, and after a change of it when alone."""
        fields, lent, room = self._fields, self._lent, layout.BLOCK_ROOM
        fields[layout.THREADS], fields[layout.ROW_WORK] = lent.threads, lent.row_work
        self._model = lent.model
        sizes = (lent.inputs, lent.outputs)
        if sizes == self._sizes:
            return
        self._sizes = sizes
        # An answer: an id as it is written, and a number: no more bytes than these.
        reply = 64 + layout.MAX_ROWS * (layout.MAX_IDENTITY + 2 + 9 + 4 * lent.outputs)
        arrays = {
            **dict.fromkeys((layout.X, layout.X_SORTED), 4 * room * lent.inputs),
            **dict.fromkeys((layout.Y, layout.Y_SORTED), 4 * room * lent.outputs),
            layout.REPLY: reply,
        }
        self._of_model = [lazy_zeros(size, np.uint8) for size in arrays.values()]
        for place, array in zip(arrays, self._of_model, strict=True):
            fields[place] = array.ctypes.data

    def _files(self, doors: list[zmq.Socket[bytes]], wakeup: int) -> int:
        """Return the address of what poll takes: descriptor, events, events found, of each."""
        kind = np.dtype([("fd", "i4"), ("events", "i2"), ("found", "i2")])
        files = np.zeros(4, kind)
        files["fd"] = [*(door.getsockopt(zmq.FD) for door in doors), wakeup]
        files["events"] = select.POLLIN
        return self._keep(files)

    def _busy(self, sentence: str, place: int, size: int) -> None:
        """Say where the words of a ``busy`` answer stand."""
        words = wire.busy_words(sentence)
        self._fields[place] = self._keep(np.frombuffer(words, np.uint8))
        self._fields[size] = len(words)

    def _limit(self, limits: Limits) -> None:
        """Make a table of accounts, that of the pull door first."""
        names = layout.MAX_ACCOUNTS * layout.MAX_IDENTITY
        self._accounts = StateTable(layout.MAX_ACCOUNTS, np.zeros(0, np.float32))
        self._accounts.make_room(layout.MAX_ACCOUNTS, 2 * names)
        self._accounts.claim(PULL_NAME)
        self._fields[layout.ACCOUNTS] = self._accounts.address
        size = int(self._accounts.head[id_index.TEXT_SIZE])
        self._fields[layout.SPARE_NAMES] = self._zeros(size, np.uint8)
        self._fields[layout.INTERVAL] = limits.interval
        self._busy(TOO_QUICK, layout.RATE_WORDS, layout.RATE_SIZE)

    def _bound(self, max_message_bytes: int, bounds: Bounds) -> None:
        """Make room for what may wait."""
        fields, messages = self._fields, bounds.messages
        # Twice the limit is received, so that a message above it gets an answer that says so.
        frame = 2 * max_message_bytes
        bounds.check(max_message_bytes)
        fields[layout.MAX_SIZE], fields[layout.MAX_FRAME] = max_message_bytes, frame
        fields[layout.MAX_MESSAGES], fields[layout.MAX_BYTES] = messages, bounds.bytes
        route = layout.MAX_IDENTITY + layout.MAX_ENVELOPE * layout.MAX_ENVELOPE_BYTES
        fields[layout.SCRATCH] = self._zeros(route + frame, np.uint8)
        fields[layout.HEAD] = self._zeros(layout.RECORD_HEAD // 8)
        fields[layout.RECORDS] = self._zeros(messages * layout.RECORD, np.uint8)
        fields[layout.LINKS] = self._zeros((messages + 1) * layout.LINK)
        clients = StateTable(messages, np.zeros(0, np.float32))
        clients.make_room(messages, 2 * messages * layout.MAX_IDENTITY)
        self._kept.append(clients)
        fields[layout.CLIENTS] = clients.address
        fields[layout.SPARE_TEXTS] = self._zeros(int(clients.head[id_index.TEXT_SIZE]), np.uint8)

    def serve(self, seconds: float, stored: bool = False) -> Reason:
        """Serve, for so long at most.

        Parameters
        ----------
        seconds : float
        stored : bool
            Whether streams that are not here may be in a store, so that Python must look.

        Raises
        ------
        zmq.ZMQError
            If libzmq cannot go on.
        """
        self._fields[layout.UNTIL] = time.monotonic_ns() + round(seconds * 1e9)
        self._fields[layout.STORED] = stored
        with self._lent.alone():
            if self._lent.model != self._model:
                self._follow()
            reason = Reason(self._serve(self._address))
            if reason is Reason.NEEDS_ROOM:
                self._lent.make_room(layout.MAX_ROWS, layout.MAX_ROWS * wire.MAX_ID_BYTES)
        if reason is Reason.STOPPED:
            raise zmq.ZMQError(int(self._fields[layout.FAILED]))
        return reason

    def be_patient(self, seconds: float) -> None:
        """Drop no answer from now on for so long, whatever queues are full."""
        self._fields[layout.PATIENT_UNTIL] = time.monotonic_ns() + round(seconds * 1e9)

    def stop_taking(self) -> None:
        """Take nothing more from the doors; :meth:`serve` then ends when nothing waits."""
        self._fields[layout.CLOSED] = 1

    def handed_over(self) -> Arrival:
        """Return the message that Python has to answer."""
        head = self._handed_head()
        self.taken = head[layout.TAKEN]
        size, came = head[layout.SIZE], head[layout.FRAMES_CAME]
        here = min(size, int(self._fields[layout.MAX_FRAME]))
        frame = ctypes.string_at(head[layout.MESSAGE], here)
        if head[layout.CLIENT] == self._fields[layout.MAX_MESSAGES]:
            return Arrival(None, frame if not came else too_many_frames(came + 1))
        at = head[layout.DATA]
        sizes = [head[layout.IDENTITY_SIZE]]
        sizes += head[layout.FRAME_SIZES].to_bytes(8, "little", signed=True)[: head[layout.FRAMES]]
        back = []
        for length in sizes:
            back.append(ctypes.string_at(at, length))
            at += length
        if came != head[layout.FRAMES]:
            return Arrival(back[:1], bad_envelope(came, head[layout.LONGEST]))
        if size != here:
            return Arrival(back, wire.too_large(size, here // 2))
        return Arrival(back, permitted(frame, head[layout.ROLE]))

    def _handed_head(self) -> list[int]:
        address = int(self._fields[layout.HANDED])
        place = ctypes.cast(address, ctypes.POINTER(ctypes.c_int64))
        head: list[int] = np.ctypeslib.as_array(place, (layout.RECORD_HEAD // 8,)).tolist()
        return head

    @property
    def session(self) -> Session:
        """The session of that message; it is kept when it is set again."""
        received = int(self._fields[layout.RECEIVED])
        if self._accounts is None:
            return Session(received)
        return Session(received, self._account(self._handed_head()[layout.ACCOUNT]))

    @session.setter
    def session(self, session: Session) -> None:
        self._fields[layout.RECEIVED] = session.received

    @property
    def throttled_last(self) -> Account:
        """Who had to wait last."""
        return self._account(int(self._fields[layout.LAST_THROTTLED]))

    def _account(self, slot: int) -> Account:
        accounts = self._accounts
        assert accounts is not None
        key, length = accounts.key_of(slot)
        # The loop may have moved the names.
        name = key.to_bytes(8, "little")[:length]
        if length > id_index.SHORT:
            name = ctypes.string_at(int(accounts.head[id_index.TEXTS]) + key, length)
        return Account(int(accounts.generation[slot]), name, self._locked)

    def close(self) -> None:
        """Drop what waits."""
        self._let_go(self._address)
        if self._fields[layout.KNOWN]:
            self._libzmq.zmq_msg_close(ctypes.c_void_p(int(self._fields[layout.KNOWN])))
