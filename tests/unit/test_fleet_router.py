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

    def __init__(self, seed: int, numbered: bool) -> None:
        self.chance = random.Random(seed)
        owners = np.array([n % 3 for n in range(wire.PARTITIONS)], np.uint16)
        self.table = wire.FleetTable(1, WORKERS, owners, np.ones(wire.PARTITIONS, np.uint32))
        self.known = [self.table] * 3  # each worker's
        self.router = Router(self.table)
        self.there = {worker.router: deque[Sent]() for worker in WORKERS}
        self.back = {worker.router: deque[tuple[str, Sent, int]]() for worker in WORKERS}
        self.arriving: set[int] = set()
        self.applied: list[list[int]] = [[] for _ in range(PARTITIONS)]
        self.numbered = numbered
        self.doubtful: set[int] = set()  # requests without numbers that were at a worker that died
        self.sent, self.dies = 0, False
        self.made: dict[int, list[int]] = {}  # the partitions of each request

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

    def die(self) -> None:
        """Let a worker die with all that is under way; another one gets what it has applied."""
        at = self.chance.randrange(3)
        router = WORKERS[at].router
        gone = [*self.there[router], *(routed for _, routed, _ in self.back[router])]
        self.there[router].clear()
        self.back[router].clear()
        mine = np.flatnonzero(self.table.owners == at)
        owners, epochs = self.table.owners.copy(), self.table.epochs.copy()
        owners[mine], epochs[mine] = (at + 1) % 3, epochs[mine] + 1
        self.table = self.table._replace(
            version=self.table.version + 1, owners=owners, epochs=epochs
        )
        self.arriving -= set(mine.tolist())
        self.router.lost(router)
        for routed in gone:
            if self.numbered:
                self.router.again(routed)
            else:
                self.router.drop(routed)
                self.doubtful.add(routed.item[0])
        if self.router.needs_table or self.chance.random() < 0.5:
            self.router.follow(self.table)

    def submit(self) -> None:
        self.sent += 1
        several = self.chance.sample(range(PARTITIONS), self.chance.choice([1, 1, 1, 2, 3]))
        self.made[self.sent] = several
        request = Sent((self.sent, tuple(several)), self.numbered)
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

    def is_missing(self, partition: int, number: int) -> bool:
        """Return whether a request before this one has not been applied."""
        before = (n for n, of in self.made.items() if n < number and partition in of)
        return any(n not in self.applied[partition] for n in before)

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
        elif self.numbered and any(self.is_missing(n, number) for n in partitions):
            self.back[worker].append(("gap", routed, 0))
        else:
            for n in partitions:
                if number not in self.applied[n]:  # else it is answered `duplicate`
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
        elif what == "gap":
            assert self.router.has_earlier(routed)
            self.router.again(routed)
        elif what == "busy":
            self.router.again(routed)
        else:
            self.router.done(routed)


def run(world: World, steps: int) -> None:
    for _ in range(steps):
        step = world.chance.choices(
            [world.move, world.submit, world.send, world.serve, world.receive, world.die],
            [10, 40, 60, 80, 80, 3 if world.dies else 0],
        )[0]
        step()
    world.arriving.clear()
    world.router.follow(world.table)
    while world.router.waiting or any(world.there.values()) or any(world.back.values()):
        world.send()
        world.serve()
        world.receive()
        if world.router.needs_table:
            world.router.follow(world.table)


@pytest.mark.parametrize("seed", range(40))
def test_requests_of_a_partition_are_applied_once_and_in_order(seed: int) -> None:
    world = World(seed, numbered=False)
    run(world, 600)
    assert not world.doubtful
    check(world)


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_what_is_at_a_worker_that_dies_is_sent_again_or_in_doubt(seed: int, numbered: bool) -> None:
    world = World(seed, numbered)
    world.dies = True
    run(world, 600)
    check(world)


def check(world: World) -> None:
    for applied in world.applied:
        assert applied == sorted(set(applied))
    for n, several in world.made.items():
        for p in several:
            assert n in world.applied[p] or n in world.doubtful, (n, p)
