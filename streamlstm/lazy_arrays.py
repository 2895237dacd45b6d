"""Allocates large arrays of zeros whose memory is committed on first use."""

import mmap
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

HUGE_PAGE = 2 * 1024 * 1024


def lazy_zeros(count: int, dtype: Any) -> NDArray[Any]:
    """Return ``count`` zeros; the operating system commits their memory page by page on first use.

    Arrays of 2 MiB and more start on a huge page where the kernel offers them, so that random
    access to the rows of a large table causes fewer TLB misses. Smaller ones are aligned to a cache
    line.

    Parameters
    ----------
    count : int
    dtype : dtype-like

    Returns
    -------
    dtype[count]

    Raises
    ------
    MemoryError
        If the system cannot reserve that much memory.
    """
    size = count * np.dtype(dtype).itemsize
    if size < HUGE_PAGE:
        return _view(np.zeros(size + 64, np.uint8), 64, size, dtype)
    try:
        # Private, because huge pages of shared memory have another setting in the kernel.
        memory = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError, ValueError) as error:
        raise MemoryError(f"{size} bytes") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel built without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return _view(np.frombuffer(memory, np.uint8), HUGE_PAGE, size, dtype)


def _view(memory: NDArray[np.uint8], alignment: int, size: int, dtype: Any) -> NDArray[Any]:
    start = -memory.ctypes.data % alignment
    return memory[start : start + size].view(dtype)
