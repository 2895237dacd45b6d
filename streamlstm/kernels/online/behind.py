"""The online stage behind the layers, of one stream: outputs, adaptation, intervals, anomalies."""

from numba import float64

from .. import layout
from ..cache import by_address, inlined
from ..pointers import int64s_at
from .arguments import time_of, unpack, work_at
from .forecast import forecast
from .judge import judge


@inlined
def write_result(weights, program, S, row, X, x, time, Z, z, Y, y, places):
    """Write the result of one stream to ``Y[y]``.

    Parameters
    ----------
    row : int64
        Offset in S of the stream's state row.
    time : float64
        Event time, NaN if there is none.
    z : int64
        Offset in Z of the network's outputs, which are not scaled back.
    places : (int64, int64, int64)
        Offsets in Z of working memory, as of :func:`.arguments.work_at`.
    """
    count, absent = forecast(weights, program, S, row, X, x, Z, z, Y, y, places)
    judge(weights, program, S, row, X, x, time, count, absent, Y, y)


@by_address
def behind(task, group, m, _):
    """Write the result of stream ``m`` of a group: outputs, and what the stage says of them.

    One stream a call: of a loop over streams LLVM would compute all that is the same for each of
    them first, hundreds of addresses and constants that one stream seldom needs.
    """
    weights, program, S, slots, X, Y, Z = unpack(task, group)
    streams = int64s_at(group, layout.GROUP_SIZE)
    n = streams[layout.GROUP_FIRST] + m
    row, x, y = (
        slots[n] * program[layout.ROW_SIZE],
        n * program[layout.WIDTH],
        n * program[layout.RESULT],
    )
    z = streams[layout.GROUP_INPUTS] + m * program[layout.STRIDE]
    time, y = float64(time_of(task, n)), n * program[layout.RESULT]
    write_result(weights, program, S, row, X, x, time, Z, z, Y, y, work_at(program))
