"""The rule by which blocks are shared among threads: only while that is quicker than one thread.

OpenMP's threads wait for each other. Where another process holds one of the cores, a shared block
takes until the scheduler gives that core back, some milliseconds, although most shared blocks
before it were quick. So every shared block is timed against what one thread takes, and what it
lost is paid for: ``PRICE`` times the loss (less if the loss is small against the block) is a debt,
which blocks on one thread work off before the next block is shared. So of blocks of one size, less
than one in ``PRICE`` takes twice as long as on one thread, which is below the 99th percentile; and
a machine that has become quiet is used again after about a second of steps.

What one thread takes is learned by the octave of the block's tiles, since small blocks use caches
and tiles differently: from the first ``LEARN`` blocks, from those that work off a debt, and from
one in ``PROBE`` afterwards. Nothing here changes a result.

The table of the rule is one int64 array a backend; times are in ns.
"""

from numba import int64, uint64

from . import layout
from .cache import by_address, internal
from .pointers import c_int, call_at, int64s_at, leading_zeros
from .products import TILE

(
    CLOCK,  # address of clock_gettime
    TIMESPEC,  # two words that it writes, seconds and ns
    _TIMESPEC_NS,
    PARALLEL,  # address of the function that shares a block (step.py)
    DEBT,  # ns of blocks on one thread until the next block may be shared
    PENDING,  # debt for the first shared block of a streak, whose threads may have slept
    STREAK,  # shared blocks since the last one on one thread
    BLOCKS,  # blocks that were shared, of all
) = range(8)
COSTS = 8  # from here on, by octave: what a tile costs on one thread, in 1/SCALE ns,
OCTAVES = 24
LEARNED = COSTS + OCTAVES  # and how many blocks that was learned from, up to LEARN
SHARING = LEARNED + OCTAVES

SCALE = 256
LEARN = 3
PROBE = 256
PRICE = 256
WAKE = 100_000  # ns that waking the threads may take
LONGEST = 10_000_000  # ns of loss that are paid for, or once what the block takes on one thread

_MONOTONIC = 1


@internal
def _now(table, address):
    """Return the monotonic clock in ns."""
    c_int(table[CLOCK], int64(_MONOTONIC), address + 8 * TIMESPEC, int64(0), int64(0))
    return table[TIMESPEC] * 1_000_000_000 + table[_TIMESPEC_NS]


@internal
def _learn(table, octave, tiles, took):
    """Follow the cost of a tile on one thread: quickly down, slowly up, as delays only add."""
    measured, cost = took * SCALE // tiles, table[COSTS + octave]
    if table[LEARNED + octave] == 0:
        table[COSTS + octave] = measured
    elif measured < cost:
        table[COSTS + octave] -= (cost - measured + 1) // 2
    else:
        table[COSTS + octave] += min(measured - cost, cost) // 16
    table[LEARNED + octave] = min(table[LEARNED + octave] + 1, LEARN)


@internal
def _charge(table, expected, took):
    """Add to the debt what a shared block lost, if it took longer than expected on one thread.

    What the first one of a streak lost by waking the threads is forgotten if the next one gains.
    """
    lost = min(took - expected, max(int64(LONGEST), expected))
    debt = int64(0)
    if lost > 0:
        debt = lost * min(PRICE * lost // max(expected, int64(1)), int64(PRICE))
    if table[STREAK] == 0 and lost <= WAKE:
        table[PENDING] = debt
        return
    if lost > 0:
        debt += table[PENDING]
    table[PENDING] = 0
    table[DEBT] += debt


@by_address
def step_sharing(task, first, last, threads):
    """Step a block as ``step_range`` does, on up to ``threads`` threads where that is quicker."""
    fields = int64s_at(task, layout.TASK)
    address = fields[layout.TASK_SHARING]
    table = int64s_at(address, SHARING)
    tiles = (last - first + TILE - 1) // TILE
    octave = min(63 - leading_zeros(uint64(tiles)), int64(OCTAVES - 1))
    expected = table[COSTS + octave] * tiles // SCALE
    threads = min(threads, tiles)
    shared = (
        threads > 1
        and table[DEBT] <= 0
        and table[STREAK] < PROBE
        and table[LEARNED + octave] == LEARN
    )
    start = _now(table, address)
    if shared:
        call_at(table[PARALLEL], task, first, last, threads)
        _charge(table, expected, _now(table, address) - start)
        table[STREAK] += 1
        table[BLOCKS] += 1
    else:
        call_at(fields[layout.TASK_STEP], task, first, last, int64(0))
        _learn(table, octave, tiles, _now(table, address) - start)
        table[DEBT] = max(table[DEBT] - expected, int64(0))
        table[STREAK] = 0
