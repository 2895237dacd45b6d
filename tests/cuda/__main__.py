"""Test the cuda backend on the GPU of this machine: `make test-cuda`.

    python -m tests.cuda [--json FILE]

The contract suite over every model with each kernel, the tests beside this file, and the kernels as
machine code. Prints what went wrong, and writes how each part ended as JSON.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.contract.on_cuda import KERNELS

PARTS = {
    **{f"contract, {kernel}": ["tests.contract.on_cuda", kernel] for kernel in KERNELS},
    "engine": ["pytest", "tests/cuda", "-q", "-p", "no:cacheprovider"],
    "machine code": ["tests.cuda.ptx"],
}


def main() -> int:
    """Run all parts, each in a process of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cuda", description=__doc__.split(chr(10))[0]
    )
    parser.add_argument("--json", type=Path, default=Path("test-cuda.json"), metavar="FILE")
    arguments = parser.parse_args()
    from numba import cuda

    if not cuda.is_available():
        print(
            "no NVIDIA GPU that numba can use was found, so nothing was tested; it takes a driver "
            'and pip install -e ".[cuda]"; make test-all runs the same tests in the simulator',
            file=sys.stderr,
        )
        return 2
    ended = {}
    for name, program in PARTS.items():
        print(f"{name} ...", flush=True)
        ran = subprocess.run(
            [sys.executable, "-m", *program], env=os.environ | {"STREAMLSTM_TEST_CUDA": "1"}
        )
        ended[name] = ran.returncode
    result = {"device": str(cuda.get_current_device().name), "exit codes": ended}
    arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return int(any(ended.values()))


if __name__ == "__main__":
    sys.exit(main())
