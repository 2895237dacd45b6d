"""Runs a fleet on one machine: starts its workers, and does what the coordinator decides."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zmq

from .. import wire
from ..errors import StreamLSTMError
from ..serving.wakeup import Wakeup
from .actions import Action, Publish, Spawn, Stop, Tell
from .coordinator import Coordinator
from .endpoints import write_fleet
from .gateway import NAME as GATEWAY
from .gateway import GatewayKeeper, gateway_endpoints
from .processes import Process
from .table_file import TableFile

_LOG = logging.getLogger(__name__)

STOP_SECONDS = 12.0  # in which a worker commits and ends, else it is killed


class Supervisor:
    """Starts and watches the workers of a fleet.

    Parameters
    ----------
    arguments : sequence of str
        Of ``streamlstm serve`` for every worker: the model and options.
    folder : Path or None
        Where the table is kept, and each worker's store; None: all is in memory only.
    endpoints : Path or None
        The file in which clients find the fleet, written when it is ready.
    log : callable
        Gets each line of the workers' logs.
    gateway : tuple of str and sequence of str, optional
        Where the ROUTER of a gateway is to be bound, and its options; None for no gateway.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path | None,
        endpoints: Path | None,
        log: Callable[[str], None],
        gateway: tuple[str, Sequence[str]] | None = None,
    ) -> None:
        self._arguments, self._folder, self._endpoints, self._log = (
            list(arguments),
            folder,
            endpoints,
            log,
        )
        self._file = None if folder is None else TableFile(folder)
        self._coordinator = Coordinator()
        if self._file is not None:
            self._coordinator.resume(self._file.read())
        self._private = Path(tempfile.mkdtemp(prefix="streamlstm-fleet-"))
        self.control = f"ipc://{self._private}/control"
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._socket.set_hwm(0)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.ROUTER_HANDOVER, 1)
        self._socket.bind(self.control)
        self._wakeup = Wakeup()
        self._processes: dict[str, Process] = {}
        self._stopping = False
        self._gateway: GatewayKeeper | None = None
        if gateway is not None:
            router, options = gateway
            where = gateway_endpoints(router)
            self._gateway = GatewayKeeper(where, options, self.control, self._tell, log)
        self.ready = False

    def run(self, workers: int, on_ready: Callable[[], object]) -> None:
        """Serve with so many workers until a signal comes."""
        with self._wakeup.on_signals():
            self._do(self._coordinator.scale(workers))
            if self._gateway is not None:
                self._processes[GATEWAY] = self._gateway.start()
            while not self._stopping:
                self._turn()
                if not self.ready and self._is_ready():
                    self.ready = True
                    self._write_endpoints()
                    on_ready()

    def _is_ready(self) -> bool:
        gateway_serves = self._gateway is None or self._gateway.pid is not None
        return self._coordinator.is_ready and gateway_serves

    def _turn(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wakeup.fileno(), zmq.POLLIN)
        ends = {process.descriptor: name for name, process in self._processes.items()}
        for descriptor in ends:
            poller.register(descriptor, zmq.POLLIN)
        for source, _ in poller.poll():
            if source is self._socket:
                self._receive()
            elif source == self._wakeup.fileno():
                self._stopping |= self._wakeup.heard()
            else:
                self._ended(ends[source])

    def _receive(self) -> None:
        """Take all that came, and answer it."""
        while True:
            try:
                sender, frame = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            message = wire.decode_control(frame)
            if message.name == "ask":
                self._answer(sender, *message.fields)
            elif message.name == "hello":
                name, pid, *where = message.fields
                self._do(self._coordinator.serves(wire.FleetWorker(name, *where), pid))
            elif message.name == GATEWAY and self._gateway is not None:
                self._gateway.serves(*message.fields)
                self._write_endpoints()
            else:
                self._do(self._coordinator.said(message))

    def _answer(self, sender: bytes, question: str, *fields: Any) -> None:
        """Do what a person asks for; reply with what is so now, or with an error."""
        coordinator = self._coordinator
        try:
            match question:
                case "scale":
                    self._do(coordinator.scale(*fields))
                case "drain":
                    self._do(coordinator.drain(*fields))
                case "move":
                    self._do(coordinator.move(*fields))
            reply = wire.encode_control("status", self.status())
        except StreamLSTMError as error:
            reply = wire.encode_control("refused", str(error))
        self._socket.send_multipart([sender, reply])

    def status(self) -> dict[str, Any]:
        """Return the workers and what they have."""
        return self._coordinator.status()

    # --- actions ---

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Spawn(worker):
                    self._spawn(worker)
                case Stop(worker):
                    self._processes[worker].stop()
                case Tell(worker, name, fields):
                    self._tell(worker, wire.encode_control(name, *fields))
                case Publish(table):
                    self._publish(table)

        self._tell_gateway()

    def _tell_gateway(self) -> None:
        """Tell the gateway the table and which workers serve, if that has changed."""
        if self._gateway is not None:
            members = self._coordinator.members.values()
            live = [member.where.router for member in members if member.where is not None]
            self._gateway.follow(self._coordinator.table, live)

    def _tell(self, worker: str, frame: bytes) -> None:
        self._socket.send_multipart([worker.encode(), frame])

    def _publish(self, table: wire.FleetTable) -> None:
        if self._file is not None:
            self._file.write(table)
        frame = wire.encode_control("table", table.to_value())
        for worker in table.workers:
            if worker.name in self._processes:
                self._tell(worker.name, frame)
        self._write_endpoints()

    def _write_endpoints(self) -> None:
        if self._endpoints is not None and self.ready:
            status = self.status()
            if self._gateway is not None:
                status["gateway"] = self._gateway.status()
            write_fleet(self._endpoints, self.control, status)

    def _spawn(self, worker: str) -> None:
        options = ["--fleet", self.control, "--fleet-name", worker]
        if self._folder is not None:
            options += ["--store", f"lmdb:{self._folder / f'worker-{worker}'}"]
        self._processes[worker] = Process(worker, [*self._arguments, *options], self._log)

    def _ended(self, worker: str) -> None:
        """Note that the process of a worker has ended."""
        status = self._processes.pop(worker).ended()
        self._log(f"{worker}: ended with status {status}")
        if worker == GATEWAY and self._gateway is not None:
            self._processes[GATEWAY] = self._gateway.start()
            return
        self._do(self._coordinator.died(worker))

    def close(self) -> None:
        """End all workers, and wait for them; the gateway first, which waits for their replies."""
        if (gateway := self._processes.pop(GATEWAY, None)) is not None:
            _end([gateway])
        _end(list(self._processes.values()))
        self._socket.close()
        self._context.term()
        self._wakeup.close()
        shutil.rmtree(self._private, ignore_errors=True)
        if self._file is not None:
            self._file.close()
        if self._endpoints is not None:
            self._endpoints.unlink(missing_ok=True)


def _end(processes: Sequence[Process]) -> None:
    """End processes, and wait for them."""
    for process in processes:
        process.stop()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.ended(max(deadline - time.monotonic(), 0.01))
        except TimeoutError:
            process.kill()
            process.ended()
