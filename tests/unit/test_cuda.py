"""The cuda backend without a GPU: in numba's simulator, each part in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamlstm import LSTM, Conv1D, Engine, Parallel
from streamlstm.backends.cuda import refusals
from streamlstm.backends.factory import device_of
from streamlstm.errors import ModelError
from streamlstm.network.layers.base import KINDS
from tests.contract.models import random_model
from tests.exhaustive import exhaustive, short
from tests.softgpu.test_engine import STEPPED


@pytest.mark.timeout(600)  # a machine that others use as well
@pytest.mark.parametrize(
    ("program", "least"),
    [
        # The others step these or all models, in blocks of one size; spilled runs on software GPUs.
        short(["tests.contract.on_cuda", "shared", "few", "-k", "float64 and cuda-3"], 12),
        exhaustive(["tests.contract.on_cuda", "shared", "-k", "float64 and cuda-3"], 76),
        exhaustive(["tests.contract.on_cuda", "scalar", "-k", f"{STEPPED} and cuda-3"], 68),
        exhaustive(["pytest", "tests/cuda", "-q", "-p", "no:xdist"], 10),
    ],
)
def test_in_the_simulator(program: list[str], least: int, root: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", *program, "-p", "no:cacheprovider"],
        cwd=root,
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None, ran.stdout
    assert int(passed[1]) >= least


def test_asking_for_cuda_without_a_gpu_gives_one_clear_sentence() -> None:
    from numba import cuda

    if cuda.is_available():
        pytest.skip("needs a machine without a GPU: CUDA_VISIBLE_DEVICES= make test")
    with pytest.raises(ModelError, match=r"numba finds no NVIDIA GPU .*; install .*backend='cpu'"):
        Engine(random_model([LSTM(3, 5)]), 8, "cuda")


def test_benchmark_and_tests_on_a_gpu_say_what_they_lack(root: Path) -> None:
    from numba import cuda

    if cuda.is_available():
        pytest.skip("needs a machine without a GPU: CUDA_VISIBLE_DEVICES= make test")
    for program, said in (
        ("benchmarks.cuda", "nothing was measured"),
        ("tests.cuda", "no NVIDIA GPU"),
    ):
        ran = subprocess.run(
            [sys.executable, "-m", program], cwd=root, capture_output=True, text=True, timeout=100
        )
        assert ran.returncode != 0
        assert said in ran.stderr
        assert "Traceback" not in ran.stderr


def test_a_layer_that_no_kernel_knows_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_KINDS", refusals._KINDS - {"conv1d"})
    model = random_model([LSTM(3, 5), Parallel(5, [[], [Conv1D(5, 5, 2, pad_left=1)]])])
    with pytest.raises(ModelError, match=r"expected cpu for .* Conv1D\(5, 5, 2, pad_left"):
        Engine(model, 8, "cuda")


def test_every_layer_is_known() -> None:
    assert {*KINDS} == refusals._KINDS


def test_auto_is_the_cpu() -> None:
    assert Engine(random_model([LSTM(3, 5)]), 8, "auto").backend == "cpu"


@pytest.mark.parametrize(
    "name",
    ["cuda:", "cuda:x", "cuda:-1", "cuda:\uff11", "cuda 0", "gpu", "CUDA", "", None, 0, b"cuda"],
)
def test_a_backend_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(
        ModelError, match="backend: expected auto, cpu, cuda or reference, or cuda:"
    ):
        Engine(random_model([LSTM(3, 5)]), 8, name)


def test_a_name_may_carry_the_number_of_a_device() -> None:
    assert [device_of(name) for name in ("cuda", "cuda:0", "cuda:3", "cpu")] == [0, 0, 3, None]


def test_nobody_else_loads_numba_cuda() -> None:
    program = (
        "import sys; from streamlstm import Engine, LSTM, Model; "
        "from tests.contract.models import random_model; "
        "Engine(random_model([LSTM(1, 1)]), 2).step('a', [1.0]); "
        "begin = ('numba.cuda.', 'streamlstm.kernels.cuda'); "
        "print([name for name in sys.modules if name.startswith(begin)])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert shown.stdout.strip() == "[]"
