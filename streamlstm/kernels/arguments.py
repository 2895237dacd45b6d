"""Unpack the arguments of a layer's kernel: the addresses of a task and of a group.

Each layer is compiled separately and called by address as ``layer(task, row, group, 0)``: where one
compiled function calls another that Numba knows, LLVM optimises the callee again, at every level.
``row`` is the offset of the layer's row in the program, ``group`` the address of a group
(layout.py). The inputs of the streams are rows of the scratch from ``S[a]`` on, ``STRIDE`` apart;
outputs go to rows from ``S[o]`` on. A recurrent layer finds its state by slot in the state rows
and updates it in place.
"""

from numba import njit

from . import layout
from .layout import COLUMNS, PAD
from .pointers import floats_at, int64s_at
from .simd import LANES

# Length of an array whose length is never read: 0, so that nothing is added to offsets below 0.
UNBOUNDED = 0
SUMS = 0  # offset in the scratch of the sums of one tile
ROWS_AT = 6 * COLUMNS * LANES + PAD  # and of the rows, behind six rows of sums and room for a norm


@njit(inline="always")
def arrays(task, group):
    """Return weights, program, state rows, slots and scratch."""
    fields = int64s_at(task, layout.TASK)
    streams = int64s_at(group, layout.GROUP_SIZE)
    return (
        floats_at(fields[layout.TASK_WEIGHTS], UNBOUNDED),
        int64s_at(streams[layout.GROUP_PROGRAM], UNBOUNDED),
        floats_at(fields[layout.TASK_ROWS], UNBOUNDED),
        int64s_at(fields[layout.TASK_SLOTS], UNBOUNDED),
        floats_at(streams[layout.GROUP_SCRATCH], UNBOUNDED),
    )


@njit(inline="always")
def span(group):
    """Return first, count, a and o of a group."""
    streams = int64s_at(group, layout.GROUP_SIZE)
    return (
        streams[layout.GROUP_FIRST],
        streams[layout.GROUP_COUNT],
        streams[layout.GROUP_INPUTS],
        streams[layout.GROUP_OUTPUTS],
    )
