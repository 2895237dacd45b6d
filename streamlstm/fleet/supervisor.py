"""Runs a fleet on one machine: starts its workers, and does what the coordinator decides."""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zmq

from .. import wire
from ..errors import EndpointError, StreamLSTMError
from ..serving.load import Load
from ..serving.wakeup import Wakeup
from . import capacity
from .actions import Action, Publish, Spawn, Stop, Tell
from .coordinator import Coordinator
from .endpoints import write_fleet
from .loads import Loads
from .processes import Process
from .sockets import WorkerSockets
from .table_file import TableFile

_LOG = logging.getLogger(__name__)

TICK_SECONDS = 1.0  # between two looks at how much the workers have and do
WEIGH_TICKS = 5  # after so many of them partitions may move for the load
ENDED_WELL = (0, -signal.SIGTERM)  # stopped, or before it had begun
STOP_SECONDS = 12.0  # in which a worker commits and ends, else it is killed


class Supervisor:
    """Starts and watches the workers of a fleet.

    Parameters
    ----------
    model : Path or None
        The model's file: the workers get a copy of it, so that one which is started later serves
        the same model, whatever the file is then. None: ``arguments`` name it.
    arguments : sequence of str
        Of ``streamlstm serve`` for every worker.
    folder : Path or None
        Where the table is kept, and each worker's store; None: all is in memory only.
    streams : int
        That the workers together may have in memory.
    endpoints : Path or None
        The file in which clients find the fleet, written when it is ready.
    log : callable
        Gets each line of the workers' logs.
    sockets : WorkerSockets
        Where each worker binds.
    """

    def __init__(
        self,
        model: Path | None,
        arguments: Sequence[str],
        folder: Path | None,
        streams: int,
        endpoints: Path | None,
        log: Callable[[str], None],
        sockets: WorkerSockets,
    ) -> None:
        self._sockets = sockets
        self._arguments, self._folder, self._endpoints, self._log = (
            list(arguments),
            folder,
            endpoints,
            log,
        )
        self._file = None if folder is None else TableFile(folder)
        self._coordinator, self._loads = Coordinator(), Loads()
        if self._file is not None:
            self._coordinator.resume(self._file.read())
        self._private = Path(tempfile.mkdtemp(prefix="streamlstm-fleet-"))
        if model is not None:
            copy = self._private / "model.safetensors"
            shutil.copyfile(model, copy)
            self._arguments.insert(0, str(copy))
        self.control = f"ipc://{self._private}/control"
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._socket.set_hwm(0)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.ROUTER_HANDOVER, 1)
        self._socket.bind(self.control)
        self._wakeup = Wakeup()
        self._processes: dict[str, Process] = {}
        self._streams = streams
        self._failed: str | None = None  # a worker that could not start
        self._ticks, self._next_tick = 0, time.monotonic() + TICK_SECONDS
        self._stopping = False
        self.ready = False

    def run(self, workers: int, on_ready: Callable[[], object]) -> bool:
        """Serve with so many workers until a signal comes, then stop them.

        Returns
        -------
        bool
            Whether every worker ended well, and has lost nothing.

        Raises
        ------
        EndpointError
            If a worker cannot start; the log says why.
        """
        with self._wakeup.on_signals():
            self._do(self._coordinator.scale(workers))
            while not self._stopping:
                self._turn()
                if not self.ready and self._coordinator.is_ready:
                    self.ready = True
                    self._write_endpoints()
                    on_ready()
            ended_well = self._stop_workers()
        if self._failed is not None:
            raise EndpointError(
                f"{self._failed} could not start, so the fleet has not started; its last lines "
                "above say why"
            )
        return ended_well

    def _turn(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wakeup.fileno(), zmq.POLLIN)
        ends = {process.descriptor: name for name, process in self._processes.items()}
        for descriptor in ends:
            poller.register(descriptor, zmq.POLLIN)
        left = max(self._next_tick - time.monotonic(), 0)
        for source, _ in poller.poll(int(1000 * left) + 1):
            if source is self._socket:
                self._receive()
            elif source == self._wakeup.fileno():
                self._stopping |= self._wakeup.heard()
            else:
                self._ended(ends[source])
        if time.monotonic() >= self._next_tick:
            self._tick()

    def _tick(self) -> None:
        """Follow what the workers have and do; once a second."""
        self._next_tick = time.monotonic() + TICK_SECONDS
        self._ticks += 1
        self._loads.smooth()
        self._limit()
        if self.ready and self._ticks % WEIGH_TICKS == 0:
            self._do(self._coordinator.weigh(self._loads.partitions))

    def _limit(self) -> None:
        """Tell each worker how many streams it may have in memory."""
        for worker, slots in capacity.limits(self._streams, self._loads.streams()).items():
            self._tell(worker, wire.encode_control("limit", slots))

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
            elif message.name == "load":
                name, *fields = message.fields
                self._loads.heard(name, Load.from_fields(fields), time.monotonic())
            elif message.name == "hello":
                name, pid, router, pull, xpub, *_ = message.fields
                where = wire.FleetWorker(name, router, pull, xpub)
                self._do(self._coordinator.serves(where, pid))
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
        """Return the workers, what they have and what they do."""
        found, now = self._coordinator.status(), time.monotonic()
        for worker in found["workers"]:
            worker |= self._loads.of(worker["name"], now)
        return found

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

    def _tell(self, worker: str, frame: bytes) -> None:
        self._socket.send_multipart([worker.encode(), frame])

    def _publish(self, table: wire.FleetTable) -> None:
        if self._file is not None:
            self._file.write(table)
        frame = wire.encode_control("table", table.to_value())
        for worker in table.workers:
            if worker.name in self._processes:
                self._tell(worker.name, frame)
        if self.ready:
            self._write_endpoints()

    def _write_endpoints(self) -> None:
        if self._endpoints is not None:
            write_fleet(self._endpoints, self.control, self._coordinator.status())

    def _spawn(self, worker: str) -> None:
        options = ["--fleet", self.control, "--fleet-name", worker]
        options += [f"--{name}={where}" for name, where in self._sockets.of(worker).items()]
        options += ["--capacity", str(capacity.slots_of(self._streams))]
        if self._folder is not None:
            options += ["--store", f"lmdb:{self._folder / f'worker-{worker}'}"]
        self._processes[worker] = Process(worker, [*self._arguments, *options], self._log)

    def _ended(self, worker: str) -> None:
        """Note that the process of a worker has ended."""
        status = self._processes.pop(worker).ended()
        self._log(f"{worker}: ended with status {status}")
        self._loads.forget(worker)
        if not self.ready and status not in ENDED_WELL:
            self._failed, self._stopping = worker, True
            return
        self._limit()  # what it had is free for those who take it over
        self._do(self._coordinator.died(worker))

    def _stop_workers(self) -> bool:
        """End all workers, and wait for them; return whether each ended well."""
        for process in self._processes.values():
            process.stop()
        deadline, ended_well = time.monotonic() + STOP_SECONDS, True
        for worker, process in self._processes.items():
            try:
                status = process.ended(max(deadline - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.ended()
            if status not in ENDED_WELL:
                self._log(f"{worker}: ended with status {status}")
                ended_well = False
        self._processes.clear()
        return ended_well

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers that are left, and free what belongs to the fleet."""
        self._stop_workers()
        self._socket.close()
        self._context.term()
        self._wakeup.close()
        shutil.rmtree(self._private, ignore_errors=True)
        if self._file is not None:
            self._file.close()
        if self._endpoints is not None:
            self._endpoints.unlink(missing_ok=True)
