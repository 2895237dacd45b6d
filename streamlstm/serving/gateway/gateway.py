"""The gateway: one address for a whole fleet, for clients that know of a single worker only.

Ordinary requests pass through the compiled loop (native/gateway_loop.py). It hands over those that
several workers have to answer.
"""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Container
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import zmq

from ... import wire
from ...errors import ProtocolError, StreamLSTMError
from ...kernels import compile
from ..access.curve_server import CurveServer
from ..access.limits import Limits
from ..counters import Counters
from ..libzmq import find_functions
from ..line_limit import LineLimit
from ..native import admission, gateway_loop, layout
from ..native import gateway_layout as gl
from ..queue_limits import QueueLimits
from ..queue_table import LoopSetup, head_of
from ..subscriptions import Subscriptions
from ..wakeup import Wakeup
from .client_sockets import ClientSockets, keys_of
from .records import parts_of
from .replies import error_of
from .requests import Requests, refuse
from .tables import GatewayTables
from .tasks import Tasks
from .topics import Topics, new_xsub
from .workers import Workers

_LOG = logging.getLogger(__name__)

NAMES = (gateway_loop.NAME, admission.NAME, compile.PARTITION)
TURN_SECONDS = 0.09  # after which Python looks around, whatever the loop does
DRAIN_SECONDS = 2.0  # for which one that stops waits for workers


class _Client(NamedTuple):
    """Whom the reply of a task is for: a record of the queue, or frames before it (a barrier)."""

    record: int
    route: list[bytes] | None
    rows: int = 0


