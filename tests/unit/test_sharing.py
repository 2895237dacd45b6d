"""The rule that shares blocks among threads, on a machine whose clock the test moves."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from streamlstm import LSTM, AsyncEngine, Engine
from streamlstm.kernels import compile, layout, sharing
from streamlstm.kernels.products import TILE

from ..contract.models import random_model

needs_openmp = pytest.mark.skipif(
    not compile.can_run_parallel(), reason="Numba has no OpenMP here: reinstall its wheel"
)
ONE = 10_000  # ns that a tile takes on one thread
HALF = ONE * 55 // 100

# As compiled code calls: room for a result and an exception, then four integers.
_STEP = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 4)
_CLOCK = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.POINTER(ctypes.c_int64))


@cache
def _entry() -> Callable[[int, int, int, int], None]:
    compile.prepare(None, [compile.STEP_PARALLEL])
    function = _STEP(compile.address(sharing.step_sharing))
    room = ctypes.create_string_buffer(16)
    places = ctypes.addressof(room), ctypes.addressof(room) + 8
    return lambda *arguments: function(*places, *arguments)


class Machine:
    """Steps blocks by the rule; each takes as long as the test says, on one thread or shared.

    Parameters
    ----------
    shared : callable
        Returns the ns that a shared block takes, of its tiles and its number among those.
    one : callable, optional
        The same for one thread.
    """

    def __init__(
        self,
        shared: Callable[[int, int], int],
        one: Callable[[int, int], int] = lambda tiles, _: ONE * tiles,
    ) -> None:
        self.now = 10**15
        self.took = {"one": list[int](), "shared": list[int]()}
        self.all: list[tuple[str, int]] = []
        self.shared, self.one = shared, one
        step = self._callback("one", lambda *a: self.one(*a))
        parallel = self._callback("shared", lambda *a: self.shared(*a))
        clock = _CLOCK(self._read_clock)
        self._alive = step, parallel, clock
        self.table = np.zeros(sharing.SHARING, np.int64)
        self.table[sharing.CLOCK] = self._address(clock)
        self.table[sharing.PARALLEL] = self._address(parallel)
        self.task = np.zeros(layout.TASK, np.int64)
        self.task[layout.TASK_STEP] = self._address(step)
        self.task[layout.TASK_SHARING] = self.table.ctypes.data

    @staticmethod
    def _address(function: object) -> int:
        return ctypes.cast(function, ctypes.c_void_p).value or 0

    def _read_clock(self, _kind: int, place: object) -> int:
        place[0], place[1] = divmod(self.now, 10**9)  # type: ignore[index]
        return 0

    def _callback(self, kind: str, duration: Callable[[int, int], int]) -> object:
        def call(_r: int, _e: int, _task: int, first: int, last: int, _threads: int) -> int:
            took = duration(-(-(last - first) // TILE), len(self.took[kind]))
            self.now += took
            self.took[kind].append(took)
            self.all.append((kind, took))
            return 0

        return _STEP(call)

    def run(self, blocks: int, tiles: int = 8, pause: int = 0) -> list[tuple[str, int]]:
        """Step so many blocks; return the kind and the ns of each."""
        before, step, task = len(self.all), _entry(), self.task.ctypes.data
        for _ in range(blocks):
            self.now += pause
            step(task, 0, tiles * TILE, 2)
        return self.all[before:]


def shared_of(blocks: list[tuple[str, int]]) -> float:
    return sum(kind == "shared" for kind, _ in blocks) / len(blocks)


def percentile_99(blocks: list[tuple[str, int]]) -> float:
    return float(np.percentile([took for _, took in blocks], 99))


@needs_openmp
def test_blocks_are_shared_once_it_is_known_what_one_thread_takes() -> None:
    machine = Machine(lambda tiles, _: HALF * tiles)
    kinds = [kind for kind, _ in machine.run(sharing.LEARN + 5)]
    assert kinds == ["one"] * sharing.LEARN + ["shared"] * 5
    # Blocks of another size are learned apart; those of this one go on.
    assert [kind for kind, _ in machine.run(sharing.LEARN + 1, tiles=100)][-2:] == ["one", "shared"]
    assert machine.run(2)[-1][0] == "shared"


@needs_openmp
def test_a_quiet_machine_shares_all_but_the_blocks_that_measure() -> None:
    blocks = Machine(lambda tiles, _: HALF * tiles).run(20_000)
    assert shared_of(blocks) == pytest.approx(1 - 1 / (sharing.PROBE + 1), abs=0.001)
    mean = np.mean([took for _, took in blocks])
    assert 8 * ONE / mean > 1.8


@needs_openmp
def test_a_block_of_one_tile_is_not_shared() -> None:
    assert shared_of(Machine(lambda tiles, _: HALF * tiles).run(50, tiles=1)) == 0


@needs_openmp
@pytest.mark.parametrize("every", [1, 2, 10, 60, 200])
@pytest.mark.parametrize("tiles", [4, 43, 683])
@pytest.mark.parametrize("delay", [200_000, 4_000_000, 30_000_000])
def test_where_a_core_is_busy_the_99th_percentile_stays_that_of_one_thread(
    every: int, tiles: int, delay: int
) -> None:
    """One shared block in so many waits for the scheduler, as if a core were taken away."""

    def shared(tiles: int, number: int) -> int:
        return HALF * tiles + delay * (number % every == every - 1)

    blocks = Machine(shared).run(8_000, tiles)
    assert percentile_99(blocks) <= 2 * ONE * tiles
    assert sum(took for _, took in blocks) <= 1.05 * ONE * tiles * len(blocks) + delay


@needs_openmp
def test_threads_that_are_asleep_are_worth_waking_for_a_streak_of_blocks() -> None:
    last = [0]

    def shared(tiles: int, _: int) -> int:  # who has waited for 2 ms sleeps, and wakes in 60 us
        asleep = machine.now - last[0] > 2_000_000
        last[0] = machine.now
        return HALF * tiles + 60_000 * asleep

    machine = Machine(shared)
    assert shared_of(machine.run(5_000, tiles=4)[100:]) > 0.99


@needs_openmp
def test_where_every_block_finds_the_threads_asleep_one_thread_steps() -> None:
    machine = Machine(lambda tiles, _: HALF * tiles + 60_000)
    blocks = machine.run(5_000, tiles=4, pause=10**7)
    assert percentile_99(blocks) <= 2 * 4 * ONE
    assert shared_of(blocks) < 0.02


@needs_openmp
def test_where_blocks_of_two_sizes_take_turns_one_thread_steps_those_that_lose() -> None:
    """A small block between them, which is never shared, makes each one the first of a streak."""
    machine = Machine(lambda tiles, _: HALF * tiles + 60_000)
    for _ in range(2_000):
        machine.run(1, tiles=4)
        machine.run(1, tiles=1)
    assert shared_of(machine.all) < 0.02


@needs_openmp
@pytest.mark.parametrize("delay", [4_000_000, 8_000_000])
@pytest.mark.parametrize("tiles", [4, 43, 683])
def test_a_machine_that_becomes_quiet_is_used_again_at_once(tiles: int, delay: int) -> None:
    """At once: within RARE blocks, or PRICE times the last loss."""
    machine = Machine(lambda tiles, _: HALF * tiles + delay)
    machine.run(5_000, tiles)
    machine.shared = lambda tiles, _: HALF * tiles
    pause = max(sharing.RARE, sharing.PRICE * (delay // (ONE * tiles) + 1))
    machine.run(pause, tiles)
    assert shared_of(machine.run(1_000, tiles)) > 0.99


@needs_openmp
@pytest.mark.parametrize("tiles", [4, 43, 683])
def test_where_blocks_wait_rarely_two_threads_gain_what_they_can(tiles: int) -> None:
    """One shared block in 800 waits for a tick of the scheduler, as on machines that are quiet."""
    wait, every = 4_000_000, 800

    def shared(tiles: int, number: int) -> int:
        return HALF * tiles + wait * (number % every == every - 1)

    blocks = Machine(shared).run(40_000, tiles)
    best = HALF * tiles + wait / every
    assert np.mean([took for _, took in blocks]) <= 1.03 * best


@needs_openmp
def test_a_machine_that_was_suspended_in_a_shared_block_is_used_again_too() -> None:
    machine = Machine(lambda tiles, number: HALF * tiles + (number == 10) * 3_600 * 10**9)
    machine.run(100, tiles=40)
    machine.run(sharing.PRICE * sharing.LONGEST // (40 * ONE), tiles=40)
    assert shared_of(machine.run(1_000, tiles=40)) > 0.99


@needs_openmp
def test_what_one_thread_takes_is_learned_again_when_the_machine_becomes_slower() -> None:
    """Such as one that is too hot: both take longer, and two threads remain the quicker."""
    machine = Machine(lambda tiles, _: HALF * tiles)
    machine.run(1_000)
    machine.one, machine.shared = lambda t, _: 3 * ONE * t, lambda t, _: 3 * HALF * t
    machine.run(8_000)
    assert shared_of(machine.run(1_000)) > 0.99


@needs_openmp
def test_an_engine_shares_by_the_rule() -> None:
    B = 2000
    engine = Engine(random_model([LSTM(8, 64)]), B, threads=2)
    table = engine._backend.sharing  # type: ignore[attr-defined]
    X = np.zeros((B, 8), np.float32)
    for _ in range(sharing.LEARN):
        engine.step_many(range(B), X)
    assert table[sharing.BLOCKS] == 0
    engine.step_many(range(B), X)
    assert table[sharing.BLOCKS] == 1


def test_one_thread_is_the_default_everywhere() -> None:
    engine = Engine(random_model([LSTM(2, 3)]))
    assert engine._backend.threads == AsyncEngine(engine).engine._backend.threads == 1


def test_an_engine_with_one_thread_loads_no_openmp(root: Path) -> None:
    program = (
        "import sys, numpy as np, streamlstm as sl\n"
        "layer = sl.LSTM(2, 3)\n"
        "w = {n: np.zeros(s, np.float32) for n, s in layer.parameters().items()}\n"
        "sl.Engine(sl.Model([layer], [w])).step_many(range(999), np.zeros((999, 2)))\n"
        "assert 'numba.np.ufunc.omppool' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, timeout=120)
