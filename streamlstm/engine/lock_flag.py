"""A flag in memory that tells compiled code that a lock is held."""

from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..errors import StreamLSTMError


class LockFlag:
    """Sets a flag, within a ``with`` statement, while the lock taken before it is held.

    A short compiled call that keeps the GIL runs alone, except for threads that hold the engine's
    lock and have released the GIL. The call reads the flag and, if it is clear, needs no lock of
    its own: taking one costs as much as a small step.

    The flag comes after the lock, ``with lock, flag:``, and is no lock itself: Ctrl-C may come
    between any two steps of a method in Python, and would leave a lock taken for good. A flag that
    is left set only sends the next call to the slow path, which clears it.

    Parameters
    ----------
    flag : int64[1]
        Not 0 while a thread holds the lock and has begun to work.

    Attributes
    ----------
    error : StreamLSTMError or None
        Why nobody may work under the lock any more; raised for whoever would.
    """

    def __init__(self, flag: NDArray[np.int64]) -> None:
        self._flag = flag
        self.error: StreamLSTMError | None = None

    def __enter__(self) -> None:
        if self.error is not None:
            raise self.error.with_traceback(None)
        self._flag[0] = 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._flag[0] = 0
