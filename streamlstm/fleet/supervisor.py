"""Runs a fleet on one machine: starts its workers, and does what the coordinator decides."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import zmq

from .. import wire
from ..errors import EndpointError, StoreError, StreamLSTMError
from ..serving.wakeup import Wakeup
from .actions import Action, Publish, Remove, Say, Spawn, Stop, Tell, Wait
from .coordinator import Coordinator
from .endpoints import write_fleet
from .folders import Folders
from .members import Stores
from .processes import Process
from .record import Record
from .table_file import TableFile

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
        Gets each line of the workers' logs, and what the fleet itself says.

    Raises
    ------
    StoreError
        If the folder is used by another fleet, or what it needs is not there.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path | None,
        endpoints: Path | None,
        log: Callable[[str], None],
    ) -> None:
        self._arguments, self._folder, self._endpoints, self._log = (
            list(arguments),
            folder,
            endpoints,
            log,
        )
        self._file = None if folder is None else TableFile(folder)
        self._folders = None if folder is None else Folders(folder)
        self._coordinator = Coordinator(Stores.MEMORY if folder is None else Stores.OWN)
        self._resume()
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
        self._serving: dict[str, float] = {}  # since when
        self._waiting: dict[str, float] = {}  # workers to be started again, and when
        self._stopping = False
        self.ready = False

    def _resume(self) -> None:
        """Go on with what is stored."""
        if self._file is None or self._folders is None:
            return
        try:
            record = self._file.read()
            self._folders.check(record)
        except StoreError:
            self._file.close()
            raise
        names = [worker.name for worker in record.table.workers]
        arrived = {name: self._folders.arrived(record.folder(name)) for name in names}
        self._coordinator.resume(record, arrived)

    def run(self, workers: int, on_ready: Callable[[], object]) -> None:
        """Serve with so many workers until a signal comes; from the thread that lives longest.

        Raises
        ------
        EndpointError
            If a worker ends before the fleet is ready.
        """
        with self._wakeup.on_signals():
            self._do(self._coordinator.scale(workers))
            while not self._stopping:
                self._turn()
                if not self.ready and self._coordinator.is_ready:
                    self.ready = True
                    self._write_endpoints()
                    on_ready()

    def _turn(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wakeup.fileno(), zmq.POLLIN)
        ends = {process.descriptor: name for name, process in self._processes.items()}
        for descriptor in ends:
            poller.register(descriptor, zmq.POLLIN)
        for source, _ in poller.poll(self._patience()):
            if source is self._socket:
                self._receive()
            elif source == self._wakeup.fileno():
                self._stopping |= self._wakeup.heard()
            else:
                self._ended(ends[source])
        for worker, due in list(self._waiting.items()):
            if due <= time.monotonic():
                del self._waiting[worker]
                self._do(self._coordinator.waited(worker))

    def _patience(self) -> int | None:
        """Return for how many milliseconds to wait for events; None if there is no end."""
        if not self._waiting:
            return None
        return max(0, ceil(1000 * (min(self._waiting.values()) - time.monotonic())))

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
                self._hello(*message.fields)
            else:
                self._do(self._coordinator.said(message))

    def _hello(self, name: str, pid: int, *where: str) -> None:
        process = self._processes.get(name)
        if process is not None and process.pid == pid:  # else it has ended since
            self._serving[name] = time.monotonic()
            self._do(self._coordinator.serves(wire.FleetWorker(name, *where), pid))

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
                case Spawn(worker, folder):
                    self._spawn(worker, folder)
                case Wait(worker, seconds):
                    self._waiting[worker] = time.monotonic() + seconds
                case Stop(worker):
                    self._processes[worker].stop()
                case Tell(worker, name, fields):
                    self._tell(worker, wire.encode_control(name, *fields))
                case Publish(record):
                    self._publish(record)
                case Remove(folder):
                    assert self._folders is not None
                    self._folders.remove(folder)
                case Say(text):
                    self._log(text)

    def _tell(self, worker: str, frame: bytes) -> None:
        self._socket.send_multipart([worker.encode(), frame])

    def _publish(self, record: Record) -> None:
        if self._file is not None:
            self._file.write(record)
        frame = wire.encode_control("table", record.table.to_value())
        for worker in record.table.workers:
            if worker.name in self._processes:
                self._tell(worker.name, frame)
        if self.ready:
            self._write_endpoints()

    def _write_endpoints(self) -> None:
        if self._endpoints is not None:
            write_fleet(self._endpoints, self.control, self.status())

    def _spawn(self, worker: str, folder: str) -> None:
        options = ["--fleet", self.control, "--fleet-name", worker]
        if self._folders is not None:
            options += ["--store", f"lmdb:{self._folders.path(folder)}"]
        self._processes[worker] = Process(worker, [*self._arguments, *options], self._log)

    def _ended(self, worker: str) -> None:
        """Note that the process of a worker has ended."""
        status = self._processes.pop(worker).ended()
        since = self._serving.pop(worker, None)
        self._log(f"{worker}: ended with status {status}")
        if since is None and not self.ready:
            raise EndpointError(
                f"the fleet cannot start: {worker} has ended with status {status}, its own lines "
                "above say why"
            )
        lived = 0.0 if since is None else time.monotonic() - since
        arrived = {}
        if self._folders is not None:
            folder = self._coordinator.owned.record.folder(worker)
            arrived = self._folders.arrived(folder)
        self._do(self._coordinator.died(worker, lived, arrived))

    def close(self) -> None:
        """End all workers, and wait for them."""
        for process in self._processes.values():
            process.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            try:
                process.ended(max(deadline - time.monotonic(), 0.01))
            except TimeoutError:
                process.kill()
                process.ended()
        self._socket.close()
        self._context.term()
        self._wakeup.close()
        shutil.rmtree(self._private, ignore_errors=True)
        if self._file is not None:
            self._file.close()
        if self._endpoints is not None:
            self._endpoints.unlink(missing_ok=True)
