"""Runs a fleet on one machine: starts its workers, and does what the coordinator decides."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import zmq

from .. import wire
from ..errors import BadValueError, EndpointError, StoreError, StreamLSTMError
from ..serving.fleet_reload import WANTED
from ..serving.load import Load
from ..serving.stores.store import FencedError
from ..serving.wakeup import Wakeup
from . import capacity
from .actions import Action, Publish, Remove, Say, Spawn, Stop, Tell, Wait
from .coordinator import Coordinator
from .endpoints import write_fleet
from .gateway import NAME as GATEWAY
from .gateway import GatewayKeeper, GatewayOptions
from .loads import Loads
from .model import FleetModel
from .processes import Process
from .record import Record
from .sockets import WorkerSockets
from .storage import Storage

TICK_SECONDS = 1.0  # between two looks at how much the workers have and do
WEIGH_TICKS = 5  # after so many of them partitions may move for the load
HANG_SECONDS = 5.0  # without a look at the workers, of which there is one a second
ENDED_WELL = (0, -signal.SIGTERM)  # stopped, or before it had begun
GATEWAY_SECONDS = 0.1  # after which a gateway that died is started again
RETRY_SECONDS = 0.3  # between two attempts while the store fails
STOP_SECONDS = 12.0  # in which a worker commits and ends, else it is killed


class Supervisor:
    """Starts and watches the workers of a fleet.

    Parameters
    ----------
    model : Path or None
        The model's file; None: ``arguments`` name a detector.
    arguments : sequence of str
        Of ``streamlstm serve`` for every worker.
    storage : Storage
        Where the record and the streams are; closed with the supervisor.
    streams : int
        That the workers together may have in memory.
    endpoints : Path or None
        The file in which clients find the fleet, written when it is ready.
    log : callable
        Gets each line of the workers' logs, and what the fleet itself says.
    sockets : WorkerSockets
        Where each worker binds.
    gateway : GatewayOptions, optional
        Clients of a single worker find the fleet there.

    Attributes
    ----------
    ready : bool
        Whether the fleet has begun to serve.
    seen : dict
        The status at the last look at the workers, for other threads.
    metrics : dict of str to str
        Where each worker serves its own, by name.

    Raises
    ------
    StoreError
        If the folder is used by another fleet, or what it needs is not there.
    """

    def __init__(
        self,
        model: Path | None,
        arguments: Sequence[str],
        storage: Storage,
        streams: int,
        endpoints: Path | None,
        log: Callable[[str], None],
        sockets: WorkerSockets,
        gateway: GatewayOptions | None = None,
    ) -> None:
        self._sockets = sockets
        self._arguments, self._endpoints, self._log = list(arguments), endpoints, log
        self._storage, self._coordinator = storage, Coordinator(storage.stores)
        self._undone: deque[Callable[[], object]] = deque()  # as the store has failed
        self._retry_at = 0.0
        self._loads = Loads()
        self._resume()
        self._private = Path(tempfile.mkdtemp(prefix="streamlstm-fleet-"))
        self._model = FleetModel(model, self._private)
        self.control = f"ipc://{self._private}/control"
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._socket.set_hwm(0)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.ROUTER_HANDOVER, 1)
        self._socket.bind(self.control)
        self._wakeup = Wakeup()
        storage.on_change = self._wakeup.nudge
        self._processes: dict[str, Process] = {}
        self._serving: dict[str, float] = {}  # since when
        self._waiting: dict[str, float] = {}  # workers to be started again, and when
        self.metrics: dict[str, str] = {}
        self._streams = streams
        self._failed: str | None = None  # a worker that could not start
        self._ticks, self._next_tick = 0, time.monotonic() + TICK_SECONDS
        self._stopping = False
        self._gateway: GatewayKeeper | None = None
        if gateway is not None:
            self._gateway = GatewayKeeper(gateway, self.control, self._tell, log)
        self.ready = False
        self.seen = self.status()

    def _resume(self) -> None:
        """Go on with what is stored."""
        try:
            record = self._storage.read()
            names = [worker.name for worker in record.table.workers]
            arrived = {name: self._storage.arrived(record.folder(name)) for name in names}
        except StoreError:
            self._storage.close()
            raise
        self._coordinator.resume(record, arrived)

    def run(self, workers: int, on_ready: Callable[[], object]) -> bool:
        """Serve with so many workers until a signal comes, then stop them.

        The workers end with the thread that calls this.

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
            self._start_gateway()
            while not self._stopping:
                self._turn()
                if not self.ready and self._is_ready():
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

    def _is_ready(self) -> bool:
        serves = self._gateway is None or self._gateway.pid is not None
        return self._coordinator.is_ready and serves

    def _start_gateway(self) -> None:
        if self._gateway is not None:
            self._processes[GATEWAY] = self._gateway.start()

    def _turn(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wakeup.fileno(), zmq.POLLIN)
        ends = {process.descriptor: name for name, process in self._processes.items()}
        for descriptor in ends:
            poller.register(descriptor, zmq.POLLIN)
        due = [self._next_tick, *self._waiting.values()]
        due += [self._retry_at] if self._undone else []
        left = max(min(due) - time.monotonic(), 0)
        for source, _ in poller.poll(int(1000 * left) + 1):
            if source is self._socket:
                self._receive()
            elif source == self._wakeup.fileno():
                self._stopping |= self._wakeup.heard()
            else:
                self._ended(ends[source])
        for worker in self._storage.lost():
            self._log(f"{worker}: cannot renew its lease; others get its partitions")
            self._later(partial(self._lost, worker))
        now = time.monotonic()
        if now >= self._retry_at:
            self._go_on()
        waited = [worker for worker, due in self._waiting.items() if due <= now]
        for worker in [] if self._model.is_changing else waited:
            del self._waiting[worker]
            if worker == GATEWAY:
                self._start_gateway()
            else:
                self._do(self._coordinator.waited(worker))
        if now >= self._next_tick:
            self._tick()
        self._reload()

    def _tick(self) -> None:
        """Follow what the workers have and do; once a second."""
        self._next_tick = time.monotonic() + TICK_SECONDS
        self._ticks += 1
        self._loads.smooth()
        self._limit()
        self.seen = self.status()
        if not self._undone:
            self._later(lambda: self._storage.keep(self._coordinator.owned.record))
        if self.ready and self._ticks % WEIGH_TICKS == 0:
            self._do(self._coordinator.weigh(self._loads.partitions))

    def _limit(self) -> None:
        """Tell each worker how many streams it may have in memory."""
        evicts = any("evict-idle" in argument for argument in self._arguments)
        limits = capacity.limits(self._streams, self._loads.streams(), evicts)
        for worker, slots in limits.items():
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
                name, pid, router, pull, xpub, *about = message.fields
                self._hello(sender, wire.FleetWorker(name, router, pull, xpub), pid, *about)
            elif message.name == "reload":
                self._reload_said(*message.fields)
            elif message.name == GATEWAY and self._gateway is not None:
                self._gateway.serves(*message.fields)
                self._write_endpoints()
            else:
                self._do(self._coordinator.said(message))

    def _hello(
        self,
        sender: bytes,
        where: wire.FleetWorker,
        pid: int,
        fingerprint: str,
        version: str,
        metrics: str,
    ) -> None:
        name, process = where.name, self._processes.get(where.name)
        if process is None or process.pid != pid:
            # It has ended since, or somebody woke it up after its partitions went to others.
            refusal: str | None = (
                f"its time as {name} is over (process {pid}): others have its partitions, and what "
                "it has committed; it has to end"
            )
        else:
            refusal = self._model.refusal(name, fingerprint, version)
        if refusal is not None:
            self._socket.send_multipart([sender, wire.encode_control("refused", refusal)])
            return
        self._serving[name], self.metrics[name] = time.monotonic(), metrics
        self._do(self._coordinator.serves(where, pid))

    def _reload_said(self, worker: str, number: int, how_far: str, value: Any) -> None:
        if how_far != WANTED:
            self._do(self._model.said(worker, number, how_far, value))
            return
        try:
            self._model.ask(value, at_once=False)
        except StreamLSTMError as error:
            self._tell(worker, wire.encode_control("no-reload", str(error)))

    def _reload(self) -> None:
        """Let no partition move while the model changes; begin when none does."""
        coordinator = self._coordinator
        if self._model.is_changing != coordinator.held:
            self._do(coordinator.hold(self._model.is_changing))
        starting = [each for each in coordinator.members.values() if each.starts and not each.where]
        if coordinator.held and not coordinator.moves and not starting:
            self._do(self._model.begin(list(self._serving)))

    def _answer(self, sender: bytes, question: str, *fields: Any) -> None:
        """Do what a person asks for; reply with what is so now, or with an error."""
        coordinator = self._coordinator
        try:
            match question:
                case "scale" | "drain" if self._model.is_changing:
                    raise BadValueError(f"{question}: the model is being changed; ask again")
                case "scale":
                    self._do(coordinator.scale(*fields))
                case "drain":
                    self._do(coordinator.drain(*fields))
                case "move":
                    self._do(coordinator.move(*fields))
                case "reload":
                    self._model.ask(*fields)
            reply = wire.encode_control("status", self.status())
        except StreamLSTMError as error:
            reply = wire.encode_control("refused", str(error))
        self._socket.send_multipart([sender, reply])

    def status(self) -> dict[str, Any]:
        """Return the workers, what they have and what they do."""
        found, now = self._coordinator.status(), time.monotonic()
        found["reload"] = None if self._model.reload is None else self._model.reload.status()
        for worker in found["workers"]:
            worker |= self._loads.of(worker["name"], now)
        if self._gateway is not None:
            found["gateway"] = self._gateway.status()
        return found

    def health_problem(self) -> str | None:
        """Return why the supervisor should be restarted; None if it need not be. Any thread."""
        late = time.monotonic() - self._next_tick
        return f"the supervisor has hung for {late:.0f} s" if late > HANG_SECONDS else None

    def readiness_problem(self) -> str | None:
        """Return why clients should not be sent here now; None if they should. Any thread."""
        if problem := self.health_problem():
            return problem
        away = [each["name"] for each in self.seen["workers"] if each["router"] is None]
        return f"{', '.join(away)} does not serve" if away or not self.ready else None

    # --- actions ---

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self._later(partial(self._execute, action))

    def _later(self, work: Callable[[], object]) -> None:
        """Do something that may need the store, after all that could not be done before."""
        self._undone.append(work)
        if len(self._undone) == 1:
            self._go_on()

    def _go_on(self) -> None:
        """Do what has still to be done, as far as the store works."""
        while self._undone:
            try:
                self._undone[0]()
            except FencedError:
                raise
            except StoreError as error:
                if not self._retry_at:
                    self._log(f"{error} The fleet changes nothing until it works; it tries again.")
                self._retry_at = time.monotonic() + RETRY_SECONDS
                return
            self._undone.popleft()
        self._retry_at = 0.0
        if self._gateway is not None:
            self._gateway.follow(self._coordinator.table, self._coordinator.live())

    def _execute(self, action: Action) -> None:
        match action:
            case Spawn(worker, folder):
                self._spawn(worker, folder)
            case Wait(worker, seconds):
                self._waiting[worker] = time.monotonic() + seconds
            case Stop(worker):
                if worker in self._processes:
                    self._processes[worker].stop()
            case Tell(worker, name, fields):
                self._tell(worker, wire.encode_control(name, *fields))
            case Publish(record):
                self._publish(record)
            case Remove(folder):
                self._storage.remove(folder)
            case Say(text):
                self._log(text)

    def _tell(self, worker: str, frame: bytes) -> None:
        self._socket.send_multipart([worker.encode(), frame])

    def _publish(self, record: Record) -> None:
        self._storage.write(record)
        frame = wire.encode_control("table", record.table.to_value())
        for worker in record.table.workers:
            if worker.name in self._processes:
                self._tell(worker.name, frame)
        self._write_endpoints()

    def _write_endpoints(self) -> None:
        if self._endpoints is not None and self.ready:
            status = self._coordinator.status()
            if self._gateway is not None:
                status["gateway"] = self._gateway.status()
            write_fleet(self._endpoints, self.control, status)

    def _spawn(self, worker: str, folder: str) -> None:
        options = ["--fleet", self.control, "--fleet-name", worker]
        options += [f"--{name}={where}" for name, where in self._sockets.of(worker).items()]
        options += ["--capacity", str(capacity.slots_of(self._streams))]
        options += self._storage.options(folder)
        model = [] if self._model.copy is None else [str(self._model.copy)]
        self._processes[worker] = Process(worker, [*model, *self._arguments, *options], self._log)

    def _ended(self, worker: str) -> None:
        """Note that the process of a worker has ended."""
        status = self._processes.pop(worker).ended()
        self._log(f"{worker}: ended with status {status}")
        self._loads.forget(worker)
        self.metrics.pop(worker, None)
        if not self.ready and status not in ENDED_WELL:
            self._failed, self._stopping = worker, True
            return
        if worker == GATEWAY:
            self._waiting[GATEWAY] = time.monotonic() + GATEWAY_SECONDS
            return
        self._limit()  # what it had is free for those who take it over
        lived = time.monotonic() - since if (since := self._serving.pop(worker, None)) else 0.0
        self._later(partial(self._died, worker, lived))

    def _died(self, worker: str, lived: float) -> None:
        """Give what a worker had to others, which then read all that it has committed."""
        self._storage.ended(worker)
        arrived = self._storage.arrived(self._coordinator.owned.record.folder(worker))
        self._do([*self._model.died(worker), *self._coordinator.died(worker, lived, arrived)])

    def _lost(self, worker: str) -> None:
        """Give what a worker had to others, though its process may go on."""
        arrived = self._storage.arrived(self._coordinator.owned.record.folder(worker))
        self._do(self._coordinator.lost(worker, arrived))

    def _stop_workers(self) -> bool:
        """End all workers, and wait for them; return whether each ended well.

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
            self._log(f"{worker}: ended with status {status}")
        return status in ENDED_WELL

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
        self._storage.close()
        if self._endpoints is not None:
            self._endpoints.unlink(missing_ok=True)
