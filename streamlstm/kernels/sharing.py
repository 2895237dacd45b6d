"""The rule by which blocks are shared among threads: only while that is quicker than one thread.

OpenMP's threads wait for each other. Where another process holds one of the cores, a shared block
takes until the scheduler gives that core back, some milliseconds, although most shared blocks
before it were quick. So every shared block is timed against what one thread takes, and two accounts
are kept. Blocks are shared while neither is overdrawn:

- of time: a shared block pays in what it saved, up to ``SAVED``, and draws what it lost. A block on
  one thread pays back a debt by one in ``PRICE`` of its time. So shared blocks lose at most one in
  ``PRICE`` of the time, and a debt is paid back after ``PRICE`` times the loss. Their threads spin
  for a while and may delay blocks on one thread too, by about as much again;
- of slow blocks, which took more than twice as long as on one thread: every block pays in one, up
  to ``RARE``, and a slow one draws ``RARE``. So less than one in ``RARE`` is slow, which is below
  the 99th percentile. After a quiet time two may follow each other.

What one thread takes is learned by the octave of the block's tiles, since small blocks use caches
and tiles differently: the quickest of the first ``LEARN`` blocks, then an average near the quickest
of those that pay back, and of one in ``PROBE`` others. Nothing here changes a result.

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
    TIME,  # the account of time; negative is a debt
    SLOW,  # the account of slow blocks
    PENDING,  # what the first shared block of a streak lost, whose threads may have slept,
    PENDING_SLOW,  # and RARE if it was slow
    STREAK,  # shared blocks since the last one on one thread
    BLOCKS,  # blocks that were shared, of all
) = range(10)
COSTS = 10  # from here on, by octave: what a tile costs on one thread, in 1/SCALE ns,
OCTAVES = 24
LEARNED = COSTS + OCTAVES  # and how many blocks that was learned from, up to LEARN
SHARING = LEARNED + OCTAVES

SCALE = 256
LEARN = 5
PROBE = 128
PRICE = 32
RARE = 256
SAVED = 10_000_000
WAKE = 100_000  # ns that waking the threads may take
LONGEST = 32_000_000  # ns of loss that are paid for, or once what the block takes on one thread

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
    if table[LEARNED + octave] < LEARN:
        quickest = measured if table[LEARNED + octave] == 0 else min(measured, cost)
        table[COSTS + octave] = quickest
        table[LEARNED + octave] += 1
    elif measured < cost:
        table[COSTS + octave] -= (cost - measured + 1) // 2
    else:
        table[COSTS + octave] += min(measured - cost, cost) // 16


@internal
def _book(table, expected, took):
    """Book a shared block, which would have taken about ``expected`` on one thread.

    What the first one of a streak lost by waking the threads is forgotten if the next one gains.
    """
    saved = expected - took
    slow = int64(RARE) if took > 2 * expected else int64(0)
    if -WAKE <= saved < 0 and table[STREAK] == 0 and table[PENDING] == 0:
        table[PENDING], table[PENDING_SLOW] = saved, slow
        return
    if saved < 0:
        saved, slow = saved + table[PENDING], slow + table[PENDING_SLOW]
    table[PENDING], table[PENDING_SLOW] = 0, 0
    saved = max(saved, -max(int64(LONGEST), expected))
    table[TIME] = min(table[TIME] + saved, int64(SAVED))
    table[SLOW] -= slow


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
        and table[TIME] >= 0
        and table[SLOW] >= 0
        and table[STREAK] < PROBE
        and table[LEARNED + octave] == LEARN
    )
    start = _now(table, address)
    if shared:
        call_at(table[PARALLEL], task, first, last, threads)
        _book(table, expected, _now(table, address) - start)
        table[STREAK] += 1
        table[BLOCKS] += 1
    else:
        call_at(fields[layout.TASK_STEP], task, first, last, int64(0))
        _learn(table, octave, tiles, _now(table, address) - start)
        table[TIME] = max(table[TIME], min(table[TIME] + expected // PRICE, int64(0)))
        table[STREAK] = 0
    table[SLOW] = min(table[SLOW] + 1, int64(RARE))
