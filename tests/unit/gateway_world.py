"""A gateway that runs in a thread, between sockets that a test plays."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from streamlstm import wire
from streamlstm.fleet.gateway import follow
from streamlstm.serving.gateway.gateway import Gateway

ANYWHERE = ("tcp://127.0.0.1:*",) * 3


class World:
    """A gateway that runs in a thread, and three workers that are sockets of the test."""

    def __init__(self, folder: Path) -> None:
        self.context = zmq.Context[zmq.Socket[bytes]]()
        self.context.rcvtimeo = 20_000
        self.control = self.context.socket(zmq.ROUTER)
        self.control.bind(f"ipc://{folder}/control")
        self.routers: list[zmq.Socket[bytes]] = []
        self.workers: list[wire.FleetWorker] = []
        self._others: list[zmq.Socket[bytes]] = []
        for n in range(3):
            sockets = [self.context.socket(kind) for kind in (zmq.ROUTER, zmq.PULL, zmq.XPUB)]
            where = [f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
                     for socket in sockets]  # fmt: skip
            self.routers.append(sockets[0])
            self._others += sockets[1:]
            self.workers.append(wire.FleetWorker(f"w{n}", *where))
        owners = np.arange(wire.PARTITIONS, dtype=np.uint16) % 3
        self.table = wire.FleetTable(
            1, tuple(self.workers), owners, np.ones(wire.PARTITIONS, np.uint32)
        )
        link: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        link.set(zmq.ROUTING_ID, b"gateway")
        link.connect(f"ipc://{folder}/control")
        link.send(b"hello")
        self.control.recv_multipart()
        self.gateway = Gateway(link, self.context, *ANYWHERE)
        self._link = link
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self.gateway.turn():
            follow(self.gateway, self._link)

    def tell(self, *dead: int) -> None:
        """Tell the gateway the table, and that some workers are dead."""
        live = [each.router for n, each in enumerate(self.workers) if n not in dead]
        frame = wire.encode_control("table", self.table.to_value(), live)
        self.control.send_multipart([b"gateway", frame])

    def move(self, partition: int, after: int) -> None:
        owners, epochs = self.table.owners.copy(), self.table.epochs.copy()
        owners[partition], epochs[partition] = after, epochs[partition] + 1
        version = self.table.version + 1
        self.table = self.table._replace(version=version, owners=owners, epochs=epochs)

    def connect(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        socket.connect(self.gateway.endpoints["router"])
        self._others.append(socket)
        return socket

    def receive(self, worker: int) -> tuple[list[bytes], wire.Request] | None:
        """Return what leads back, and a request that has come to a worker; None for none."""
        try:
            *route, frame = self.routers[worker].recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        return route, wire.decode_request(frame, 10_000)

    def wait(self, worker: int) -> tuple[list[bytes], Any]:
        assert self.routers[worker].poll(20_000)
        found = self.receive(worker)
        assert found is not None
        return found

    def reply(self, worker: int, route: list[bytes], reply: wire.Reply) -> None:
        self.routers[worker].send_multipart([*route, wire.encode(reply)])

    def close(self) -> None:
        self.gateway.wakeup.call()
        self._thread.join()
        self.gateway.close()
        self.context.destroy(linger=0)
