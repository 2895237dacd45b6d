"""Large arrays of zeros that cost nothing until they are used."""

import mmap
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

HUGE_PAGE = 2 * 1024 * 1024


def lazy_zeros(count: int, dtype: Any) -> NDArray[Any]:
    """Return ``count`` zeros; the operating system gives their memory page by page when touched.

    Where the kernel offers pages of 2 MiB, they are asked for and the array starts on one: rows of
    a large table that are visited at random then cost no search for the page as well. Few bytes
    come from numpy and start on a cache line.

    Raises
    ------
    MemoryError
        If they are more than the machine can give.
    """
    size = count * np.dtype(dtype).itemsize
    if size < HUGE_PAGE:
        return _view(np.zeros(size + 64, np.uint8), 64, size, dtype)
    try:
        # Private: pages of memory that processes share are another setting of the kernel.
        memory = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError, ValueError) as error:
        raise MemoryError(f"{size} bytes") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel that is built without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return _view(np.frombuffer(memory, np.uint8), HUGE_PAGE, size, dtype)


def _view(memory: NDArray[np.uint8], alignment: int, size: int, dtype: Any) -> NDArray[Any]:
    start = -memory.ctypes.data % alignment
    return memory[start : start + size].view(dtype)
