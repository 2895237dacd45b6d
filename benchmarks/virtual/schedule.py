"""A random schedule: what people do and what dies, while a publisher goes on."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

from streamlstm.fleet.members import Stores

from .clock import NETWORK, Clock
from .fleet import Fleet
from .machines import Machines
from .shared_fleet import SharedFleet
from .truth import FaultError
from .worker import Stream

PARTITIONS, STREAMS = 8, 2  # streams of a partition
INTERVAL = 0.06  # seconds between two observations of a stream, at most
EVENTS = 16  # of a schedule
GAP = 0.4  # seconds between two events, at most; half of them follow at once
MOST_WORKERS = 4
PATIENCE = 200.0  # virtual seconds in which all must be well again
KINDS = {"kill": 8, "scale": 3, "move": 4, "drain": 2, "restart": 1}
GAP_SHARED = 1.0  # the same where leases have to end
KINDS_SHARED = {"stop": 3, "wake": 1, "store": 1}
LONGEST_STOP = 4.0  # seconds; leases end before
FLEETS: dict[Stores, type[Fleet]] = {Stores.OWN: Fleet, Stores.SHARED: SharedFleet}
ROUNDS = 4  # observations of each stream after the last event


@dataclass
class Outcome:
    """What a schedule was like."""

    events: int
    told: int
    observations: int


class Publisher:
    """Sends numbered observations of all streams, and again what a worker that died had lost."""

    def __init__(self, clock: Clock, chance: random.Random) -> None:
        self.clock, self.chance = clock, chance
        self.fleet: Fleet | Machines | None = None
        streams = [(p, n) for p in range(PARTITIONS) for n in range(STREAMS)]
        self.next = dict.fromkeys(streams, 1)
        self.committed = dict.fromkeys(streams, 0)
        self.applied = 0

    def start(self, fleet: Fleet | Machines) -> None:
        """Begin with all streams."""
        self.fleet = fleet
        for stream in self.next:
            self.clock.after(self.chance.random() * 0.05, partial(self.send, stream))

    def send(self, stream: Stream) -> None:
        """Send the next observation of a stream to its owner, as it is known now."""
        assert self.fleet is not None
        name = self.fleet.owner(stream[0])
        self.clock.after(self.chance.random() * NETWORK, partial(self._arrive, name, stream))

    def _arrive(self, name: str | None, stream: Stream) -> None:
        assert self.fleet is not None
        wait = INTERVAL * self.chance.random()
        if name is not None and name in self.fleet.workers:
            answer, seq = self.fleet.step(name, stream, self.next[stream])
            if answer == "done":
                self.applied += 1
                self.next[stream] = seq + 1
            elif answer == "last":
                if seq < self.committed[stream]:
                    said = (
                        f"stream {stream} is at {seq}, and {self.committed[stream]} was committed"
                    )
                    raise FaultError(said)
                self.next[stream] = seq + 1
        self.clock.after(wait, partial(self.send, stream))

    def confirm(self, stream: Stream, seq: int) -> None:
        """Note that an observation is committed: it is not sent again."""
        self.committed[stream] = max(self.committed[stream], seq)


def run(seed: int, stores: Stores | None = None) -> Outcome:
    """Run the schedule of a seed.

    Parameters
    ----------
    seed : int
    stores : Stores, optional
        Left out, the seed says whether workers have stores of their own or share one.

    Raises
    ------
    FaultError
        If anything is wrong; the message begins with the seed.
    """
    try:
        kind = stores or random.Random(f"stores of {seed}").choice(list(FLEETS))
        return _run(random.Random(seed), kind)
    except AssertionError as fault:
        raise FaultError(f"seed {seed}: {fault}") from fault
    except (LookupError, StopIteration, TypeError, ValueError) as error:
        raise FaultError(f"seed {seed}: {error!r}") from error


def _run(chance: random.Random, stores: Stores) -> Outcome:
    clock = Clock()
    publisher = Publisher(clock, chance)
    fleet = FLEETS[stores](clock, chance, PARTITIONS, publisher.confirm)
    size = chance.randrange(1, MOST_WORKERS + 1)
    fleet.ask("scale", size)
    publisher.start(fleet)
    for _ in range(EVENTS):
        gap = GAP_SHARED if stores is Stores.SHARED else GAP
        clock.run(clock.now + gap * chance.random() ** chance.choice((2, 8)))
        names = sorted(fleet.coordinator.members)
        kinds = KINDS | KINDS_SHARED if isinstance(fleet, SharedFleet) else KINDS
        match chance.choices(list(kinds), list(kinds.values()))[0]:
            case "kill":
                fleet.kill(chance.choice(names))
            case "scale":
                size = chance.randrange(1, MOST_WORKERS + 1)
                fleet.ask("scale", size)
            case "move":
                fleet.ask("move", chance.randrange(PARTITIONS), chance.choice(names))
            case "drain":
                fleet.ask("drain", chance.choice(names))
            case "restart":
                fleet.restart(size)
            case kind:
                assert isinstance(fleet, SharedFleet)
                _disturb(fleet, kind, chance)
    _settle(clock, fleet, publisher)
    return Outcome(clock.called, fleet.told, publisher.applied)


def _disturb(fleet: SharedFleet, kind: str, chance: random.Random) -> None:
    """Let a worker, or the store of all, stand still for a while, or wake the former."""
    seconds = chance.random() * LONGEST_STOP
    if kind == "store":
        fleet.lose_store(seconds)
    elif kind == "wake":
        fleet.wake()
    else:
        fleet.stop(chance.choice(sorted(fleet.coordinator.members)))
        fleet.clock.after(seconds, fleet.wake)


def _settle(clock: Clock, fleet: Fleet, publisher: Publisher) -> None:
    """Let all become well again, and check that it is."""
    goal = {stream: seq + ROUNDS for stream, seq in publisher.next.items()}
    end = clock.now + PATIENCE
    while clock.now < end:
        clock.run(clock.now + 0.1)
        done = all(publisher.next[stream] > seq for stream, seq in goal.items())
        if done and not fleet.unfinished():
            return
    behind = [stream for stream, seq in goal.items() if publisher.next[stream] <= seq]
    raise FaultError(f"never well again: {fleet.unfinished()}; {len(behind)} streams stand still")
