"""A lock that compiled code can see."""

import threading
from types import TracebackType

import numpy as np
from numpy.typing import NDArray


class Exclusive:
    """A lock, to be used in a ``with`` statement, that says in an array whether it is held.

    A short compiled call that keeps the interpreter's lock is alone as long as it runs, but for
    threads that hold this lock and have released the interpreter's. It looks whether there is one
    and, if there is none, needs no lock of its own: taking one costs as much as a small step.

    Parameters
    ----------
    held : int64[1]
        1 while the lock is held. It is set after the lock has been taken and cleared before it is
        given back, under the interpreter's lock, so 0 means that nobody is at work.
    """

    def __init__(self, held: NDArray[np.int64]) -> None:
        self._lock = threading.Lock()
        self._held = held

    def __enter__(self) -> None:
        self._lock.acquire()
        self._held[0] = 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held[0] = 0
        self._lock.release()
