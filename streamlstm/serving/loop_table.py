"""The table of the compiled loop: its arrays, laid out in memory (native/layout.py)."""

from __future__ import annotations

import ctypes
import select
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from .. import wire
from ..engine.id_index import IdIndex
from ..engine.native_view import NativeView
from ..kernels import id_index
from ..lazy_arrays import lazy_zeros
from ..network.model import Model
from .access.client_accounts import PULL_NAME, THROTTLED
from .access.limits import Limits
from .counters import Counters
from .extras import model_extras
from .libzmq import libzmq
from .native import layout
from .partitions import ARRIVING, MOVED, SUSPENDED, Partitions
from .queue_limits import QueueLimits
from .sockets import Sockets

# So many multiply-adds must fall to each thread for a block to be shared, some 100 us of them. An
# engine by itself shares a tenth of that; here the other threads are ZeroMQ's and the clients', and
# with 64 units two threads halved the predictions a second on two cores.
SHARE_WORK = 5_000_000
_BUSY = "the worker's queue is full and nothing was done; wait a little, send it again"


class LoopTable:
    """Allocates what the compiled loop needs, and keeps it alive.

    Parameters
    ----------
    view : NativeView
        Addresses of the engine's streams.
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
    model : Model
        That of the engine.

    Attributes
    ----------
    fields : int64[LOOP]
        The table itself.
    address : int
    clients : IdIndex
        Clients at the ROUTER socket, by routing id.
    accounts : IdIndex or None
        Accounts of clients, that of the PULL socket first; None where nothing is limited.

    Raises
    ------
    BadValueError
        If the queue is too small for messages of ``max_message_bytes``.
    """

    def __init__(
        self,
        view: NativeView,
        sockets: Sockets,
        wakeup: int,
        counters: Counters,
        max_message_bytes: int,
        queue_limits: QueueLimits,
        functions: dict[int, int],
        spin: float,
        authenticated: bool,
        limits: Limits,
        model: Model,
    ) -> None:
        self._view = view
        self._alive: list[Any] = [sockets]
        self._of_model: list[Any] = []
        self._of_extras: list[Any] = []
        self._of_busy: dict[bool, list[int]] = {}
        self._suspended: bool | None = None
        self._sizes = (0, 0, 0, False)
        self._libzmq = libzmq()
        self.fields = fields = np.zeros(layout.LOOP, np.int64)
        for place, address in functions.items():
            fields[place] = address
        for place, socket in zip((layout.ROUTER, layout.PULL, layout.XPUB), sockets, strict=True):
            fields[place] = socket.underlying
        fields[layout.COUNTS] = self._keep(counters.cells)
        fields[layout.OPTION] = self._keep(np.array([0, 4], np.int64))
        fields[layout.TIMESPEC] = self._zeros(2)
        fields[layout.POLL_ITEMS] = self._poll_files(sockets, wakeup)
        fields[layout.SPIN] = round(spin * 1e9)
        fields[layout.PACE] = 1_000
        self._allocate_block()
        self.follow_model(model)
        self._allocate_queue(max_message_bytes, queue_limits)
        fields[layout.LARGE_MESSAGE] = self._zeros(8)  # a zmq_msg_t: 64 bytes
        fields[layout.HELD] = self._zeros(layout.MAX_HELD * layout.HELD_REPLY)
        if authenticated or limits:
            # A zmq_msg_t: 64 bytes, and empty once libzmq has initialised it.
            fields[layout.MESSAGE_OBJECT] = message = self._zeros(8)
            self._libzmq.zmq_msg_init(ctypes.c_void_p(message))
            name = b"User-Id\0" if authenticated else b"Peer-Address\0"
            fields[layout.USER_ID] = self._keep(np.frombuffer(name, np.uint8))
            fields[layout.BY_ADDRESS] = not authenticated
            fields[layout.ACCOUNT_NAME] = self._zeros(layout.MAX_IDENTITY, np.uint8)
        self.accounts: IdIndex | None = None
        if limits:
            self.accounts = self._allocate_accounts(limits)
        self.address = self._keep(fields)

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

    def _allocate_block(self) -> None:
        """Allocate what a block needs, but for what depends on the model."""
        fields, view, room = self.fields, self._view, layout.BLOCK_ROOM
        fields[layout.TABLE], fields[layout.TASK] = view.table, view.task
        fields[layout.SHARE_WORK] = SHARE_WORK
        fields[layout.BATCH] = self._zeros(layout.BLOCK * layout.BATCH_ROW)
        fields[layout.ROWS] = self._zeros(room * layout.ROW)
        fields[layout.ORDER] = self._zeros(room)
        fields[layout.STARTS] = self._zeros(2 * room + 2)
        fields[layout.TIMES], fields[layout.TIMES_SORTED] = self._zeros(room), self._zeros(room)
        fields[layout.SLOTS], fields[layout.SLOTS_SORTED] = self._zeros(room), self._zeros(room)

    def follow_model(self, model: Model) -> None:
        """Allocate what depends on the model, if it changed; with exclusive access afterwards."""
        fields, view, room = self.fields, self._view, layout.BLOCK_ROOM
        fields[layout.THREADS], fields[layout.ROW_WORK] = view.threads, view.row_work
        self._of_offsets = self._write_offsets(model)
        size = self._write_extras(model_extras(model))
        wide = model.output_offsets is not None
        sizes = (view.inputs, view.result, size, wide)
        if sizes == self._sizes:
            return
        self._sizes = sizes
        # A reply: an encoded id and numbers, no more bytes than these, with heads of arrays.
        numbers = 9 * view.result + 3 * 3 if wide else 4 * view.result
        reply = 128 + size + layout.MAX_ROWS * (layout.MAX_IDENTITY + 2 + 9 + numbers)
        arrays = {
            **dict.fromkeys((layout.X, layout.X_SORTED), 4 * room * view.inputs),
            **dict.fromkeys((layout.Y, layout.Y_SORTED), 4 * room * view.result),
            layout.REPLY: reply,
        }
        self._of_model = [lazy_zeros(size, np.uint8) for size in arrays.values()]
        for place, array in zip(arrays, self._of_model, strict=True):
            fields[place] = array.ctypes.data

    def _write_offsets(self, model: Model) -> list[NDArray[np.float64]]:
        """Write the addresses of a model's offsets; return what has to be kept alive for them."""
        levels = 1 if model.online is None else max(len(model.online.intervals), 1)
        outputs = model.output_offsets
        tables = {
            layout.INPUT_OFFSETS: _input_table(model),
            layout.OUTPUT_OFFSETS: None if outputs is None else np.tile(outputs, levels),
        }
        for place, table in tables.items():
            self.fields[place] = 0 if table is None else table.ctypes.data
        self.fields[layout.OUTPUT_COUNT] = model.output_size
        self.fields[layout.OUTPUT_LEVEL] = model.result_places.level if model.has_levels else 0
        return [table for table in tables.values() if table is not None]

    def _write_extras(self, extras: wire.Extras | None) -> int:
        """Write the tables of the map of predictions; return its bytes without numbers, at most."""
        fields = self.fields
        fields[layout.EXTRAS] = 0
        if extras is None or not extras.has_map:
            return 0
        keep = self._of_extras = []

        def place(data: bytes) -> tuple[int, int]:
            keep.append(np.frombuffer(data, np.uint8))
            return keep[-1].ctypes.data, len(data)

        table = np.zeros((len(extras.extras), layout.EXTRA), np.int64)
        for row, extra in zip(table, extras.extras, strict=True):
            row[[layout.KEY_AT, layout.KEY_SIZE]] = place(wire.pack_words([extra.key])[0])
            row[[layout.EXTRA_WHAT, layout.EXTRA_START, layout.EXTRA_COUNTED]] = extra[1:]
        words = np.zeros((len(extras.words), layout.WORD), np.uint8)
        for place_of, word in zip(words, wire.pack_words(extras.words), strict=True):
            place_of[0], place_of[1 : 1 + len(word)] = len(word), np.frombuffer(word, np.uint8)
        keep += [table, words]
        fields[layout.EXTRAS], fields[layout.EXTRA_COUNT] = table.ctypes.data, len(table)
        fields[layout.WORDS] = words.ctypes.data
        fields[[layout.LEVELS, layout.LEVELS_SIZE]] = place(extras.head())
        runs = np.zeros((len(extras.runs()), layout.RUN), np.int64)
        patches = []
        for row, run in zip(runs, extras.runs(), strict=True):
            row[[layout.RUN_AT, layout.RUN_SIZE]] = place(run.data)
            row[[layout.RUN_PATCHES, layout.RUN_WHAT]] = len(run.patches), -1
            patches += [(at, what, 4 * start) for at, what, start in run.patches]
            if run.last is not None:
                row[[layout.RUN_WHAT, layout.RUN_START, layout.RUN_COUNTED]] = run.last[1:]
        keep += [runs, np.array(patches, np.int64)]
        fields[layout.RUNS], fields[layout.RUN_COUNT] = runs.ctypes.data, len(runs)
        fields[layout.PATCHES] = keep[-1].ctypes.data
        return int(sum(array.nbytes for array in keep)) + 16 * len(table)

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

    def follow_partitions(self, partitions: Partitions) -> None:
        """Let the loop answer what is not for this worker of a fleet."""
        fields = self.fields
        fields[layout.STATES] = self._keep(partitions.states)
        fields[layout.OWNERS] = self._keep(partitions.owners)
        self._put_words("moved", MOVED, layout.MOVED_WORDS, layout.MOVED_SIZE)
        places = layout.ARRIVING_WORDS, layout.ARRIVING_SIZE
        for suspended, sentence in enumerate((ARRIVING, SUSPENDED)):
            self._put_words("busy", sentence, *places)
            self._of_busy[bool(suspended)] = [int(fields[place]) for place in places]
        self.say_busy(False)

    def say_busy(self, suspended: bool) -> None:
        """Choose why a partition is answered busy: it is on its way, or nothing may be answered."""
        if suspended is not self._suspended:
            self._suspended = suspended
            places = [layout.ARRIVING_WORDS, layout.ARRIVING_SIZE]
            self.fields[places] = self._of_busy[suspended]

    def _put_words(self, code: str, sentence: str, place: int, size: int) -> None:
        """Put the code and the sentence of a reply into the table."""
        words = wire.encode_words(code, sentence)
        self.fields[place] = self._keep(np.frombuffer(words, np.uint8))
        self.fields[size] = len(words)

    def close(self) -> None:
        """Release what libzmq holds."""
        if self.fields[layout.MESSAGE_OBJECT]:
            self._libzmq.zmq_msg_close(ctypes.c_void_p(int(self.fields[layout.MESSAGE_OBJECT])))


def _input_table(model: Model) -> NDArray[np.float64] | None:
    """Return offsets of the inputs, and for each the place of its second float, -1 for none."""
    if model.input_offsets is None:
        return None
    places = np.full(model.input_size, -1.0)
    places[list(model.differences)] = model.input_size + np.arange(len(model.differences))
    return np.concatenate([model.input_offsets, places])
