"""The compiled loop of a worker, driven from Python: one call into it a turn.

It takes the ordinary messages (native/loop.py), and hands the others over to Python.
"""

from __future__ import annotations

import ctypes
import time
from enum import IntEnum

import numpy as np
import zmq

from .. import wire
from ..engine.native_view import NativeView
from ..kernels import compile, id_index
from ..network.differences import from_two_floats
from .access.client_accounts import Account, ThrottleLog
from .access.roles import authorize
from .dispatcher import Dispatcher
from .envelope import Envelope, bad_envelope, too_many_frames
from .loop_table import LoopTable
from .native import admission, block, layout, loop
from .queue_limits import QueueLimits
from .queue_table import LoopSetup, head_of
from .service import Service
from .sessions import Session
from .sockets import Sockets
from .subscriptions import Subscriptions
from .wakeup import Wakeup

NAMES = (loop.NAME, block.NAME, admission.NAME)


class Reason(IntEnum):
    """Why the compiled loop returned."""

    TICK = layout.TICK
    WOKEN = layout.WOKEN
    HAND_OVER = layout.HAND_OVER
    NEEDS_ROOM = layout.NEEDS_ROOM
    STOPPED = layout.STOPPED


class CompiledLoop:
    """Serves the sockets in machine code until Python has something to do.

    Parameters
    ----------
    view : NativeView
        Addresses of the engine's streams. Nothing else may step them during :meth:`turn`.
    service : Service
        Handles the messages that are handed over.
    sockets : Sockets
    wakeup : Wakeup
        Ends a wait.
    dispatcher : Dispatcher
    functions : dict of int to int
        From :func:`.libzmq.find_functions`.
    queue_limits : QueueLimits
    spin : float
        Seconds to poll for messages before sleeping.
    authenticated : bool
        Whether the sockets use CURVE.
    """

    name = "native"

    def __init__(
        self,
        view: NativeView,
        service: Service,
        sockets: Sockets,
        wakeup: Wakeup,
        dispatcher: Dispatcher,
        functions: dict[int, int],
        queue_limits: QueueLimits,
        spin: float,
        authenticated: bool,
    ) -> None:
        compile.prepare(None, NAMES)
        self._serve = compile.entry(loop.serve, loop.SIGNATURES[loop.serve])
        self._discard = compile.entry(loop.discard, loop.SIGNATURES[loop.discard])
        self._reply = compile.entry(loop.reply_to_handed, loop.SIGNATURES[loop.reply_to_handed])
        self._answering = False
        self._engine, self._view, self._model = service.engine, view, view.model
        self._counters, self._wakeup = service.counters, wakeup
        self._dispatcher = dispatcher
        self._stored = None if service.checkpointer is None else service.checkpointer.stored
        self._has_quota = service.limits.streams is not None
        self._authenticated = authenticated
        self._throttle_log = ThrottleLog(service.lines)
        self._subscriptions = Subscriptions(sockets.xpub, service.counters)
        setup = LoopSetup(
            sockets,
            wakeup.fileno(),
            service.counters,
            service.max_message_bytes,
            queue_limits,
            functions,
            spin,
            authenticated,
            service.limits,
        )
        self.table = LoopTable(view, setup, service.engine.model)
        self._fields = self.table.fields
        self._partitions = service.partitions
        if service.partitions is not None:
            self.table.follow_partitions(service.partitions)

    def turn(self, seconds: float) -> bool:
        """Serve for at most ``seconds``, and answer a message that is handed over.

        Returns
        -------
        bool
            Whether the worker was asked to stop.

        Raises
        ------
        zmq.ZMQError
            If libzmq cannot continue.
        """
        fields = self._fields
        fields[layout.UNTIL] = time.monotonic_ns() + round(seconds * 1e9)
        if self._partitions is not None:
            until = self._partitions.look()
            fields[layout.UNTIL] = min(int(fields[layout.UNTIL]), round(min(until, 1e9) * 1e9))
            self.table.say_busy(self._partitions.suspended)
        # Python looks at every stream that is not in memory: it may be in the store, or exceed a
        # quota.
        stored = self._stored is not None and self._stored.has_any
        fields[layout.STORED] = self._has_quota or stored
        with self._view.exclusive():
            if self._view.model != self._model:
                self._model = self._view.model
                self.table.follow_model(self._engine.model)
            reason = Reason(self._serve(self.table.address))
            if reason is Reason.NEEDS_ROOM:
                self._view.reserve(layout.MAX_ROWS, layout.MAX_ROWS * wire.MAX_ID_BYTES)
        if reason is Reason.STOPPED:
            raise zmq.ZMQError(int(fields[layout.FAILED]))
        if throttled := self._counters[layout.THROTTLED]:
            self._throttle_log.note(throttled, self._account(int(fields[layout.LAST_THROTTLED])))
        if fields[layout.SUBSCRIBED]:
            self._subscriptions.read()
        self._subscriptions.look()
        if reason is Reason.HAND_OVER:
            self._answer()
        return reason is Reason.WOKEN and self._wakeup.heard()

    def _answer(self) -> None:
        """Answer the message that was handed over."""
        head = head_of(int(self._fields[layout.HANDED_RECORD]))
        start = time.monotonic_ns()
        account = None if self.table.accounts is None else self._account(head[layout.ACCOUNT])
        session = Session(int(self._fields[layout.RECEIVED]), account)
        envelope = self._handed_over(head)
        if (row := int(self._fields[layout.REFUSED_ROW])) >= 0 and envelope.route is not None:
            envelope = envelope._replace(frame=self._row(row))
            session.received += int(self._fields[layout.REFUSED_COUNT]) - 1
        self._answering = True
        try:
            self._dispatcher.dispatch([envelope], [session])
        finally:
            self._answering = False
        self._fields[layout.RECEIVED] = session.received
        end = time.monotonic_ns()
        self._fields[layout.HANDED_TIME] = end - start
        self._counters.latency.add(end - head[layout.TAKEN])

    def send_large(self, reply: bytes) -> bool:
        """Send a large reply to the message that was handed over; False if none is answered."""
        if self._answering:
            data = np.frombuffer(reply, np.uint8)
            self._reply(self.table.address, data.ctypes.data, len(reply))
        return self._answering

    def _row(self, row: int) -> bytes:
        """Return a row of the block as a STEP, which is refused as the STEPS that has it would."""
        place, size = ctypes.c_uint64 * layout.ROW, 4 * self._view.inputs
        fields = place.from_address(int(self._fields[layout.ROWS]) + ctypes.sizeof(place) * row)
        stream: wire.StreamId = fields[layout.ID]
        if length := fields[layout.LENGTH]:
            stream = ctypes.string_at(fields[layout.ID], length).decode()
        x = ctypes.string_at(int(self._fields[layout.X]) + size * row, size)
        model = self._engine.model
        if (offsets := model.input_offsets) is not None:
            values = from_two_floats(wire.from_floats(x), model.differences)
            x = wire.Doubles.of(values + offsets)
        time = ctypes.c_double.from_address(int(self._fields[layout.TIMES]) + 8 * row).value
        return wire.encode(wire.Step(stream, fields[layout.SEQ], x, None if time != time else time))

    def _handed_over(self, head: list[int]) -> Envelope:
        """Return the message that was handed over."""
        size, came = head[layout.SIZE], head[layout.FRAMES_RECEIVED]
        received = min(size, int(self._fields[layout.MAX_FRAME]))
        frame = ctypes.string_at(head[layout.MESSAGE], received)
        if head[layout.CLIENT] == self._fields[layout.MAX_MESSAGES]:
            return Envelope(None, frame if not came else too_many_frames(came + 1))
        at = head[layout.DATA]
        sizes = [head[layout.IDENTITY_SIZE]]
        sizes += head[layout.FRAME_SIZES].to_bytes(8, "little", signed=True)[: head[layout.FRAMES]]
        route = []
        for length in sizes:
            route.append(ctypes.string_at(at, length))
            at += length
        if came != head[layout.FRAMES]:
            return Envelope(route[:1], bad_envelope(came, head[layout.LONGEST]))
        if size != received:
            return Envelope(route, wire.too_large(size, received // 2))
        return Envelope(route, authorize(frame, head[layout.ROLE]))

    def _account(self, slot: int) -> Account:
        """Return the account at a slot of the table of accounts."""
        accounts = self.table.accounts
        assert accounts is not None
        key, length = accounts.key_and_length(slot)
        # The loop may have moved the names.
        name = key.to_bytes(8, "little")[:length]
        if length > id_index.SHORT:
            name = ctypes.string_at(int(accounts.head[id_index.TEXTS]) + key, length)
        return Account(int(accounts.generation[slot]), name, self._authenticated)

    def wait_for_clients(self, seconds: float) -> None:
        """Let replies wait for clients' full queues from now on, ``seconds`` in all at most."""
        self._fields[layout.DRAIN_UNTIL] = time.monotonic_ns() + round(seconds * 1e9)

    def stop_receiving(self) -> None:
        """Receive nothing more; :meth:`turn` then returns when the queue is empty."""
        self._fields[layout.CLOSED] = 1

    def close(self) -> None:
        """Drop the queue."""
        self._discard(self.table.address)
        self.table.close()
