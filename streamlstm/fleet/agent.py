"""The agent of a machine in a fleet on many: runs its workers, and leads the fleet if nobody does.

Every machine runs the same. Its workers talk to the agent, which passes on what they say to the
leader, whoever that is, and does what that one decides. While nobody leads, workers go on.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from .. import __version__, wire
from ..errors import EndpointError
from ..serving.access.curve_server import CurveServer
from ..serving.fleet_reload import WANTED
from .agent_sockets import AgentSockets
from .agents import SILENT_SECONDS
from .door import has_room
from .launcher import Ended, Said
from .leading import Leading
from .machine import ENDED_WELL, Machine
from .machine_model import MachineModel
from .office import Office
from .watch import hung, unready

BEAT_SECONDS = 0.25  # between two words to the leader
LEAVE_SECONDS = 30.0  # in which a machine hands over what it has, when it is asked to end
TAKEN_SECONDS = 2 * SILENT_SECONDS  # in which whoever had a machine's name is given up
STORE_SECONDS = 2.0  # for which the store may be out of reach at the start


class Agent:
    """One machine of a fleet.

    Parameters
    ----------
    machine : Machine
        Closed with this, once it is made.
    name : str
        Of the machine.
    store : str
        URL of the store that all machines share.
    address : str
        The endpoint at which other machines reach this one.
    model : MachineModel
    workers, capacity : int
        Of this machine.
    log : callable
    on_ready : callable
        Called when the workers of this machine serve.
    evicts : bool
        Whether streams that are idle leave memory for others.
    curve : CurveServer, optional
        With the key that all machines of the fleet have.

    Attributes
    ----------
    seen : dict
        The status of the fleet, with the workers of this machine only; for other threads.
    """

    def __init__(
        self,
        machine: Machine,
        name: str,
        store: str,
        address: str,
        model: MachineModel,
        workers: int,
        capacity: int,
        log: Callable[[str], None],
        on_ready: Callable[[], object],
        evicts: bool = False,
        curve: CurveServer | None = None,
    ) -> None:
        self._machine, self._name, self._model = machine, name, model
        self._workers, self._capacity, self._evicts = workers, capacity, evicts
        self._log, self._on_ready = log, on_ready
        self._run = secrets.token_hex(8)
        self.seen: dict[str, Any] = {"version": 0, "moving": 0, "workers": []}
        if model.file is not None:
            machine.use_model(0, model.file.read_bytes())
        self._sockets = AgentSockets(address, curve)
        bound, public = self._sockets.bound, self._sockets.public
        self._leading = Leading(store, name, bound, public, machine.wakeup.nudge)
        self._office: Office | None = None
        self._joined = self._ready = self._leaves = self._done = False
        self._deadline = float("inf")  # of leaving, or of the machine's name
        self._next_beat = time.monotonic()
        self._asked: dict[bytes, bytes] = {}  # by people, and not answered yet
        self._commands: dict[str, Callable[..., None]] = {
            "joined": self._on_joined,
            "refused": self._on_refused,
            "again": self._join,
            "start": self._start,
            "stop": machine.stop,
            "to": self._tell,
            "model": machine.keep_model,
            "follow": self._follow,
            "show": self._show,
            "dismiss": self._dismiss,
        }

    def run(self) -> bool:
        """Serve until this machine has left; tell whether every worker ended well.

        Raises
        ------
        EndpointError
            If the fleet refuses this machine, or one of its workers cannot start.
        StoreError
            If the store cannot be used.
        """
        machine = self._machine
        with machine.wakeup.on_signals():
            machine.start_gateway()
            while not self._done:
                self._turn()
            ended_well = machine.stop_all()
        self._sockets.say("gone")
        return ended_well

    def _turn(self) -> None:
        self._follow_leader()
        wait = max(min(self._next_beat, self._deadline) - time.monotonic(), 0.0)
        for event in self._machine.poll(wait, *self._sockets.links):
            if isinstance(event, Said):
                self._said(event)
            elif isinstance(event, Ended):
                self._ended(event)
        if self._machine.wakeup.heard():
            self._leave()
        self._receive()
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + BEAT_SECONDS
            self._sockets.say("beat")
        if self._leaves and now >= self._deadline:
            self._log(f"machine {self._name}: did not hand over all in {LEAVE_SECONDS:.0f} s")
            self._done = True

    # --- who leads ---

    def _follow_leader(self) -> None:
        """Lead if it has come to that; connect to whoever leads."""
        leading = self._leading
        if self._office is not None and self._office.has_ended:
            self._close_office()
        error, failing = leading.error, time.monotonic() - leading.failed_at
        if error is not None and not leading.is_known and failing >= STORE_SECONDS:
            raise error
        if (table := leading.won()) is not None:
            self._log(f"machine {self._name} leads the fleet")
            hub, content = self._sockets.hub, self._machine.model
            self._office = Office(table, hub, content, self._model, self._evicts, self._log)
        leader = leading.leader
        if leader is not None and leader != self._sockets.leader and has_room():
            self._joined = False
            self._sockets.connect(leader)
            self._join()

    def _close_office(self) -> None:
        if self._office is not None:
            self._office.close()
            self._office = None
            self._leading.leads = False

    def _join(self) -> None:
        """Tell the leader what is here."""
        machine, model = self._machine, self._model
        here, size = (socket.gethostname(), os.getpid()), (self._workers, self._capacity)
        about = (__version__, self._name, self._run, *here, model.fingerprint, model.number, *size)
        running = [
            (worker, machine.pid(worker), machine.hellos.get(worker)) for worker in machine.workers
        ]
        self._sockets.say("join", about, self._leaves, running)

    # --- what happens here ---

    def _said(self, event: Said) -> None:
        """Pass a message on to the leader; one of a person waits for one."""
        message = event.message
        if message.name == "hello" and not self._machine.runs(*message.fields[:2]):
            said = f"its time as {message.fields[0]} is over; it has to end"
            self._machine.tell(event.sender, wire.encode_control("refused", said))
            return
        fields = list(message.fields)
        wants = message.name == "ask" and fields[0] == "reload"
        if wants or (message.name == "reload" and fields[2] == WANTED):
            fields.append(self._model.content())
        frame = wire.encode_control(message.name, *fields)
        if message.name == "ask":
            self._asked[event.sender] = frame
        if self._joined:
            self._sockets.say("said", event.sender, frame)

    def _ended(self, event: Ended) -> None:
        self._sockets.say("ended", *event)
        if not self._ready and event.status not in ENDED_WELL:
            self._sockets.say("gone")
            raise EndpointError(
                f"{event.worker} could not start, so the machine {self._name} has not joined the "
                "fleet; its last lines above say why"
            )

    def _leave(self) -> None:
        """Ask to hand over what is here; the second time, or alone, end at once."""
        if self._leaves or not self._ready:
            self._dismiss()
            return
        self._leaves, self._deadline = True, time.monotonic() + LEAVE_SECONDS
        self._sockets.say("leaves")

    # --- what the leader says ---

    def _receive(self) -> None:
        for message in self._sockets.received():
            self._commands[message.name](*message.fields)

    def _on_joined(self, number: int | None) -> None:
        self._joined = self._leading.is_known = True
        self._model.number = number
        if not self._leaves:
            self._deadline = float("inf")
        for sender, frame in self._asked.items():
            self._sockets.say("said", sender, frame)

    def _on_refused(self, again: bool, reason: str) -> None:
        now = time.monotonic()
        if again and self._deadline == float("inf"):
            self._deadline = now + TAKEN_SECONDS
        if not again or now >= self._deadline:
            raise EndpointError(reason)
        time.sleep(BEAT_SECONDS)
        self._join()

    def _start(
        self, worker: str, model: int | None, options: Sequence[str], ports: Sequence[int]
    ) -> None:
        self._machine.start(worker, model, options, ports)
        if worker in self._machine.workers:
            self._sockets.say("started", worker, self._machine.pid(worker))

    def _tell(self, to: bytes, frame: bytes) -> None:
        self._asked.pop(to, None)
        self._machine.tell(to, frame)

    def _follow(self, table: Any, live: Sequence[str]) -> None:
        self._machine.follow(wire.FleetTable.from_value(table), live)

    def _show(self, status: dict[str, Any]) -> None:
        """Write where the fleet is, when the workers of this machine serve."""
        mine = [each for each in status["workers"] if each["machine"] == self._name]
        self.seen = {**status, "workers": mine}
        wanted = sum(not each["leaves"] for each in mine)
        if not self._ready:
            serve = sum(each["router"] is not None for each in mine)
            if serve < max(wanted, self._workers) or not self._machine.serves:
                return
        self._workers = wanted
        self._model.follow(status["reload"])
        leader = "" if self._sockets.leader is None else self._sockets.leader.machine
        self._machine.show({"machine": self._name, "leader": leader, **status})
        if not self._ready:
            self._ready = True
            self._on_ready()

    def metrics(self) -> dict[str, str]:
        """Return where each worker of this machine serves its metrics. Any thread."""
        return {worker: hello[-1] for worker, hello in list(self._machine.hellos.items())}

    def health_problem(self) -> str | None:
        """Return why the agent should be restarted; None if it need not be. Any thread."""
        return hung("agent", self._next_beat)

    def readiness_problem(self) -> str | None:
        """Return why clients should not be sent here now; None if they should. Any thread."""
        return self.health_problem() or unready(self.seen, self._ready)

    def _dismiss(self) -> None:
        self._done = True

    # --- the end ---

    def close(self) -> None:
        """End all workers that are left; let another machine lead."""
        self._machine.stop_all()
        self._close_office()
        self._leading.close()
        self._sockets.close()
        self._machine.close()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
