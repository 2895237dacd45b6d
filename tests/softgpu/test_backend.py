"""The cuda backend on software GPUs: real numba-cuda, compiled kernels, streams as queues."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..exhaustive import exhaustive, short
from .__main__ import environment

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        importlib.util.find_spec("numba_cuda") is None,
        reason="needs numba-cuda: make test, on Linux",
    ),
]

# Models of which blocks of one size are enough, and those that the kernel scalar steps itself.
ALIKE = "dense or activations or clips or sigmoid or mish or relu or "
ALIKE += "window and (one or padded or options or filled or calendar)"
PLAIN = "float64 and not (window or convolutions or branches)"
# What passes sequences from layer to layer has a kernel of its own, whichever is asked for.
STEPPED = "float64 and not (ways or branches or heads or shares or decoder or attention or rows)"


def run(root: Path, *program: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *program],
        cwd=root,
        env=environment() | settings,
        capture_output=True,
        text=True,
        timeout=580,
    )


@pytest.mark.parametrize(
    ("kernel", "options", "least"),
    [
        short("any", ["few", "-k", "float64 and (cuda-3 or cuda-149)"], 24),
        # Blocks of one size of models that differ in activations, or in how a window starts.
        exhaustive("any", ["-k", f"cuda and not ({ALIKE}) or float64 and cuda-3"], 1150),
        # The others step the same models, in blocks of 3, 13 and 149.
        exhaustive("resident", ["-k", f"{STEPPED} and cuda-3"], 80),
        exhaustive("spilled", ["-k", f"{STEPPED} and cuda-3"], 80),
        exhaustive(
            "scalar",
            ["-k", f"{PLAIN} and (cuda-3 or cuda-13 or cuda-149 and mixed)"],
            111,
        ),
    ],
)
def test_the_contract(kernel: str, options: list[str], least: int, root: Path) -> None:
    ran = run(root, "tests.contract.on_cuda", kernel, *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None, ran.stdout
    assert int(passed[1]) >= least


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
