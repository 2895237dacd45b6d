"""Prefetch of state rows: what the next group of streams needs, while this one is computed.

Rows of a million streams are in no cache. A group that meets them when it begins waits for its
hidden states, and for the cell states in each panel; asked for all at once, they wait for each
other. So each tile of a panel asks for the same units of as many streams of the next group.
"""

from . import layout
from .arguments import UNBOUNDED
from .cache import internal
from .pointers import int64s_at, prefetch


@internal
def prefetch_units(task, group, program, layer, m, count, unit):
    """Prefetch LANES units from ``unit`` on of ``count`` streams from ``m`` on of the next group.

    Of its hidden state, and of its cell state if it has one, which is never the first in a row.
    """
    fields, streams = int64s_at(task, layout.TASK), int64s_at(group, layout.GROUP_SIZE)
    slots = int64s_at(fields[layout.TASK_SLOTS], UNBOUNDED)
    first = streams[layout.GROUP_FIRST] + streams[layout.GROUP_COUNT] + m
    size = 4 * program[layout.ROW_SIZE]
    h, c = 4 * program[layer + layout.HIDDEN], 4 * program[layer + layout.CELL]
    rows = fields[layout.TASK_ROWS] + 4 * unit
    for n in range(first, min(first + count, streams[layout.GROUP_LAST])):
        row = rows + slots[n] * size
        prefetch(row + h)
        if c != 0:
            prefetch(row + c)
