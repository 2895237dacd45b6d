"""Measures the memory of this process."""

from __future__ import annotations

import psutil


def resident_memory() -> int:
    """Return the bytes of this process that are in memory, shared libraries included."""
    return int(psutil.Process().memory_info().rss)
