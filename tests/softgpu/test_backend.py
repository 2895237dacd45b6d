"""The cuda backend on software GPUs: real numba-cuda, compiled kernels, streams as queues."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..exhaustive import exhaustive, short
from .__main__ import environment

NEEDS_NUMBA_CUDA = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        importlib.util.find_spec("numba_cuda") is None,
        reason="needs numba-cuda: make test, on Linux",
    ),
]
pytestmark = NEEDS_NUMBA_CUDA

# Models of which blocks of one size are enough.
ALIKE = "dense or activations or clips or sigmoid or mish or relu or "
ALIKE += "window and (one or padded or options or filled or calendar)"


def run(root: Path, *program: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *program],
        cwd=root,
        env=environment() | settings,
        capture_output=True,
        text=True,
        timeout=580,
    )


def contract(kernel: str, options: list[str], least: int, root: Path) -> None:
    ran = run(root, "tests.contract.on_cuda", kernel, *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None, ran.stdout
    assert int(passed[1]) >= least


@pytest.mark.parametrize(
    ("options", "least"),
    [
        short(["few", "-k", "float64 and (cuda-3 or cuda-149)"], 24),
        # Blocks of one size of models that differ in activations, or in how a window starts.
        exhaustive(["-k", f"cuda and not ({ALIKE}) or float64 and cuda-3"], 1150),
    ],
)
def test_the_contract(options: list[str], least: int, root: Path) -> None:
    contract("any", options, least, root)
