"""The order of a client's requests while partitions move: every schedule of a small world."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import pytest

from streamlstm import wire
from streamlstm.client.fleet.router import Routed, Router

WORKERS = tuple(wire.FleetWorker(f"w{n}", f"tcp://w{n}", "", "") for n in range(3))
PARTITIONS = 4  # that are used here


class Sent(Routed):
    """A request: its number, and its partitions."""

    def __init__(self, item: tuple[int, tuple[int, ...]], numbered: bool = False) -> None:
        super().__init__(item[1], numbered)
        self.item = item


class World:
    """Workers that move partitions at random, with messages under way in both directions."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        owners = np.array([n % 3 for n in range(wire.PARTITIONS)], np.uint16)
        self.table = wire.FleetTable(1, WORKERS, owners, np.ones(wire.PARTITIONS, np.uint32))
        self.known = [self.table] * 3  # each worker's
        self.router = Router(self.table)
        self.there = {worker.router: deque[Sent]() for worker in WORKERS}
        self.back = {worker.router: deque[tuple[str, Sent, int]]() for worker in WORKERS}
        self.arriving: set[int] = set()
        self.applied: list[list[int]] = [[] for _ in range(PARTITIONS)]
        self.sent = 0

    def move(self) -> None:
        n = self.chance.randrange(PARTITIONS)
        owners, epochs = self.table.owners.copy(), self.table.epochs.copy()
        if n in self.arriving:
            self.arriving.discard(n)
            return
        after = self.chance.randrange(3)
        there = self.there[WORKERS[after].router]
        if after == owners[n] or any(n in routed.item[1] for routed in there):
            return  # a move takes longer than a request is under way: it comes to no former owner
        owners[n], epochs[n] = after, epochs[n] + 1
        self.table = self.table._replace(
            version=self.table.version + 1, owners=owners, epochs=epochs
        )
        self.arriving.add(n)

    def submit(self) -> None:
        self.sent += 1
        several = self.chance.sample(range(PARTITIONS), self.chance.choice([1, 1, 1, 2, 3]))
        request = Sent((self.sent, tuple(several)))
        if self.router.add(request):
            assert request.router is not None
            self.there[request.router].append(request)

    def send(self) -> None:
        for routed in self.router.ready():
            assert isinstance(routed, Sent)
            if routed.router is None:
                number, partitions = routed.item
                groups: dict[str | None, list[int]] = {}
                for n in partitions:
                    groups.setdefault(self.router.router_of(n), []).append(n)
                parts = [Sent((number, tuple(group))) for group in groups.values()]
                self.router.divide(routed, parts)
            else:
                self.there[routed.router].append(routed)

    def serve(self) -> None:
        at = self.chance.randrange(3)
        worker = WORKERS[at].router
        if not self.there[worker]:
            return
        routed = self.there[worker].popleft()
        number, partitions = routed.item
        elsewhere = [n for n in partitions if self.table.owners[n] != at]
        if elsewhere:
            self.back[worker].append(("moved", routed, elsewhere[0]))
        elif self.arriving.intersection(partitions):
            self.back[worker].append(("busy", routed, 0))
        else:
            for n in partitions:
                self.applied[n].append(number)
            self.back[worker].append(("done", routed, 0))

    def receive(self) -> None:
        back = self.back[self.chance.choice(WORKERS).router]
        if not back:
            return
        what, routed, n = back.popleft()
        if what == "moved":
            owner = self.table.owner(n)
            assert owner is not None
            self.router.moved(routed, n, wire.Owner(int(self.table.epochs[n]), owner.router))
        elif what == "busy":
            self.router.again(routed)
        else:
            self.router.done(routed)


@pytest.mark.parametrize("seed", range(200))
def test_requests_of_a_partition_are_applied_once_and_in_order(seed: int) -> None:
    world = World(seed)
    for _ in range(600):
        step = world.chance.choices(
            [world.move, world.submit, world.send, world.serve, world.receive], [1, 4, 6, 8, 8]
        )[0]
        step()
    world.arriving.clear()
    for _ in range(20_000):
        world.send()
        world.serve()
        world.receive()
    expected = [list(range(1, world.sent + 1))] * PARTITIONS
    for n in range(PARTITIONS):
        assert world.applied[n] == sorted(set(world.applied[n])), (seed, n)
    assert sorted({number for numbers in world.applied for number in numbers}) == expected[0]
