"""Compile half of the kernels, the first or the second, unless they lie on disk already.

    python -m tests.warm_up first | second

Two processes share the work so, and no test waits for a compiler.
"""

import gc
import sys

from streamlstm.kernels import compile as kernels
from streamlstm.learn import cells
from streamlstm.serving import compiled_loop
from streamlstm.serving.gateway import gateway


def main(half: str) -> None:
    """Compile the worker's loop, some others and those of training; or the rest: as long each."""
    loops = {*compiled_loop.NAMES, *gateway.NAMES}
    names = [name for name in kernels.all_names() if name not in loops]
    first = [*compiled_loop.NAMES, *names[::4]]
    chosen = first
    if half != "first":
        chosen = [gateway.NAMES[0], *(name for name in names if name not in first)]
    missing = [name for name in chosen if not kernels.is_warm([name])]
    if missing:
        kernels.prepare(None, missing)
    if half == "first":
        cells.compile_kernels()  # of training


if __name__ == "__main__":
    gc.disable()  # Numba makes millions of objects and hardly a cycle: a tenth of the time
    main(sys.argv[1])
