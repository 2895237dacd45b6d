"""Print the code that LLVM makes for an ARM processor of tiles of narrow products.

    python -m tests.unit.arm_code

In the root of the repository, on any machine: nothing but the compiler runs.
"""

import re
from typing import Any

from llvmlite import binding
from numba import config, float32, int64, types
from numba.core.compiler import Flags, compile_extra
from numba.core.registry import cpu_target

FEATURES, TRIPLE = "+neon,+dotprod,+bf16", "aarch64-unknown-linux-gnu"

typing, here = cpu_target.typing_context, cpu_target.target_context  # now LLVM knows this machine
config.CPU_FEATURES = FEATURES  # and the kernels believe in another
from streamlstm.kernels import eight_bits, pairs, simd  # noqa: E402

config.CPU_FEATURES = None


def add_pairs(A, W, Z, stride, K):
    pairs._six(A, 0, A, 0, stride, W, 0, 16, 16, 0, K, 0, Z, 0, 16)


def add_bytes(A, W, Z, stride, K):
    eight_bits._six(A, 0, stride, W, 0, 0, K, K, Z, 0)


def llvm_of(function: Any) -> str:
    """Return LLVM's text of a tile, of which this machine makes no code."""
    flags = Flags()
    flags.no_compile = True
    arguments = [types.Array(float32, 1, "C")] * 3 + [int64] * 2
    made = compile_extra(typing, here, function, arguments, types.void, flags, {})
    return re.sub("^target .*$", "", made.library.get_llvm_str(), flags=re.MULTILINE)


def main() -> None:
    """Print the code of both tiles."""
    assert simd.LANES == 4
    assert simd.PAIRS
    assert simd.BYTES
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(TRIPLE).create_target_machine(features=FEATURES, opt=3)
    for function in (add_pairs, add_bytes):
        module = binding.parse_assembly(llvm_of(function))
        module.triple = TRIPLE
        print(machine.emit_assembly(module))


if __name__ == "__main__":
    main()
