"""A mark in memory that somebody holds a lock, for compiled code to see."""

from types import TracebackType

import numpy as np
from numpy.typing import NDArray


class Held:
    """Marks, in a ``with`` statement, that the lock taken before it is held.

    A short compiled call that keeps the interpreter's lock is alone as long as it runs, but for
    threads that hold the other lock and have released the interpreter's. It looks whether there is
    one and, if there is none, needs no lock of its own: taking one costs as much as a small step.

    It stands behind the lock, ``with lock, held:``, and is not one itself: Ctrl-C may come between
    any two steps of a method in Python, and would leave a lock taken for good. A mark that is left
    behind only sends the next call the slow way, which clears it.

    Parameters
    ----------
    mark : int64[1]
        Not 0 while somebody holds the lock and has begun to work.
    """

    def __init__(self, mark: NDArray[np.int64]) -> None:
        self._mark = mark

    def __enter__(self) -> None:
        self._mark[0] = 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._mark[0] = 0
