"""Launch configuration of a network on a CUDA device: kernel, threads, shared memory."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...kernels import layout
from ...kernels.cuda import fused, scalar, sequences
from ...kernels.cuda.layers import rows_of_layers, values
from ...kernels.cuda.schedule import has_schedule
from ...kernels.cuda.sizes import (
    BLOCKS,
    FULL,
    LANES,
    MAX_SHARED,
    SCALAR_BLOCK,
    SCALAR_BLOCKS,
    STARTS,
    TILE,
    WARPS,
)
from ...kernels.cuda.tiles import SPACE
from ..plan import Plan
from . import graph

_MAX_BLOCKS = 65_535
_MOST_SCRATCH = 2**26  # floats of the sequences of all blocks of threads, unless one needs more


class Launch(NamedTuple):
    """Launch configuration of a network.

    Attributes
    ----------
    kernel : kernel
    widths : tuple of int
        Streams of a block of threads, ascending; :meth:`width` chooses.
    threads, blocks : int
        Threads of a block, and blocks of a grid at most.
    fixed, column : int
        Bytes of shared memory of a block, and of each of its streams.
    scratch : int
        Floats of global memory.
    argument : int or None
        Last argument of the kernel; None for the width.
    """

    kernel: Any
    widths: tuple[int, ...]
    threads: int
    blocks: int
    fixed: int
    column: int
    scratch: int
    argument: int | None

    @classmethod
    def of(cls, plan: Plan, kernel: str | None, device: int) -> "Launch":
        """Choose the configuration for a plan; ``kernel`` as for CudaBackend."""
        program, threads = plan.program, WARPS * LANES
        if has_schedule(plan.kinds):
            size = sequences.memory(program) * (TILE + SPACE)
            blocks, head = max(min(BLOCKS, _MOST_SCRATCH // size), 1), sequences.shared(program)
            return cls(sequences.step, (TILE,), threads, blocks, head, 0, blocks * size, None)
        plain = max(plan.kinds) < layout.WINDOW
        if kernel == "scalar" and plain:
            size = SCALAR_BLOCK * SCALAR_BLOCKS * scalar.scratch_size(program)
            return cls(scalar.step, (SCALAR_BLOCK,), SCALAR_BLOCK, SCALAR_BLOCKS, 0, 0, size, LANES)
        count, widths = values(program), _widths(program)
        head, column = 4 * (STARTS + count * SPACE), 4 * count
        for name, step, fixed in (
            ("resident", fused.step_resident, 4 * len(plan.weights)),
            ("shared", fused.step_shared, 0),
        ):
            # More shared memory than any device has is used only if this kernel was chosen: with
            # so much for a block, a multiprocessor runs fewer threads.
            limit = max(MAX_SHARED, graph.shared_limit(device) if kernel == name else 0)
            room = (limit - head - fixed) // column
            if kernel in (None, name) and room >= TILE:
                fitting = tuple(n for n in widths if n <= room) or (TILE,)
                blocks = BLOCKS if fixed else _MAX_BLOCKS
                return cls(step, fitting, threads, blocks, head + fixed, column, 1, None)
        size = BLOCKS * count * (TILE + SPACE)
        return cls(fused.step_global, (TILE,), threads, BLOCKS, 4 * STARTS, 0, size, None)

    def width(self, count: int) -> int:
        """Return how many streams a block takes: the most that keep the whole device busy."""
        return next((n for n in self.widths[::-1] if count >= n * FULL), self.widths[0])

    def shared(self, width: int) -> int:
        """Return the bytes of shared memory of a block."""
        return self.fixed + width * self.column


def _widths(program: NDArray[np.int64]) -> tuple[int, ...]:
    """Return the widths of a block: a panel and tile for each warp, or for two."""
    layers = rows_of_layers(program)
    units = layers[layers[:, layout.KIND] <= layout.RNN, layout.UNITS].max(initial=1)
    panels = -(-int(units) // LANES)
    least = next((n for n in (1, 2, 4) if n * panels >= WARPS), 4)
    more = (n for n in (1, 2, 4) if n > least and n * panels <= 2 * WARPS)
    return tuple(n * TILE for n in (least, *more))
