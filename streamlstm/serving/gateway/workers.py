"""The workers of a fleet as its gateway knows them: connections, and who has which partition."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Container

import numpy as np
import zmq
from numpy.typing import NDArray

from ... import wire
from ...client.fleet.listening import Listening
from ...client.keys import Credentials
from ..native import gateway_layout as gl
from .tables import GatewayTables

OF_PYTHON = 1 << gl.OF_PYTHON  # in the tickets of messages that Python sends
WINDOW = 80  # messages of Python at a worker; with those of the loop less than 500 (protocol.md)


class Workers:
    """Connects to the workers of a table and sends messages of Python to them.

    Parameters
    ----------
    context : zmq.Context
    xsub : zmq.Socket
    keys : Credentials or None
        None: the workers have no keys.
    supervisor : str
        Endpoint of the fleet's; workers on this machine are reached beside it.

    Attributes
    ----------
    names : dict of int to str
        Of the workers, by their numbers.
    listening : Listening
        To what they publish.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        xsub: zmq.Socket[bytes],
        keys: Credentials | None,
        supervisor: str,
    ) -> None:
        self._context, self._keys = context, keys
        self.listening = Listening(xsub)
        self._supervisor = supervisor
        self._numbers: dict[str, int] = {}  # by the endpoint of the ROUTER
        self._sockets: dict[int, zmq.Socket[bytes]] = {}
        self.names: dict[int, str] = {}
        self._waiting: dict[int, deque[tuple[int, list[bytes]]]] = {}
        self._sent: dict[int, set[int]] = {}  # tickets of Python's messages
        self._tickets = 0
        self.tables: GatewayTables
        self.leave: Callable[[int], object] = lambda _: None

    @property
    def numbers(self) -> list[int]:
        """Those of all workers."""
        return sorted(self._sockets)

    def follow(self, table: wire.FleetTable, live: Container[str]) -> list[int]:
        """Learn a table, as far as it is newer.

        Parameters
        ----------
        table : FleetTable
        live : container of str
            Endpoints of the ROUTERs of workers that serve; others in the table are gone.

        Returns
        -------
        list of int
            Tickets that no reply will come to.
        """
        wanted = {worker.router: worker for worker in table.workers if worker.router in live}
        lost = [ticket for router in self._numbers.keys() - wanted for ticket in self.lose(router)]
        for router in wanted.keys() - self._numbers:
            self._connect(wanted[router])
        self.listening.follow({worker.xpub for worker in wanted.values()})
        places = [self._numbers.get(worker.router, -1) for worker in table.workers]
        owners = np.array([*places, -1])[np.minimum(table.owners, len(places))]
        rows = self.tables.partitions
        epochs = table.epochs.astype(np.int64)
        newer = epochs > rows[:, gl.EPOCH]
        changed = newer | ((epochs == rows[:, gl.EPOCH]) & (owners != rows[:, gl.OWNER]))
        rows[changed, gl.OWNER] = owners[changed]
        rows[changed, gl.PROVEN] = rows[changed, gl.RETRY_AT] = 0
        rows[:, gl.EPOCH] = np.maximum(rows[:, gl.EPOCH], epochs)
        return lost

    def _connect(self, worker: wire.FleetWorker) -> None:
        number = next(n for n in range(gl.MAX_WORKERS) if n not in self._sockets)
        socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        socket.set(zmq.LINGER, 0)
        self.configure(socket)
        place = wire.gateway_place(self._supervisor, worker.name)
        is_here = place is not None and os.path.exists(place.removeprefix("ipc://"))
        socket.connect(place if place is not None and is_here else worker.router)
        self._numbers[worker.router], self._sockets[number] = number, socket
        self.names[number] = worker.name
        self._waiting[number], self._sent[number] = deque(), set()
        self.tables.put_worker(number, socket, worker.router.encode())

    def configure(self, socket: zmq.Socket[bytes]) -> None:
        """Set the keys of a socket that will be connected to a worker."""
        if self._keys is not None:
            socket.set(zmq.CURVE_PUBLICKEY, self._keys.public)
            socket.set(zmq.CURVE_SECRETKEY, self._keys.secret)
            socket.set(zmq.CURVE_SERVERKEY, self._keys.server)

    def lose(self, router: str) -> list[int]:
        """Forget a worker that is gone; return the tickets that no reply will come to."""
        number = self._numbers.pop(router, None)
        if number is None:
            return []
        rows = self.tables.partitions
        rows[rows[:, gl.OWNER] == number, gl.OWNER] = -1
        self.leave(number)
        self.tables.take_worker(number)
        self._sockets.pop(number).close()
        self.names.pop(number)
        waiting = [ticket for ticket, _ in self._waiting.pop(number)]
        return [*self._sent.pop(number), *waiting]

    # --- messages of Python ---

    def owners(self, partitions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of the owners of partitions, -1 where none is known."""
        owners: NDArray[np.int64] = self.tables.partitions[partitions, gl.OWNER]
        return owners

    def send(self, number: int, frame: bytes, producer: int) -> int:
        """Send a message as soon as there is room; return the ticket of its reply."""
        self._tickets += 1
        ticket = OF_PYTHON | self._tickets
        tag = ticket.to_bytes(8, "little")
        parts = [wire.envelope_of(producer, tag) if producer else tag, frame]
        self._waiting[number].append((ticket, parts))
        self._flush(number)
        return ticket

    def replied(self, number: int, ticket: int) -> None:
        """Note that a reply has come."""
        self._sent[number].discard(ticket)
        self._flush(number)

    def _flush(self, number: int) -> None:
        waiting, sent = self._waiting[number], self._sent[number]
        while waiting and len(sent) < WINDOW:
            ticket, parts = waiting.popleft()
            self._sockets[number].send_multipart(parts, zmq.NOBLOCK)
            sent.add(ticket)
        self.tables.workers[number, gl.READABLE] = 1  # sending consumes the edge

    def moved(self, partition: int, owner: wire.Owner, worker: int) -> bool:
        """Learn what a ``moved`` of a worker says; return whether to wait before it is asked."""
        row = self.tables.partitions[partition]
        if owner.epoch > row[gl.EPOCH]:
            row[gl.EPOCH], row[gl.OWNER], row[gl.PROVEN] = owner.epoch, -1, 0
        if owner.epoch == row[gl.EPOCH] and row[gl.OWNER] < 0:
            row[gl.OWNER] = self._numbers.get(owner.router or "", -1)
        return bool(row[gl.OWNER] in (-1, worker))

    def close(self) -> None:
        """Close all connections to workers."""
        for socket in self._sockets.values():
            socket.close()
