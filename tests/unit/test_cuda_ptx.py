"""The cuda kernels as machine code: registers, spills and loops, without a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streamlstm import LSTM, Dense
from streamlstm.backends.plan import compile_plan
from streamlstm.kernels.cuda.schedule import has_schedule
from streamlstm.kernels.cuda.sizes import LANES
from tests.contract.models import MODELS, random_model
from tests.softgpu.__main__ import environment
from tests.softgpu.kernels import step
from tests.softgpu.machine import Module

pytestmark = pytest.mark.exhaustive  # tests/softgpu runs the same kernels in every run

# Bytes that ptxas lays aside around the loops, in instructions of the whole kernel; it takes them
# for the third block of threads on a multiprocessor.
MOST_SPILLED = 1024


def check_loops(loops: list[dict[str, int]], where: str) -> None:
    """Where most of the time goes, four of five instructions are multiply-adds and none spills."""
    heavy = [loop for loop in loops if loop["multiply-adds"] >= 192]
    assert len(heavy) >= 5, where  # of plain LSTM, LSTM with options, GRU and products
    for loop in heavy:
        assert loop["spills"] == 0, (where, loop)
        assert loop["multiply-adds"] >= 0.78 * loop["instructions"], (where, loop)


@pytest.fixture(name="compiled", scope="module")
def _compiled(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    folder = tmp_path_factory.mktemp("ptx")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.cuda.ptx", str(folder)],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    if "missing" in found:
        pytest.skip(f"needs NVVM ({found['missing']}): make test, on Linux")
    return found, folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize("arch", ["sm_90", "sm_80"])
def test_kernels_compile_without_spilling_in_loops(compiled: tuple[dict, Path], arch: str) -> None:
    found, _ = compiled
    for name, made in found[arch].items():
        if name.endswith("local"):
            assert made == 0, name  # sums that lie in memory, not in registers
        elif made is not None:
            assert made["spills"] <= MOST_SPILLED, name
            assert made["registers"] <= 255, name
            if made["loops"] is not None and name in ("resident", "shared"):
                check_loops(made["loops"], name)
    if not found["ptxas"]:
        pytest.skip("needs ptxas, to count registers: pip install nvidia-cuda-nvcc")


def test_a_compiled_kernel_computes_what_the_reference_does(compiled: tuple[dict, Path]) -> None:
    """By itself; on software GPUs the others step the same models, and more."""
    module = Module((compiled[1] / "sm_90" / "shared.ptx").read_text())
    for name, model in MODELS.items():
        # A stage has launches of its own, and sequences a kernel.
        plan = compile_plan(model, LANES)
        is_run = model.online is None and not has_schedule(plan.kinds)
        for B in (1, 17, 100) if is_run else ():
            assert step(module, model, B) < 5e-6, (name, B)


def test_most_of_what_the_fast_kernel_executes_is_multiplication(
    compiled: tuple[dict, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFTGPU_COUNT", str(tmp_path / "counts"))
    module = Module((compiled[1] / "sm_90" / "shared.ptx").read_text())
    step(module, random_model([LSTM(8, 64), Dense(64, 1)]), 640, steps=1)
    executed = json.loads((tmp_path / "counts").read_text())["instructions"]
    multiplied = executed["fma.rn.f32"]
    assert multiplied >= 640 * (4 * 64 * 72 + 64)  # each weight times each value, once
    assert multiplied > 0.6 * sum(executed.values())
