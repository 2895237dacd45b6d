"""What ARM processors have, and the code for them, on a machine of any kind."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from streamlstm.kernels import simd
from streamlstm.kernels.arm import narrow_products

TRIPLE = "aarch64-unknown-linux-gnu"


@pytest.mark.parametrize(
    ("name", "features", "has"),
    [
        ("cortex-a72", "", ""),
        ("neoverse-n1", "", "+dotprod"),
        ("apple-m1", "", "+dotprod"),
        ("neoverse-v1", "-sve", "+dotprod,+bf16"),
        ("neoverse-v1", "-bf16", "+dotprod"),
        ("generic", "+bf16", "+bf16"),
    ],
)
def test_llvm_knows_the_narrow_products_of_a_processor(name: str, features: str, has: str) -> None:
    assert narrow_products(name, features, TRIPLE) == has


@pytest.mark.parametrize(
    ("features", "pairs", "eights"),
    [
        ("+neon", False, False),
        ("+neon,+dotprod", False, True),
        ("+neon,+dotprod,+bf16", True, True),
        ("+avx512f,+avx512vnni", False, True),
        ("+avx512f,+avx512vnni,+avx512bf16", True, True),
        ("+avx2,+fma,+avx512vnni,+avx512bf16,-avx512f", False, False),
    ],
)
def test_narrow_products_are_used_at_the_width_that_they_have(
    features: str, pairs: bool, eights: bool
) -> None:
    assert (simd.has_pairs(features), simd.has_bytes(features)) == (pairs, eights)


def test_sums_of_narrow_products_stay_in_registers_of_arm(root: Path) -> None:
    """Six streams by four vectors: 24 products a turn, and nothing on the stack."""
    command = [sys.executable, "-m", "tests.unit.arm_code"]
    code = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    for product, loops in (("bfdot", 1), ("sdot", 2)):
        blocks = [block for block in code.split("\n.LBB") if f"\t{product}\t" in block]
        assert len(blocks) == loops
        for block in blocks:
            inside = re.split(r"\tb\.\w+\t", block)[0]  # up to where it begins again
            assert inside.count(f"\t{product}\t") == 24
            assert "sp" not in inside
