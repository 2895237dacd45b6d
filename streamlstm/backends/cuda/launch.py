"""How a network is launched on a CUDA device: which kernel, how many threads, how much memory."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...kernels import layout
from ...kernels.cuda import fused, scalar
from ...kernels.cuda.sizes import (
    BLOCKS,
    FULL,
    LANES,
    MAX_SHARED,
    SCALAR_BLOCK,
    SCALAR_BLOCKS,
    TILE,
    WARPS,
)
from ...kernels.cuda.tiles import SPACE
from ..plan import Plan
from . import graph

_MOST_BLOCKS = 65_535


class Launch(NamedTuple):
    """How a network is launched.

    Attributes
    ----------
    kernel : kernel
    widths : tuple of int
        Streams of a block of threads, from few to many; :meth:`width` chooses.
    threads, blocks : int
        Of a block, and of a grid at most.
    beside, column : int
        Bytes of shared memory of a block, and for each of its streams besides.
    scratch : int
        Floats of global memory.
    argument : int or None
        The last one of the kernel; None for the width.
    """

    kernel: Any
    widths: tuple[int, ...]
    threads: int
    blocks: int
    beside: int
    column: int
    scratch: int
    argument: int | None

    @classmethod
    def of(cls, plan: Plan, kernel: str | None, device: int) -> "Launch":
        """Choose for a plan; ``kernel`` as for CudaBackend."""
        program, threads = plan.program, WARPS * LANES
        if kernel == "scalar":
            size = SCALAR_BLOCK * SCALAR_BLOCKS * scalar.scratch_size(program)
            return cls(scalar.step, (SCALAR_BLOCK,), SCALAR_BLOCK, SCALAR_BLOCKS, 0, 0, size, LANES)
        values, widths = fused.values(program), _widths(program)
        head, column = 4 * (fused.STARTS + values * SPACE), 4 * values
        for name, step, beside in (
            ("resident", fused.step_resident, 4 * len(plan.weights)),
            ("shared", fused.step_shared, 0),
        ):
            # What only some devices have is taken where it was asked for: with so much memory a
            # block, a multiprocessor runs fewer threads.
            limit = max(MAX_SHARED, graph.shared_limit(device) if kernel == name else 0)
            room = (limit - head - beside) // column
            if kernel in (None, name) and room >= TILE:
                fitting = tuple(n for n in widths if n <= room) or (TILE,)
                blocks = BLOCKS if beside else _MOST_BLOCKS
                return cls(step, fitting, threads, blocks, head + beside, column, 1, None)
        size = BLOCKS * values * (TILE + SPACE)
        return cls(fused.step_global, (TILE,), threads, BLOCKS, 4 * fused.STARTS, 0, size, None)

    def width(self, count: int) -> int:
        """Return how many streams of ``count`` a block takes: as many as leave no device idle."""
        return next((n for n in self.widths[::-1] if count >= n * FULL), self.widths[0])

    def shared(self, width: int) -> int:
        """Return the bytes of shared memory of a block."""
        return self.beside + width * self.column


def _widths(program: NDArray[np.int64]) -> tuple[int, ...]:
    """Return how many streams a block may take: a panel and tile for each warp, or for two."""
    layers = program[layout.HEADER :].reshape(-1)[: layout.ROW * int(program[layout.LAYERS])]
    layers = layers.reshape(-1, layout.ROW)
    units = layers[layers[:, layout.KIND] <= layout.RNN, layout.UNITS].max(initial=1)
    panels = -(-int(units) // LANES)
    least = next((n for n in (1, 2, 4) if n * panels >= WARPS), 4)
    more = (n for n in (1, 2, 4) if n > least and n * panels <= 2 * WARPS)
    return tuple(n * TILE for n in (least, *more))
