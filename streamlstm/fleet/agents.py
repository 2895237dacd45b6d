"""The machines of a fleet as the one that leads it sees them: an agent on each.

An agent (agent.py) connects to the leader, says which of its workers run, and does what it is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import zmq

from .. import __version__, wire
from ..errors import StreamLSTMError
from ..serving.wakeup import Wakeup
from .launcher import Ended, Event, Joined, Leaves, Left, Runs, Said
from .members import machine_of
from .model import FleetModel

SILENT_SECONDS = 4.0  # without a word of an agent, after which its machine is given up
_OF_MACHINE = b"\0"  # between a machine's name and who has sent a message there


class About(NamedTuple):
    """What an agent says of itself.

    Attributes
    ----------
    version : str
        Of streamlstm.
    machine : str
        Its name.
    run : str
        Random, of the agent's process.
    host, pid
        Of the agent, for people.
    fingerprint : str
        Of its model.
    model : int or None
        Number of its model.
    workers, capacity : int
        That the machine is to have.
    """

    version: str
    machine: str
    run: str
    host: str
    pid: int
    fingerprint: str
    model: int | None
    workers: int
    capacity: int


class ConnectionBrokenError(StreamLSTMError):
    """What an agent has said, or was told, may be lost."""


@dataclass
class Hand:
    """A machine that has joined.

    Attributes
    ----------
    identity : bytes
        Of its connection.
    about : About
    heard : float
        Monotonic time of its last message.
    pids : dict of str to int
        Of its workers that run.
    """

    identity: bytes
    about: About
    heard: float
    pids: dict[str, int] = field(default_factory=dict)


class Agents:
    """The agents of all machines. A :class:`.launcher.Launcher`.

    Parameters
    ----------
    socket : zmq.Socket
        A ROUTER that is bound where agents connect to.
    wakeup : Wakeup
        Ends a wait.
    content : callable
        Returns the file of the model of a number.

    Attributes
    ----------
    model : FleetModel
        To be set before anything is received.
    """

    serves = True
    model: FleetModel

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        wakeup: Wakeup,
        content: Callable[[int], bytes],
    ) -> None:
        self._socket, self.wakeup, self._content = socket, wakeup, content
        self._hands: dict[str, Hand] = {}
        self._of_identity: dict[bytes, str] = {}
        self._followed, self._events = b"", list[Event]()
        self._looked = time.monotonic()

    # --- to machines ---

    def _send(self, machine: str, name: str, *fields: Any) -> None:
        if (hand := self._hands.get(machine)) is not None:
            self._socket.send_multipart([hand.identity, wire.encode_control(name, *fields)])

    def _send_all(self, name: str, *fields: Any) -> None:
        for machine in self._hands:
            self._send(machine, name, *fields)

    def start(
        self, worker: str, model: int | None, options: Sequence[str], ports: Sequence[int]
    ) -> None:
        """Let the process of a worker be started on its machine."""
        self._send(machine_of(worker), "start", worker, model, list(options), list(ports))

    def stop(self, worker: str) -> None:
        """Let the process of a worker be asked to end."""
        self._send(machine_of(worker), "stop", worker)

    def dismiss(self, machine: str) -> None:
        """Let a machine end."""
        self._send(machine, "dismiss")

    def runs(self, worker: str, pid: int) -> bool:
        """Tell whether this is the process of a worker, as far as is known here."""
        hand = self._hands.get(machine_of(worker))
        return hand is not None and hand.pids.get(worker) == pid

    def tell(self, to: bytes, frame: bytes) -> None:
        """Send a message to a worker, by its name, or to who has sent one."""
        machine, _, sender = to.partition(_OF_MACHINE)
        if sender:
            self._send(machine.decode(), "to", sender, frame)
        else:
            self._send(machine_of(to.decode()), "to", to, frame)

    def follow(self, table: wire.FleetTable, live: Sequence[str]) -> None:
        """Let the gateways of all machines know a table."""
        followed = wire.encode_control("follow", table.to_value(), list(live))
        if followed != self._followed:
            self._followed = followed
            for hand in self._hands.values():
                self._socket.send_multipart([hand.identity, followed])

    def show(self, status: Mapping[str, Any]) -> None:
        """Let all machines write where the fleet is."""
        self._send_all("show", dict(status))

    def use_model(self, number: int, content: bytes) -> None:
        """Let all machines have a model."""
        self._send_all("model", number, content)

    # --- from machines ---

    def poll(self, seconds: float) -> list[Event]:
        """Return what has happened; wait so long for it, or until the wake-up is nudged."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self.wakeup.fileno(), zmq.POLLIN)
        poller.poll(int(1000 * max(min(seconds, SILENT_SECONDS / 4), 0.0)) + 1)
        while True:
            try:
                identity, frame = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._receive(identity, wire.decode_control(frame))
        self._look_for_silent()
        self._looked = time.monotonic()
        found, self._events = self._events, []
        return found

    def _receive(self, identity: bytes, message: wire.Control) -> None:
        name, fields = message
        if name == "join":
            self._join(identity, *fields)
            return
        machine = self._of_identity.get(identity)
        if machine is None:  # it was given up, or somebody else has led since
            self._socket.send_multipart([identity, wire.encode_control("again")])
            return
        hand = self._hands[machine]
        hand.heard = time.monotonic()
        match name:
            case "said":
                sender, frame = fields
                to = machine.encode() + _OF_MACHINE + sender
                self._events.append(Said(to, wire.decode_control(frame)))
            case "started":
                worker, pid = fields
                hand.pids[worker] = pid
            case "ended":
                worker, status, lived = fields
                hand.pids.pop(worker, None)
                self._events.append(Ended(worker, status, lived))
            case "leaves":
                self._events.append(Leaves(machine))
            case "gone":
                self._leave(machine, "has ended")

    def _join(
        self,
        identity: bytes,
        about: Sequence[Any],
        leaving: bool,
        running: Sequence[tuple[str, int, Sequence[Any] | None]],
    ) -> None:
        """Take a machine in, or say why not."""
        of = About(*about)
        refusal = self._refusal(of)
        if refusal is not None:
            self._socket.send_multipart([identity, wire.encode_control("refused", *refusal)])
            return
        before = self._hands.pop(of.machine, None)
        if before is not None:
            self._of_identity.pop(before.identity, None)
            if before.about.run == of.run:
                raise ConnectionBrokenError(
                    f"machine {of.machine}: the connection to it was broken, and messages may be "
                    "lost; all machines are asked again how far they are"
                )
            self._events.append(Left(of.machine, "was started again"))
        pids = {worker: pid for worker, pid, _ in running}
        self._hands[of.machine] = Hand(identity, of, time.monotonic(), pids)
        self._of_identity[identity] = of.machine
        number = self.model.number
        if number is not None and number != of.model:
            self._send(of.machine, "model", number, self._content(number))
        self._send(of.machine, "joined", number)
        if self._followed:
            self._socket.send_multipart([identity, self._followed])
        runs = tuple(Runs(worker, pid, hello) for worker, pid, hello in running)
        self._events.append(Joined(of.machine, of.workers, of.capacity, runs, of.run))
        if leaving:
            self._events.append(Leaves(of.machine))

    def _refusal(self, of: About) -> tuple[bool, str] | None:
        """Return whether a machine may try again, and why it may not join; None if it may."""
        if of.version != __version__:
            return False, (
                f"machine {of.machine}: this is streamlstm {of.version}, the fleet's is "
                f"{__version__}, and versions are not mixed; install the fleet's version there, or "
                "start the whole fleet with the other"
            )
        fleets = self.model.fingerprint
        if fleets and of.fingerprint != fleets:
            return False, (
                f"machine {of.machine} has another model ({of.fingerprint[:8]}) than the fleet "
                f"({fleets[:8]}); give it the fleet's model file, or change the model of all "
                "machines with streamlstm fleet reload"
            )
        there = self._hands.get(of.machine)
        if there is None or there.about.run == of.run:
            return None
        if time.monotonic() - there.heard > SILENT_SECONDS / 4:
            return None
        return True, (
            f"--machine {of.machine}: a machine of this name is in the fleet (process "
            f"{there.about.pid} on {there.about.host}); give each machine a name of its own, or "
            "stop that one first"
        )

    def _look_for_silent(self) -> None:
        now = time.monotonic()
        stood_still = now - self._looked > SILENT_SECONDS / 2  # this machine did
        for machine, hand in list(self._hands.items()):
            if stood_still:
                hand.heard = now
            elif now - hand.heard > SILENT_SECONDS:
                self._leave(machine, f"has said nothing for {SILENT_SECONDS:.0f} s")

    def _leave(self, machine: str, reason: str) -> None:
        hand = self._hands.pop(machine)
        del self._of_identity[hand.identity]
        self._events.append(Left(machine, reason))

    # --- the end ---

    def stop_all(self) -> bool:
        """Do nothing: workers go on, and end with their machines."""
        return True

    def close(self) -> None:
        """Do nothing: the socket is the agent's."""
