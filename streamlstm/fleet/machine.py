"""One machine of a fleet: the processes on it, and the socket that they talk to."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import zmq

from .. import wire
from ..serving.line_limit import LineLimit
from ..serving.wakeup import Wakeup
from .door import Door, has_room
from .endpoints import write_fleet
from .gateway import NAME as GATEWAY
from .gateway import GatewayKeeper, GatewayOptions
from .launcher import Ended, Event, Said, model_name
from .processes import Process, ended
from .sockets import WorkerSockets

_LOG = logging.getLogger(__name__)

ENDED_WELL = (0, -signal.SIGTERM)  # stopped, or before it had begun
NOT_STARTED = 1  # as a status
GATEWAY_SECONDS = 0.1  # after which a gateway that died is started again
WRITE_SECONDS = 1.0  # after which a file is tried again that could not be written
STOP_SECONDS = 12.0  # in which a worker commits and ends, else it is killed


class Machine:
    """Starts, watches and ends processes here. A :class:`.launcher.Launcher`.

    Processes end with the thread that starts them.

    Parameters
    ----------
    arguments : sequence of str
        Of ``streamlstm serve`` for every worker.
    sockets : WorkerSockets
        Where each worker binds.
    endpoints : Path or None
        The file in which clients find the fleet.
    log : callable
        Gets what is to be said of the processes; what they log is logged by itself.
    gateway : GatewayOptions, optional
        Clients of a single worker find the fleet there.

    Attributes
    ----------
    folder : Path
        Of this fleet on this machine, until :meth:`close`.
    control : str
        Endpoint at which workers and commands reach the fleet.
    socket : zmq.Socket
        The one at ``control``.
    wakeup : Wakeup
    """

    def __init__(
        self,
        arguments: Sequence[str],
        sockets: WorkerSockets,
        endpoints: Path | None,
        log: Callable[[str], None],
        gateway: GatewayOptions | None = None,
    ) -> None:
        self._arguments, self._sockets, self._log = list(arguments), sockets, log
        self._endpoints = endpoints
        self.folder = Path(tempfile.mkdtemp(prefix="streamlstm-fleet-"))
        self.control = f"ipc://{self.folder}/control"
        self._context = zmq.Context()
        self.socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self.socket.set_hwm(0)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.ROUTER_HANDOVER, 1)
        self._door = Door(self.socket, self.control, log)
        self.wakeup = Wakeup()
        self._processes: dict[str, Process] = {}
        self._model = 0  # with which workers start
        self._serving: dict[str, float] = {}  # since when
        self.hellos: dict[str, Sequence[Any]] = {}  # of the workers that run, the last of each
        self._status: Mapping[str, Any] | None = None
        self._gateway: GatewayKeeper | None = None
        self._not_started: list[str] = []
        self._again: dict[Callable[[], object], float] = {}  # what is to be done, and when
        self._lines = LineLimit()
        if gateway is not None:
            tell = lambda name, frame: self.tell(name.encode(), frame)  # noqa: E731
            self._gateway = GatewayKeeper(gateway, self.control, tell)

    # --- processes ---

    def start_gateway(self) -> None:
        """Start the gateway, if there is to be one."""
        if self._gateway is not None:
            self._launch(GATEWAY, self._gateway.start)

    def start(
        self, worker: str, model: int | None, options: Sequence[str], ports: Sequence[int]
    ) -> None:
        """Start the process of a worker; what cannot be started has ended at the next poll."""
        file = [] if model is None else [str(self.folder / model_name(model))]
        self._model = max(self._model, model or 0)
        where = [f"--{name}={where}" for name, where in self._sockets.of(worker).items()]
        where += self._sockets.again(ports)
        given = ["--fleet", self.control, "--fleet-name", worker, *where, *options]
        arguments = [*file, *self._arguments, *given]
        self._launch(worker, lambda: Process(worker, arguments))

    def _launch(self, name: str, start: Callable[[], Process]) -> None:
        try:
            if not has_room():  # it could not connect
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            self._processes[name] = start()
        except OSError as error:
            said = f"{name} cannot be started: {error.strerror}; it is tried again"
            self._lines.warn(_LOG, said, name)
            self._not_started.append(name)

    def stop(self, worker: str) -> None:
        """Ask a process to end."""
        if worker in self._processes:
            self._processes[worker].stop()

    def dismiss(self, machine: str) -> None:
        """Do nothing: the only machine ends by a signal."""

    def runs(self, worker: str, pid: int) -> bool:
        """Tell whether this is the process of a worker."""
        process = self._processes.get(worker)
        return process is not None and process.pid == pid

    def pid(self, worker: str) -> int:
        """Return the process id of a worker that runs."""
        return self._processes[worker].pid

    @property
    def workers(self) -> list[str]:
        """The workers whose processes run."""
        return [name for name in self._processes if name != GATEWAY]

    @property
    def serves(self) -> bool:
        """True when the gateway serves, if there is one."""
        return self._gateway is None or self._gateway.pid is not None

    def _ended(self, name: str) -> Ended:
        status = NOT_STARTED
        if (process := self._processes.pop(name, None)) is not None:
            status = process.ended()
            self._log(f"{name} {ended(status)}")
        self.hellos.pop(name, None)
        if name == GATEWAY:
            self._again[self.start_gateway] = time.monotonic() + GATEWAY_SECONDS
        since = self._serving.pop(name, None)
        return Ended(name, status, 0.0 if since is None else time.monotonic() - since)

    # --- messages ---

    def tell(self, to: bytes, frame: bytes) -> None:
        """Send a message to a worker, by its name, or to who has sent one."""
        self.socket.send_multipart([to, frame])

    def poll(self, seconds: float, *others: Any) -> list[Event]:
        """Return what has happened here; wait so long for it, or for something at ``others``."""
        poller = zmq.Poller()
        for source in (self.socket, self.wakeup.fileno(), *others):
            poller.register(source, zmq.POLLIN)
        ends = {process.descriptor: name for name, process in self._processes.items()}
        for descriptor in ends:
            poller.register(descriptor, zmq.POLLIN)
        dues = [0.0] if self._not_started else self._again.values()
        seconds = min([seconds, *(due - time.monotonic() for due in dues)])
        ready = [source for source, _ in poller.poll(int(1000 * max(seconds, 0.0)) + 1)]
        found: list[Event] = self._received() if self.socket in ready else []
        found += [self._ended(ends[source]) for source in ready if source in ends]
        names, self._not_started = self._not_started, []
        found += [self._ended(name) for name in names]
        for work in [each for each, due in self._again.items() if due <= time.monotonic()]:
            del self._again[work]
            work()
        self._door.look()
        return found

    def _received(self) -> list[Event]:
        """Take all that came."""
        found: list[Event] = []
        while True:
            try:
                sender, frame = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return found
            message = wire.decode_control(frame)
            if message.name == GATEWAY and self._gateway is not None:
                self._gateway.serves(*message.fields)
                self._write_endpoints()
                continue
            if message.name == "hello":
                name, pid = message.fields[:2]
                if self.runs(name, pid):
                    self._serving.setdefault(name, time.monotonic())
                    self.hellos[name] = message.fields
            found.append(Said(sender, message))

    # --- what others see ---

    def follow(self, table: wire.FleetTable, live: Sequence[str]) -> None:
        """Let the gateway know a table."""
        if self._gateway is not None:
            self._gateway.follow(table, live)

    def show(self, status: Mapping[str, Any]) -> None:
        """Write the endpoints file."""
        self._status = status
        self._write_endpoints()

    def _write_endpoints(self) -> None:
        if self._endpoints is None or self._status is None:
            return
        try:
            write_fleet(self._endpoints, self.control, {**self._status, **self.about_gateway()})
        except OSError as error:
            self._try_again(self._write_endpoints, self._endpoints, error)

    def about_gateway(self) -> dict[str, Any]:
        """Return where the gateway is, if there is one, as a part of the status."""
        return {} if self._gateway is None else {"gateway": self._gateway.status()}

    def use_model(self, number: int, content: bytes) -> None:
        """Keep a model for the workers, and forget those before the one that they start with."""
        (self.folder / model_name(number)).write_bytes(content)
        for before in range(self._model):
            (self.folder / model_name(before)).unlink(missing_ok=True)

    def keep_model(self, number: int, content: bytes) -> None:
        """Keep a model for the workers, as soon as it can be written."""
        try:
            self.use_model(number, content)
        except OSError as error:
            self._try_again(partial(self.keep_model, number, content), self.folder, error)

    def _try_again(self, work: Callable[[], object], file: Path, error: OSError) -> None:
        said = f"{file}: cannot be written: {error.strerror}; it is tried again"
        self._lines.warn(_LOG, said, str(file))
        self._again[work] = time.monotonic() + WRITE_SECONDS

    def model(self, number: int) -> bytes:
        """Return the file of a model."""
        return (self.folder / model_name(number)).read_bytes()

    # --- the end ---

    def stop_all(self) -> bool:
        """End all processes, and wait for them; tell whether each ended well.

        The gateway ends first, when it has passed on what the workers have replied.
        """
        ended_well = True
        if (gateway := self._processes.pop(GATEWAY, None)) is not None:
            gateway.stop()
            ended_well = self._wait_for(GATEWAY, gateway, time.monotonic() + STOP_SECONDS)
        for process in self._processes.values():
            process.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for worker, process in self._processes.items():
            ended_well &= self._wait_for(worker, process, deadline)
        self._processes.clear()
        return ended_well

    def _wait_for(self, worker: str, process: Process, deadline: float) -> bool:
        """Wait for the end of a process, or kill it; tell whether it ended well."""
        try:
            status = process.ended(max(deadline - time.monotonic(), 0.01))
        except TimeoutError:
            process.kill()
            status = process.ended()
        if status not in ENDED_WELL:
            self._log(f"{worker} {ended(status)}")
        return status in ENDED_WELL

    def close(self) -> None:
        """End all processes that are left, and free everything."""
        self.stop_all()
        self.socket.close()
        self._context.term()
        self.wakeup.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._endpoints is not None:
            self._endpoints.unlink(missing_ok=True)
