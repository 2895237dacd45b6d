"""Who gets which partitions, by how much they do: no oscillation, few moves, and an end."""

from __future__ import annotations

import numpy as np
import pytest

from streamlstm import wire
from streamlstm.fleet import capacity
from streamlstm.fleet.balance import NARROW, WIDE, next_shift, weights
from streamlstm.fleet.loads import Loads
from streamlstm.serving.load import Load
from streamlstm.serving.native import layout

AT_ONCE = 32


def level(owned, leaving, weight, tolerance):
    """Shift until nothing has to be shifted; return how many partitions moved."""
    moved = 0
    for _ in range(2 * wire.PARTITIONS):
        shift = next_shift(owned, leaving, weight, tolerance, AT_ONCE)
        if shift is None:
            return moved
        assert 0 < len(shift.partitions) <= AT_ONCE
        assert set(shift.partitions) <= set(owned[shift.before])
        assert shift.after not in leaving
        owned[shift.before] = [p for p in owned[shift.before] if p not in shift.partitions]
        owned[shift.after] = owned[shift.after] + shift.partitions
        moved += len(shift.partitions)
    raise AssertionError("partitions moved without end")


def shares(owned, weight):
    return np.array([weight[mine].sum() for mine in owned.values()])


@pytest.mark.parametrize("seed", range(20))
def test_any_loads_are_levelled_and_then_nothing_moves(seed):
    rng = np.random.default_rng(seed)
    workers = int(rng.integers(2, 40))
    loads = rng.pareto(rng.choice([1.2, 2, 5]), wire.PARTITIONS) * rng.choice([0.0, 1, 1e4])
    owner = rng.integers(0, rng.integers(1, workers + 1), wire.PARTITIONS)
    owned = {f"w{n}": np.flatnonzero(owner == n).tolist() for n in range(workers)}
    weight = weights(loads)
    assert weight.sum() == pytest.approx(1)
    leaving = {f"w{n}" for n in range(1, workers) if rng.random() < 0.2}
    level(owned, leaving, weight, NARROW)
    assert sorted(p for mine in owned.values() for p in mine) == list(range(wire.PARTITIONS))
    assert not any(owned[name] for name in leaving)
    staying = {name: mine for name, mine in owned.items() if name not in leaving}
    have, fair = shares(staying, weight), 1 / len(staying)
    # Nothing is left to be gained by a move of one partition that fits.
    for name, share in zip(staying, have, strict=True):
        light = weight[owned[name]].min() if owned[name] else 1.0
        assert share - have.min() <= max(NARROW * fair, 2 * light) + 1e-12
    before = {name: list(mine) for name, mine in owned.items()}
    assert level(owned, leaving, weight, WIDE) == 0
    assert owned == before


def test_loads_that_vary_do_not_move_partitions_back_and_forth():
    """What is measured varies by a tenth from second to second, around the same means."""
    rng = np.random.default_rng(1)
    means = rng.pareto(2, wire.PARTITIONS) * 100
    owned = {f"w{n}": list(range(256 * n, 256 * (n + 1))) for n in range(4)}
    level(owned, set(), weights(means), NARROW)
    moved = 0
    for _ in range(200):
        loads = means * rng.normal(1, 0.1, wire.PARTITIONS).clip(0)
        moved += level(owned, set(), weights(loads), WIDE)
    assert moved == 0


def test_a_busy_partition_moves_nothing_that_would_come_back():
    loads = np.zeros(wire.PARTITIONS)
    loads[7] = 1e6  # more than all others together: it stays, the quiet ones make room for it
    owned = {"w0": list(range(512)), "w1": list(range(512, 1024))}
    moved = level(owned, set(), weights(loads), NARROW)
    assert 7 in owned["w0"]
    assert moved <= 512
    assert level(owned, set(), weights(loads), NARROW) == 0


def test_a_new_worker_takes_what_weighs_most_with_few_moves():
    loads = np.zeros(wire.PARTITIONS)
    loads[:8] = 1000
    owned = {"w0": list(range(1024)), "w1": []}
    moved = level(owned, set(), weights(loads), WIDE)
    assert 3 <= sum(p < 8 for p in owned["w1"]) <= 5
    assert moved < 200


@pytest.mark.parametrize("seed", range(5))
def test_the_capacity_is_that_of_the_fleet(seed):
    """Streams come at random, some workers get more of them; each second limits are told."""
    rng = np.random.default_rng(seed)
    whole, workers = 10_000, int(rng.integers(1, 9))
    streams = {f"w{n}": 0 for n in range(workers)}
    skew = rng.dirichlet(np.full(workers, 5.0))
    for _ in range(60):
        limits = capacity.limits(whole, streams)
        for (name, limit), share in zip(limits.items(), skew, strict=True):
            assert limit <= capacity.slots_of(whole)
            streams[name] = max(streams[name], min(limit, streams[name] + int(2000 * share)))
    assert whole <= sum(streams.values()) <= 1.2 * whole


def test_a_worker_that_dies_leaves_its_share_at_once():
    before = capacity.limits(9000, {"w0": 3000, "w1": 3000, "w2": 3000})
    assert before == {"w0": 3000, "w1": 3000, "w2": 3000}
    assert capacity.limits(9000, {"w0": 3000, "w1": 3000}) == {"w0": 6000, "w1": 6000}
    assert capacity.limits(9000, {"w0": 3000}) == {"w0": 9000}


def test_no_worker_is_left_without_room():
    assert capacity.limits(200, {"w0": 200, "w1": 0}) == {"w0": 200, "w1": 13}
    assert capacity.limits(200, {"w0": 200, "w1": 0}, evicts=True) == {"w0": 200, "w1": 100}
    streams = {"w0": 200, "w1": 0, "w2": 0}
    for _ in range(9):  # those who need room get it from those who have more than an even part
        found = capacity.limits(200, streams, evicts=True)
        streams = {"w0": found["w0"], "w1": found["w1"], "w2": 0}
    assert streams == {"w0": 133, "w1": 67, "w2": 0}


def report(seconds, steps, counted, process=7):
    partitions = np.zeros(wire.PARTITIONS, np.uint32)
    partitions[3] = counted
    latency = np.zeros(layout.BUCKETS, np.int64)
    latency[10] = steps
    load = Load(process, seconds, 5, 100, 2, steps, 10_000, 0.0, latency, partitions)
    return Load.from_fields(load.to_fields())


def test_rates_are_those_between_two_reports_and_counts_may_begin_again():
    loads = Loads()
    loads.heard("w0", report(10.0, 1000, 2**32 - 100), 50.0)
    assert loads.of("w0", 50.0)["rate"] is None
    loads.heard("w0", report(12.0, 3000, 900), 52.0)
    found = loads.of("w0", 53.0)
    assert (found["rate"], found["streams"], found["silent"]) == (1000.0, 5, 1.0)
    assert found["p99"] > 0
    for _ in range(100):
        loads.smooth()
    assert loads.partitions[3] == pytest.approx(500)
    assert loads.of("w0", 60.0)["rate"] is None  # it is silent
    loads.heard("w0", report(13.0, 40, 900, process=8), 53.0)  # started again
    assert loads.of("w0", 53.0)["rate"] is loads.of("w0", 53.0)["p99"] is None
    loads.heard("w0", report(14.0, 60, 920, process=8), 54.0)
    assert loads.of("w0", 54.0)["rate"] == 20.0
    loads.forget("w0")
    assert loads.of("w0", 53.0)["rate"] is None
    for _ in range(100):
        loads.smooth()
    assert loads.partitions.max() < 1e-3
