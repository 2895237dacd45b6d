"""The cuda kernels as machine code: what can be said of their speed without a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Bytes that ptxas lays aside around the loops, in instructions of the whole kernel; it takes them
# for the third block of threads on a multiprocessor.
MOST_SPILLED = 512


def check_loops(loops: list[dict[str, int]], where: str) -> None:
    """Where most of the time goes, four of five instructions are multiply-adds and none spills."""
    heavy = [loop for loop in loops if loop["multiply-adds"] >= 192]
    assert len(heavy) >= 5, where  # of plain LSTM, LSTM with options, GRU and products
    for loop in heavy:
        assert loop["spills"] == 0, (where, loop)
        assert loop["multiply-adds"] >= 0.78 * loop["instructions"], (where, loop)


@pytest.mark.timeout(600)
def test_kernels_compile_without_spilling(root: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.cuda.ptx"],
        cwd=root,
        env={name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"},
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    if "missing" in found:
        pytest.skip(f"kernels are not compiled: {found['missing']}; install streamlstm[cuda]")
    for arch in ("sm_80", "sm_90"):
        for name, made in found[arch].items():
            if name.endswith("local"):
                assert made == 0, (arch, name)  # sums that lie in memory, not in registers
            elif made is not None:
                assert made["spills"] <= MOST_SPILLED, (arch, name)
                assert made["registers"] <= 255, (arch, name)
                if made["loops"] is not None and name in ("resident", "shared"):
                    check_loops(made["loops"], f"{arch}, {name}")
    if not found["ptxas"]:
        pytest.skip(
            "PTX was made, but there is no ptxas to count registers; install nvidia-cuda-nvcc"
        )
