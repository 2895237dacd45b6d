"""Measures the memory of this process, and lets it go back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress

import psutil

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of mallopt(3)
_LARGE_BLOCK = 2**18  # bytes


def return_large_blocks() -> None:
    """Let large blocks of memory go back to the system as soon as they are freed.

    glibc would raise its threshold for them with the first one that is freed, to 32 MiB, and keep
    the next ones: after a flood of large messages a worker kept what it had held then. For a
    program that is nothing but a worker. Other allocators have no such option.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BLOCK)


def resident_memory() -> int:
    """Return the bytes of this process that are in memory, shared libraries included."""
    return int(psutil.Process().memory_info().rss)
