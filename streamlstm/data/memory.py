"""Keeps the memory of a process small that reads one large table: freed memory goes back at once.

Arrow's own pool and the C library keep what is freed for what may come. A command that reads a
table once, and works on parts of it then, needs it no more.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # of mallopt
_LARGE = 1 << 20  # bytes, from which on a column is memory of its own; below, it costs more time


def return_freed_memory() -> None:
    """Have this process return large blocks of memory when they are freed, others by `release`.

    Of a million rows of five columns this leaves 70 MB after reading where 150 stayed, and takes no
    more time. To be called before Arrow is imported, whose inner parts keep their first pool.
    Elsewhere than with the C library of GNU only Arrow's pool is exchanged.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    import pyarrow as pa

    with without("pandas"):
        pa.array([""])
    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_ARENA_MAX, 1)


def collect_seldom() -> None:
    """Have Python look for garbage in cycles a hundred times as seldom as it does by itself.

    Imports make hundreds of thousands of objects that stay: looking through them takes a tenth of a
    second of a command that reads one table, which makes little garbage.
    """
    gc.set_threshold(70_000, 100, 100)


def release() -> None:
    """Return what Arrow keeps of freed columns; after `return_freed_memory` all small blocks."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Let imports within find none of these packages, unless they are imported already.

    Some libraries import what is installed, whether or not it is needed: Arrow imports pandas at
    its first array of a list (34 MB, 0.2 s), Numba the linear algebra of scipy (11 MB, 0.2 s).
    """

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name in packages:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(Finder)
