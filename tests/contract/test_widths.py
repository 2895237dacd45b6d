"""Run the contract suite with vectors of every width."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from streamlstm.kernels.simd import lanes

from .forced import FEATURES


@pytest.mark.parametrize(
    ("width", "few", "least"),
    [
        (4, ["few"], 40),
        *(pytest.param(width, [], 200, marks=pytest.mark.exhaustive) for width in FEATURES),
    ],
)
def test_the_contract_holds_at_every_width(
    width: int, few: list[str], least: int, root: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.contract.forced", str(width), *few],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"^(\d+) passed in", ran.stdout, re.MULTILINE)
    assert passed is not None, ran.stdout
    assert int(passed[1]) >= least


@pytest.mark.parametrize(
    ("features", "width"),
    [
        ("", 4),
        ("+neon,+fp-armv8", 4),
        ("+sse2,+avx,-avx2,-avx512f", 4),
        ("+avx2,-fma", 4),
        ("+avx2,+fma,-avx512f", 8),
        ("+avx2,+avx512f,+fma", 16),
    ],
)
def test_vectors_are_as_wide_as_what_the_processor_has(features: str, width: int) -> None:
    assert lanes(features) == width