class Gateway:
    """Serves the clients of a fleet at three sockets, as a worker does.

    Parameters
    ----------
    control : zmq.Socket
        Whoever makes the gateway reads it whenever :meth:`turn` returns.
    context : zmq.Context
    router, pull, xpub : str
        Endpoints.
    insecure : bool
        Allow addresses that other machines can reach.
    curve : CurveServer, optional
        Its key is that of the workers too, who let its owner in.
    max_message_bytes : int
    max_connections : int, optional
    max_rate : float, optional
        Observations a second of each client.
    spin : float
        Seconds to poll for messages before sleeping.

    Attributes
    ----------
    endpoints : dict of str to str
        As they were bound.
    """

    def __init__(
        self,
        control: zmq.Socket[bytes],
        context: zmq.Context[zmq.Socket[bytes]],
        router: str,
        pull: str,
        xpub: str,
        *,
        insecure: bool = False,
        curve: CurveServer | None = None,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        max_connections: int | None = None,
        max_rate: float | None = None,
        spin: float = 0.0,
    ) -> None:
        functions = find_functions()
        if functions is None:
            raise StreamLSTMError(
                "the gateway needs the libzmq of pyzmq's own wheels; install pyzmq with pip"
            )
        compile.prepare(None, NAMES)
        entries = {
            function.py_func.__name__: compile.entry(function, signature)
            for function, signature in gateway_loop.SIGNATURES.items()
        }
        self._forward, self._finish = entries["forward"], entries["finish"]
        self._pass_on, self._leave = entries["pass_on"], entries["leave"]
        self._started = time.monotonic()
        self.counters, self.wakeup, self._lines = Counters(), Wakeup(), LineLimit()
        with ExitStack() as resources:
            resources.callback(self.wakeup.close)
            clients = ClientSockets(
                context,
                (router, pull, xpub),
                self.counters,
                insecure=insecure,
                curve=curve,
                max_message_bytes=max_message_bytes,
                max_connections=max_connections,
            )
            resources.callback(clients.close)
            sockets, self.endpoints = clients.sockets, clients.endpoints
            self._connections, self._router = clients.connections, sockets.router
            self._xsub = new_xsub(context)
            resources.callback(self._xsub.close)
            self._workers = Workers(
                context,
                self._xsub,
                keys_of(curve),
                control.get_string(zmq.LAST_ENDPOINT).rstrip("\0"),
            )
            resources.callback(self._workers.close)
            setup = LoopSetup(
                sockets,
                self.wakeup.fileno(),
                self.counters,
                max_message_bytes,
                QueueLimits(bytes=max(QueueLimits().bytes, 8 * max_message_bytes)),
                functions,
                spin,
                authenticated=curve is not None,
                limits=Limits(max_rate, None),
            )
            self.tables = GatewayTables(self._xsub, control, setup)
            resources.callback(self.tables.close)
            self._workers.tables = self.tables
            self._workers.leave = lambda number: self._leave(self.tables.gateway_address, number)
            self._workers.configure(self._xsub)
            self._tasks = Tasks(self._workers)
            self._requests = Requests(self._workers, self._about)
            self._requests.table = _table_of(self.endpoints)
            self._topics = Topics(self._xsub)
            self._subscriptions = Subscriptions(sockets.xpub, self.counters, self._topics.count)
            self._resources = resources.pop_all()

    def _about(self) -> dict[str, Any]:
        """Return what INFO says of this process."""
        return {
            "uptime": time.monotonic() - self._started,
            "connections": self._connections.open,
            "queue": self.counters.queue(),
        }

    def follow(self, table: wire.FleetTable, live: Container[str]) -> None:
        """Learn a table, and which workers serve (:meth:`.workers.Workers.follow`)."""
        self._tasks.lose(self._workers.follow(table, live))
        self._answer_done()

    # --- serving ---

    def turn(self) -> bool:
        """Serve for a moment; return whether a signal asked to stop."""
        seconds = min(self._tasks.wake(), TURN_SECONDS)
        self._answer_done()
        self.tables.fields[layout.UNTIL] = time.monotonic_ns() + round(seconds * 1e9)
        reason = self._forward(self.tables.gateway_address)
        if reason == layout.STOPPED:
            raise zmq.ZMQError(int(self.tables.fields[layout.FAILED]))
        if reason == gl.REQUEST:
            self._begin(int(self.tables.gateway[gl.HANDED_RECORD]))
        elif reason == gl.REPLY:
            self._take_reply()
        if self.tables.fields[layout.SUBSCRIBED]:
            self._subscriptions.read()
        self._subscriptions.look()
        self._workers.listening.look()
        self._answer_done()
        return reason == layout.WOKEN and self.wakeup.heard()

    def drain(self) -> None:
        """Receive nothing more, and answer what was received."""
        self.tables.fields[layout.CLOSED] = 1
        self.tables.fields[layout.DRAIN_UNTIL] = time.monotonic_ns() + round(DRAIN_SECONDS * 1e9)
        deadline = time.monotonic() + DRAIN_SECONDS
        while self.counters[layout.QUEUED] and time.monotonic() < deadline:
            self.turn()
        self._lines.write_rest(_LOG)

    def _begin(self, record: int) -> None:
        """Begin to answer a request that was handed over."""
        self.counters.add(layout.HANDED_OVER)
        head = head_of(record)
        route, frame = parts_of(head, self.tables.fields)
        pulled = route is None
        producer = 0 if route is None or len(route) < 2 else wire.producer_of(route[-1])
        client = _Client(record, None)
        try:
            if isinstance(frame, ProtocolError):
                raise frame
            request = wire.decode_request(frame, int(self.tables.fields[layout.MAX_SIZE]))
            if pulled and not isinstance(request, wire.Step | wire.Steps):
                raise ProtocolError(
                    f"{type(request).__name__.upper()}: expected STEP or STEPS at the pull socket; "
                    "send it to the router",
                    "unknown-kind",
                )
        except ProtocolError as error:
            self._tasks.begin(refuse(error), 0, client)
            return
        rows = len(request.streams) if isinstance(request, wire.Steps) else 0
        rows += isinstance(request, wire.Step)
        received = int(self.tables.fields[layout.RECEIVED])
        if isinstance(request, wire.Barrier) and head[layout.FRAMES]:
            # What comes behind it need not wait for the disk.
            client = _Client(0, route)
            self._finish(self.tables.gateway_address, record, 0, 0, 0)
        task = self._requests.task(request, frame, pulled, received)
        self._tasks.begin(task, producer, client._replace(rows=rows))

    def _take_reply(self) -> None:
        """Deal with a reply that the loop did not pass on by itself."""
        gateway = self.tables.gateway
        record, ticket = int(gateway[gl.HANDED_RECORD]), int(gateway[gl.HANDED_TICKET])
        reply = ctypes.string_at(int(gateway[gl.HANDED_AT]), int(gateway[gl.HANDED_SIZE]))
        if not record:
            ticket &= 2**64 - 1  # as it was sent
            self._workers.replied(int(gateway[gl.HANDED_WORKER]), ticket)
            self._tasks.reply(ticket, reply)
            return
        answer = wire.decode_reply(reply)
        if head_of(record)[layout.CLIENT] == self.tables.fields[layout.MAX_MESSAGES]:
            self._log_pulled(answer)
            reply = b""
        elif (
            isinstance(answer, wire.Error) and answer.y is not None and answer.seq == answer.number
        ):
            # It was sent again since its worker had died, who had applied it.
            assert answer.stream is not None
            reply = wire.encode(
                wire.Prediction(answer.stream, answer.seq or 0, answer.y, answer.extra)
            )
        data = np.frombuffer(reply + b"\0", np.uint8)
        self._pass_on(self.tables.gateway_address, record, data.ctypes.data, len(reply))

    def _answer_done(self) -> None:
        """Reply to requests whose tasks have ended."""
        done, self._tasks.done = self._tasks.done, []
        for client, reply in done:
            if client.route is not None:
                assert reply is not None
                self._send([*client.route, reply])
                continue
            pulled = head_of(client.record)[layout.CLIENT]
            if reply is not None and pulled == self.tables.fields[layout.MAX_MESSAGES]:
                self._log_pulled(wire.decode_reply(reply))
            data = np.frombuffer((reply or b"") + b"\0", np.uint8)
            error = None if reply is None else error_of(reply)
            rows = 0 if error is not None and error.code == "busy" else client.rows
            at, size = data.ctypes.data, len(data) - 1
            self._finish(self.tables.gateway_address, client.record, rows, at, size)

    def _send(self, parts: list[bytes]) -> None:
        try:
            self._router.send_multipart(parts, zmq.NOBLOCK)
        except zmq.ZMQError:
            self.counters.add(layout.DROPPED_ANSWERS)
        else:
            self.counters.add(layout.ANSWERS)

    def _log_pulled(self, reply: wire.Reply) -> None:
        """Log why something that came at the PULL socket was refused, and count it."""
        if isinstance(reply, wire.Error):
            self.counters.errors[reply.code] += 1
            sentence = reply.message.encode("unicode_escape").decode()
            self._lines.warn(_LOG, f"pull: refused, {reply.code}: {sentence}", kind="refused")

    def close(self) -> None:
        """Close all sockets but the control socket."""
        self._resources.close()


def _table_of(endpoints: dict[str, str]) -> wire.FleetTable:
    """Return the table that clients of a gateway see: it has everything."""
    new = wire.FleetTable.new()
    worker = wire.FleetWorker("gateway", **endpoints)
    owners, epochs = np.zeros_like(new.owners), np.ones_like(new.epochs)
    return wire.FleetTable(1, (worker,), owners, epochs)
