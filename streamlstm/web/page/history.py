"""The points of all streams that are shown, in a bounded amount of memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAGE = 32  # points; a stream takes one page after another


class History:
    """Keeps the last points of each stream; when memory is full, the oldest pages are reused.

    Parameters
    ----------
    columns : int
        C, numbers of a point besides its time.
    dtype : type
        Of those numbers: float32, or float64 for models with offsets.
    limit : int
        Bytes that all points may take.
    """

    def __init__(self, columns: int, dtype: type, limit: int) -> None:
        size = PAGE * (8 + columns * np.dtype(dtype).itemsize)
        self._pages = max(limit // size, 16)
        # The system commits memory of zeros when it is used.
        self._times = np.zeros((self._pages, PAGE))
        self._rows: NDArray[Any] = np.zeros((self._pages, PAGE, columns), dtype)
        self._owner: OrderedDict[int, int] = OrderedDict()  # slots of pages, the oldest first
        self._of: dict[int, deque[int]] = {}  # pages of each slot, the oldest first
        self._filled: dict[int, int] = {}  # points in the last page of each slot
        self._free: list[int] = []
        self._used = 0

    def append(self, slot: int, time: float, row: NDArray[np.floating]) -> None:
        """Append a point, ``row`` float[C], to the stream with a slot."""
        filled = self._filled.get(slot, PAGE)
        if filled == PAGE:
            self._of.setdefault(slot, deque()).append(self._take(slot))
            filled = 0
        page = self._of[slot][-1]
        self._times[page, filled] = time
        self._rows[page, filled] = row
        self._filled[slot] = filled + 1

    def last(self, slot: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
        """Return times[N] and rows[N, C] of the last ``count`` points, or of as many as there are.

        They are in the order in which they came.
        """
        pages = list(self._of.get(slot, ()))
        if not pages:
            return self._times[0, :0].copy(), self._rows[0, :0].copy()
        filled = self._filled[slot]
        wanted = pages[-(1 + -(-max(count - filled, 0) // PAGE)) :]
        times, rows = self._times[wanted].reshape(-1), self._rows[wanted]
        stop = len(times) - PAGE + filled
        start = max(stop - count, 0)
        return times[start:stop], rows.reshape(len(times), -1)[start:stop]

    def forget(self, slot: int) -> None:
        """Forget the points of a stream."""
        for page in self._of.pop(slot, ()):
            del self._owner[page]
            self._free.append(page)
        self._filled.pop(slot, None)

    def _take(self, slot: int) -> int:
        """Return a page for a stream: a new one, or the oldest of all."""
        if self._free:
            page = self._free.pop()
        elif self._used < self._pages:
            page, self._used = self._used, self._used + 1
        else:
            page, owner = self._owner.popitem(last=False)
            self._release(page, owner)
        self._owner[page] = slot
        return page

    def _release(self, page: int, owner: int) -> None:
        """Take its oldest page from a stream."""
        pages = self._of[owner]
        assert pages.popleft() == page
        if not pages and owner in self._filled:
            self._filled[owner] = PAGE
