"""A step that goes on needs no memory: everything that could give some is counted.

A block that is shared among threads is left out: for each one Numba's scheduler asks for a few
words. So is what a call from Python needs to hold its arguments; all of it is given back.
"""

import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from streamlstm import Engine

from ..contract.models import MODELS
from . import heap

Step = Callable[[], object]
STEPS = 3000


@pytest.fixture
def counted() -> Any:
    """Let Numba's runtime count what it gives and takes back."""
    before = _nrt_python.memsys_stats_enabled()
    _nrt_python.memsys_enable_stats()
    yield rtsys.get_allocation_stats
    if not before:
        _nrt_python.memsys_disable_stats()


def test_no_kernel_asks_numba_for_memory(counted: Any) -> None:
    asked = {}
    for name, run in heap.kernels().items():
        before = counted()
        run(100)
        after = counted()
        asked[name] = after.alloc + after.mi_alloc - before.alloc - before.mi_alloc
    assert asked.pop(heap.ALLOCATES) >= 100  # it would have been seen
    assert set(asked.values()) == {0}, {name: times for name, times in asked.items() if times}


def test_no_kernel_asks_the_c_library_for_memory(tmp_path: Path, root: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs gcc or clang, to count what the C library gives")
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("needs glibc, to count what it gives")
    library = tmp_path / "heap.so"
    source = Path(heap.__file__).with_suffix(".c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.unit.heap"],
        cwd=root,
        env=os.environ | {"LD_PRELOAD": str(library)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=240,
    )
    asked = {name: many - one for name, (one, many) in json.loads(ran.stdout).items()}
    assert asked.pop(heap.ALLOCATES) == heap.MANY - 1  # it would have been seen
    assert set(asked.values()) == {0}, {name: times for name, times in asked.items() if times}


def ways(engine: Engine) -> dict[str, Step]:
    """Return every way to step streams that are live already."""
    F = engine.model.input_size
    x, X = np.zeros(F, np.float32), np.zeros((50, F), np.float32)
    texts, integers = [f"sensor-{n}" for n in range(50)], np.arange(50)
    handle, row = engine.stream("sensor-8"), [0.0] * F
    seqs = iter(range(1, 1 << 60))
    return {
        "text id": lambda: engine.step("sensor-7", x),
        "integer id": lambda: engine.step(7, x),
        "long text id": lambda: engine.step("a sensor in the attic of the house", x),
        "list": lambda: engine.step("sensor-7", row),
        "time": lambda: engine.step("sensor-7", x, time=1.0),
        "seq": lambda: engine.step("numbered", x, seq=next(seqs)),
        "handle": lambda: handle.step(x),
        "block of text ids": lambda: engine.step_many(texts, X),
        "block of integer ids": lambda: engine.step_many(integers, X),
        "block that repeats": lambda: engine.step_many(texts[:25] * 2, X),
        "each": lambda: engine.step_each(texts, X),
    }


def growth(step: Step, steps: int) -> int:
    """Return how many bytes of Python's and numpy's are in use after so many steps that were not.

    The most that a single step needs is not seen, what it leaves is.
    """
    for _ in range(200):
        step()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(steps):
        step()
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - before


@pytest.fixture
def traced() -> Any:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("name", ways(Engine(MODELS["odd"], 1)))
def test_a_step_of_the_engine_leaves_nothing_behind(name: str, traced: None, counted: Any) -> None:
    step = ways(Engine(MODELS["odd"], 200))[name]
    # The interpreter's lists of free objects fill and empty by some kilobytes, however many steps
    # there are; a step that kept anything would keep 16 bytes and more.
    assert growth(step, STEPS) < 8 * STEPS
    before = counted()
    for _ in range(1000):
        step()
    after = counted()
    assert after.alloc - after.free == before.alloc - before.free
    assert after.mi_alloc - after.mi_free == before.mi_alloc - before.mi_free


def test_what_is_kept_would_be_seen(traced: None) -> None:
    kept = []
    engine = Engine(MODELS["odd"], 1)
    assert growth(lambda: kept.append(engine.step("a", [0.0] * 3)), STEPS) > 16 * STEPS


def test_steps_leave_no_blocks_to_the_interpreter() -> None:
    step = ways(Engine(MODELS["odd"], 200))["text id"]
    for _ in range(200):
        step()
    before = sys.getallocatedblocks()
    for _ in range(10_000):
        step()
    assert sys.getallocatedblocks() - before < 100
