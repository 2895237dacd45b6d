"""Each cuda kernel, the engine and the driver on software GPUs, which test_backend.py warms up."""

import subprocess
import sys
from pathlib import Path

import pytest

from ..exhaustive import exhaustive
from .__main__ import environment
from .test_backend import NEEDS_NUMBA_CUDA, contract, run

pytestmark = NEEDS_NUMBA_CUDA

# Models that the kernel scalar steps itself.
PLAIN = "float64 and not (window or convolutions or branches)"
# What passes sequences from layer to layer has a kernel of its own, whichever is asked for.
STEPPED = "float64 and not (ways or branches or heads or shares or decoder or attention or rows)"


@pytest.mark.parametrize(
    ("kernel", "options", "least"),
    [
        exhaustive("resident", ["-k", f"{STEPPED} and cuda-3"], 80),
        exhaustive("spilled", ["-k", f"{STEPPED} and cuda-3"], 80),
        exhaustive(
            "scalar",
            ["-k", f"{PLAIN} and (cuda-3 or cuda-13 or cuda-149 and mixed)"],
            111,
        ),
    ],
)
def test_each_kernel_keeps_the_contract(
    kernel: str, options: list[str], least: int, root: Path
) -> None:
    """In blocks of 3, 13 and 149: test_backend.py has all sizes, with the kernels it chooses."""
    contract(kernel, options, least, root)


@pytest.mark.parametrize("order", ["late", exhaustive("early")])
def test_the_engine(order: str, root: Path) -> None:
    ran = run(
        root,
        "pytest",
        "tests/cuda",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        SOFTGPU_ORDER=order,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "passed" in ran.stdout


@pytest.mark.parametrize(
    "name",
    [
        "too_much_shared_memory",
        "a_copy_beyond_the_end",
        "a_buffer_read_too_early",
        "a_buffer_filled_too_early",
        "a_kernel_beyond_the_end",
        "waiting_while_captured",
        "the_default_stream_while_captured",
    ],
)
def test_the_driver_refuses_what_hardware_would(name: str, root: Path) -> None:
    program = f"import tests.softgpu.refusals as r; r.{name}(); print('as it should be')"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "as it should be" in ran.stdout, ran.stderr


def test_a_device_without_memory_harms_no_stream(root: Path) -> None:
    ran = run(root, "tests.softgpu.short_of_memory", SOFTGPU_MEMORY="200000000")
    assert ran.returncode == 0, ran.stderr
    assert "as it should be" in ran.stdout
