"""Random schedules of a fleet in virtual time, with the coordinator that is shipped."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from benchmarks.virtual import machine_schedule
from benchmarks.virtual.clock import Clock
from benchmarks.virtual.machines import Machines
from benchmarks.virtual.schedule import PARTITIONS, Publisher, run
from benchmarks.virtual.shared import SharedWorker
from benchmarks.virtual.shared_fleet import SharedFleet
from benchmarks.virtual.truth import FaultError
from benchmarks.virtual.worker import HERE, Worker
from streamlstm.fleet.coordinator import Coordinator
from streamlstm.fleet.members import Stores
from streamlstm.fleet.moves import Moves
from streamlstm.fleet.ownership import Ownership
from streamlstm.fleet.takeover import Takeover

from ..exhaustive import exhaustive, short

SEEDS = range(600)  # until one finds the fault


@pytest.mark.parametrize("seeds", [short(range(40)), exhaustive(range(200))], ids=["few", "many"])
def test_nothing_is_lost_doubled_or_left_over(seeds: range) -> None:
    for seed in seeds:
        run(seed)


@pytest.mark.parametrize("seeds", [short(range(10)), exhaustive(range(30))], ids=["few", "many"])
def test_nothing_is_lost_when_machines_are(seeds: range) -> None:
    """Nor when the one that leads is lost, or stopped and woken."""
    for seed in seeds:
        machine_schedule.run(seed, seed % 2 * machine_schedule.LATE)


@pytest.mark.parametrize(
    ("wish", "left"),
    [
        (("drain", "b.w0"), {"b.w1", "c.w0", "c.w1"}),
        (("drain", "c"), {"b.w0", "b.w1"}),
        (("scale", 1, "c"), {"b.w0", "b.w1", "c.w0"}),
        (("scale", 3, "b"), {"b.w0", "b.w1", "b.w2", "c.w0", "c.w1"}),
    ],
)
@pytest.mark.parametrize("wait", [0.0, 0.02])
def test_what_people_want_outlives_who_leads(
    wish: tuple[Any, ...], left: set[str], wait: float
) -> None:
    """The machine that leads is lost at once, or while partitions move."""
    for seed in range(6):
        clock, chance = Clock(), random.Random(seed)
        publisher = Publisher(clock, chance)
        fleet = Machines(clock, chance, PARTITIONS, publisher.confirm)
        fleet.join("a", 1)
        clock.run(1.0)
        fleet.join("b", 2)
        fleet.join("c", 2)
        publisher.start(fleet)
        clock.run(4.0)
        assert fleet.leader is not None
        assert (fleet.leader.agent.name, fleet.unfinished()) == ("a", "")
        fleet.ask(*wish)
        clock.run(clock.now + wait * chance.random())
        fleet.lose("a")
        while fleet.unfinished():
            assert clock.now < 60
            clock.run(clock.now + 0.1)
        clock.run(clock.now + 5.0)
        assert (set(fleet.workers), fleet.unfinished()) == (left, "")


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(81, id="a worker starts while another machine begins to lead"),
        pytest.param(426, id="machines that have not joined yet are not away"),
        pytest.param(496, id="a machine is lost that was asked to leave meanwhile"),
        pytest.param(20055280, id="who is to leave has begun anew, and another machine leads"),
        pytest.param(20061707, id="who is to leave has begun anew, alone"),
        pytest.param(20247561, id="who is to leave has begun anew, and hands over what it has"),
        pytest.param(163954, id="who is waited for has left, and its machine has ended"),
        pytest.param(20053485, id="who hands over is lost when the table has it no more"),
    ],
)
def test_a_schedule_of_machines_that_was_wrong_once(seed: int) -> None:
    machine_schedule.run(seed)


@pytest.mark.parametrize("seed", [1096, 3132, 3839])
def test_who_is_a_member_and_does_not_serve_yet_is_not_waited_for(seed: int) -> None:
    machine_schedule.run(seed, machine_schedule.LATE)


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(1174, id="who has it was in doubt, and is not at the next restart"),
        pytest.param(1834, id="who has all that came has died and begun anew"),
        pytest.param(2703, id="who was to delete it has left and died"),
        3361,
        3378,
        6890,
        7021,
    ],
)
def test_a_schedule_that_was_wrong_once(seed: int) -> None:
    run(seed, Stores.OWN)


def test_the_same_seed_is_the_same_schedule() -> None:
    assert run(7) == run(7)


def confirm_what_may_be_lost(worker: Any) -> None:
    for _, stream, seq in worker._unconfirmed:
        worker.confirm(stream, seq)
    worker._unconfirmed = []


@pytest.mark.parametrize(
    ("where", "name", "fault", "seeds"),
    [
        pytest.param(Ownership, "are_at", lambda *_: True, SEEDS, id="arrived too early"),
        pytest.param(Ownership, "are_at", lambda *_: False, SEEDS, id="never arrived"),
        pytest.param(Moves, "to_purge", lambda *_: [], SEEDS, id="nothing is purged"),
        pytest.param(Moves, "barred", lambda _: {}, SEEDS, id="deleted while it comes"),
        pytest.param(Worker, "_confirm", confirm_what_may_be_lost, SEEDS, id="confirmed too early"),
    ],
)
def test_a_fault_is_found(
    where: type, name: str, fault: Callable[..., object], seeds: range, monkeypatch: Any
) -> None:
    monkeypatch.setattr(where, name, fault)
    with pytest.raises(FaultError, match="seed"):
        deque((run(seed, Stores.OWN) for seed in seeds), maxlen=0)


def answers_without_a_lease(_: SharedFleet, worker: Worker, partition: int) -> bool:
    return worker.states.get(partition) == HERE


@pytest.mark.parametrize(
    ("where", "name", "fault", "seed"),
    [
        pytest.param(SharedFleet, "_answers", answers_without_a_lease, 81, id="a lease is over"),
        pytest.param(SharedWorker, "renew", lambda *_: None, 0, id="nobody renews a lease"),
        pytest.param(Moves, "to_purge", lambda *_: [], 71, id="nothing is purged"),
    ],
)
def test_a_fault_with_one_store_is_found(
    where: type, name: str, fault: Callable[..., object], seed: int, monkeypatch: Any
) -> None:
    monkeypatch.setattr(where, name, fault)
    with pytest.raises(FaultError, match="seed"):
        run(seed, Stores.SHARED)


def turn_nothing_back(*_: Any) -> list[Any]:
    return []


@pytest.mark.parametrize(
    ("where", "name", "fault", "seeds"),
    [
        pytest.param(Takeover, "_turn_back", turn_nothing_back, [7], id="half of it stays"),
        pytest.param(Coordinator, "found", lambda *_: [], SEEDS, id="nobody is asked"),
        pytest.param(SharedWorker, "renew", lambda *_: None, SEEDS, id="nobody renews a lease"),
    ],
)
def test_a_fault_of_machines_is_found(
    where: type,
    name: str,
    fault: Callable[..., object],
    seeds: Sequence[int],
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(where, name, fault)
    with pytest.raises(FaultError, match="seed"):
        deque(map(machine_schedule.run, seeds), maxlen=0)
