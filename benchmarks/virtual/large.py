"""A fleet of many machines with one worker each, and the loss of some of them.

Streams are counted only: a worker serves what it inherits at once, and copies it at the rate that
one worker was measured at.
"""

from __future__ import annotations

import random
from time import process_time
from typing import Any

from streamlstm import wire

from ..harness import Row
from .clock import Clock
from .fleet import Fleet
from .worker import HERE, Worker

STREAMS_A_PARTITION = 1_000_000
COPIED = 100_000  # streams a second that a worker copies from the folder of a dead one


class Counting(Worker):
    """A worker whose streams are counted only."""

    def _adopt(self, number: int, partitions: list[int], _: list[str]) -> None:
        self._set(partitions, HERE)
        streams = len(partitions) * STREAMS_A_PARTITION
        self.later(lambda: self.tell("copied", [number]), 2 * streams / COPIED)


class Large(Fleet):
    """A fleet that notes how long its coordinator computes."""

    computed = 0.0

    def _ended(self, name: str, pid: int) -> None:
        began = process_time()
        super()._ended(name, pid)
        self.computed += process_time() - began


def start(machines: int) -> tuple[Large, Row]:
    """Return a fleet that serves, and what its start took."""
    clock = Clock()
    fleet = Large(clock, random.Random(0), wire.PARTITIONS, lambda *_: None, Counting)
    began = process_time()
    fleet.ask("scale", machines)
    while not fleet.coordinator.is_ready:
        clock.run(clock.now + 0.05)
    while len(fleet.coordinator.moves):
        clock.run(clock.now + 0.05)
    row = _row(fleet, f"{machines} machines start", 0, 0, 0.0)
    return fleet, row | {"computing s": process_time() - began}


def lose(fleet: Large, machines: int) -> Row:
    """Let a fleet lose machines at once; return what that took."""
    serving = [name for name, member in fleet.coordinator.members.items() if member.where]
    lost = fleet.chance.sample(serving, machines)
    partitions = [p for name in lost for p in fleet.coordinator.owned.of(name)]
    told, published, began = fleet.told, fleet.published, fleet.clock.now
    fleet.computed = 0.0
    for name in lost:
        fleet.kill(name)
    served: float | None = None
    while served is None or fleet.coordinator.owned.sources:
        fleet.clock.run(fleet.clock.now + 0.002)
        if served is None and all(_is_served(fleet, each) for each in partitions):
            served = fleet.clock.now - began
    row = _row(fleet, f"{machines} of them are lost", told, published, began)
    return row | {"served again s": served, "computing s": fleet.computed}


def _is_served(fleet: Fleet, partition: int) -> bool:
    owner = fleet.owner(partition)
    return owner in fleet.workers and fleet.workers[owner].states.get(partition) == HERE


def _row(fleet: Fleet, what: str, told: int, published: int, began: float) -> dict[str, Any]:
    return {
        "what": what,
        "messages": fleet.told - told,
        "tables": fleet.published - published,
        "s until copied": fleet.clock.now - began,
    }
