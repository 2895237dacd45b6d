"""A random schedule of a fleet on many machines, which are lost, stopped and woken."""

from __future__ import annotations

import random
from functools import partial

from .clock import Clock
from .machines import Machines
from .schedule import GAP, LONGEST_STOP, PARTITIONS, PATIENCE, ROUNDS, Outcome, Publisher
from .truth import FaultError

EVENTS = 16  # of a schedule
MOST_MACHINES, MOST_WORKERS = 4, 3
KINDS = {"kill": 6, "lose": 3, "leader": 2, "stop": 3, "wake": 3, "join": 4, "leave": 2}
KINDS |= {"scale": 2, "move": 4, "drain": 1, "hasty": 6}
HASTE = 0.012  # seconds after which whoever leads is lost while a partition moves, at most

LATE = 0.2  # seconds after which a worker that is a member says that it serves, at most


def run(seed: int, hello_after: float = 0.0) -> Outcome:
    """Run the schedule of a seed.

    Parameters
    ----------
    seed : int
    hello_after : float
        Seconds for which a worker may be a member before it says that it serves, at most.

    Raises
    ------
    FaultError
        If anything is wrong; the message begins with the seed.
    """
    try:
        return _run(random.Random(seed), hello_after)
    except AssertionError as fault:
        raise FaultError(f"seed {seed}: {fault}") from fault
    except (ArithmeticError, LookupError, StopIteration, TypeError, ValueError) as error:
        raise FaultError(f"seed {seed}: {error!r}") from error


def _run(chance: random.Random, hello_after: float) -> Outcome:
    clock = Clock()
    publisher = Publisher(clock, chance)
    fleet = Machines(clock, chance, PARTITIONS, publisher.confirm)
    fleet.hello_after = hello_after
    for number in range(chance.randrange(1, MOST_MACHINES + 1)):
        fleet.join(f"m{number}", chance.randrange(1, MOST_WORKERS + 1))
    publisher.start(fleet)
    for _ in range(EVENTS):
        clock.run(clock.now + 2 * GAP * chance.random() ** chance.choice((1, 8)))
        _happen(fleet, chance)
    return _settle(clock, fleet, publisher, chance)


def _happen(fleet: Machines, chance: random.Random) -> None:
    agents, workers = sorted(fleet.agents), sorted(fleet.workers)
    kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
    machine = chance.choice(agents) if agents else ""
    worker = chance.choice(workers) if workers else "m0.w0"
    if kind == "join" or not agents:
        free = [name for name in (f"m{n}" for n in range(MOST_MACHINES)) if name not in agents]
        if free:
            fleet.join(chance.choice(free), chance.randrange(1, MOST_WORKERS + 1))
    elif kind == "kill":
        fleet.kill(worker)
    elif kind == "lose":
        fleet.lose(machine)
    elif kind == "leader":
        _lose_leader(fleet)
    elif kind == "hasty":
        fleet.ask("move", chance.randrange(PARTITIONS), worker)
        fleet.clock.after(HASTE * chance.random(), partial(_lose_leader, fleet))
    elif kind == "stop":
        fleet.stop(machine)
        fleet.clock.after(chance.random() * LONGEST_STOP, partial(fleet.wake, machine))
    elif kind == "wake":
        for each in agents:
            fleet.wake(each)
    elif kind == "leave":
        fleet.leave(machine)
    elif kind == "scale":
        fleet.ask("scale", chance.randrange(1, 2 * MOST_WORKERS))
    elif kind == "move":
        fleet.ask("move", chance.randrange(PARTITIONS), worker)
    elif kind == "drain":
        fleet.ask("drain", chance.choice([machine, worker]))


def _lose_leader(fleet: Machines) -> None:
    if fleet.leader is not None and fleet.leader.agent.name in fleet.agents:
        fleet.lose(fleet.leader.agent.name)


def _settle(clock: Clock, fleet: Machines, publisher: Publisher, chance: random.Random) -> Outcome:
    """Let all become well again, and check that it is."""
    for each in list(fleet.agents):
        fleet.wake(each)
    clock.run(clock.now + 1.0)
    free = [
        name for name in (f"m{n}" for n in range(MOST_MACHINES + 1)) if name not in fleet.agents
    ]
    fleet.join(free[0], chance.randrange(1, MOST_WORKERS + 1))
    goal = {stream: seq + ROUNDS for stream, seq in publisher.next.items()}
    end = clock.now + PATIENCE
    while clock.now < end:
        clock.run(clock.now + 0.1)
        done = all(publisher.next[stream] > seq for stream, seq in goal.items())
        if done and not fleet.unfinished():
            return Outcome(clock.called, fleet.told, publisher.applied)
    behind = [stream for stream, seq in goal.items() if publisher.next[stream] <= seq]
    raise FaultError(f"never well again: {fleet.unfinished()}; {len(behind)} streams stand still")
