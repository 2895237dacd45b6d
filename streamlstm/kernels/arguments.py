"""What a layer's kernel is given: addresses of a task and of a group, as arrays and numbers.

Every layer is compiled by itself and called by address as ``layer(task, row, group, 0)``: where
one compiled function calls another that Numba knows, LLVM goes over the callee again, at every
level. ``row`` is the offset of the layer's row in the program, ``group`` the address of a group
(layout.py). The streams' inputs stand in rows of the scratch at ``S[a]``, ``STRIDE`` apart; outputs
go to rows at ``S[o]``. What a layer with a memory remembers is found by slot in the state rows and
advanced in place.
"""

from numba import njit

from . import layout
from .layout import COLUMNS, PAD
from .memory import floats_at, int64s_at
from .simd import LANES

ENDLESS = 2**40  # length of an array whose length nothing asks for
SUMS = 0  # offset in the scratch of the sums of one tile
ROWS_AT = 6 * COLUMNS * LANES + PAD  # and of the rows, behind six rows of sums and a norm's needs


@njit(inline="always")
def arrays(task, group):
    """Return weights, program, state rows, slots and scratch."""
    fields = int64s_at(task, layout.TASK)
    streams = int64s_at(group, layout.GROUP_SIZE)
    return (
        floats_at(fields[layout.TASK_WEIGHTS], ENDLESS),
        int64s_at(fields[layout.TASK_PROGRAM], ENDLESS),
        floats_at(fields[layout.TASK_ROWS], ENDLESS),
        int64s_at(fields[layout.TASK_SLOTS], ENDLESS),
        floats_at(streams[layout.GROUP_SCRATCH], ENDLESS),
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
