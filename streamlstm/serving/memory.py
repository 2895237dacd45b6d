"""Measures the memory of this process, and lets it go back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress

import psutil

# Options of mallopt(3), and their values in bytes.
_TRIM_THRESHOLD, _KEPT = -1, 2**26
_MMAP_THRESHOLD, _LARGE_BLOCK = -3, 2**18
_FAST_BLOCKS, _LARGEST_FAST = 1, 160  # which is the largest that glibc allows


def configure_allocator() -> None:
    """Tell glibc's allocator what suits a program that is nothing but a worker.

    Large blocks go back to the system as soon as they are freed. glibc would raise its threshold
    for them with the first one that is freed, to 32 MiB, and keep the next ones: after a flood of
    large messages a worker kept what it had held then. Smaller blocks are kept up to a bound: by
    default glibc gives all but 128 KiB back, so that each message of 90 kB made the kernel map its
    pages anew, at both threads, which took half of their time.

    Small blocks are freed without a lock. A prediction with an interval and an anomaly score is a
    block of some 150 bytes, which the loop allocates and libzmq's thread frees; for blocks above
    128 bytes both would wait for each other, which took a sixth of the rate.

    Other allocators have no such options.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, _LARGE_BLOCK)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
        library.mallopt(_FAST_BLOCKS, _LARGEST_FAST)


_known = [0]


def resident_memory() -> int:
    """Return the bytes of this process that are in memory, shared libraries included.

    The last known ones where no file can be opened to ask: connections may have taken all.
    """
    with suppress(OSError):
        _known[0] = int(psutil.Process().memory_info().rss)
    return _known[0]
