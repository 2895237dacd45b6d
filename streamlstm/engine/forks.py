"""What becomes of objects in a process that is forked from the one that made them.

A fork copies memory, and neither threads nor connections: in the child a socket of ZeroMQ waits for
a thread that does not exist there, a lock that another thread held stays locked, and OpenMP ends
the process at its next use. Objects that hold such things register here; in every forked child,
before anything else runs, each is told to make itself unusable, so that its next call raises
ForkError instead.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet

from ..errors import ForkError


class ForkAware(Protocol):
    """An object that is told in a forked child that it is a copy there."""

    def _after_fork(self) -> None: ...


_objects: WeakSet[ForkAware] = WeakSet()


def tell_in_child(made: ForkAware) -> None:
    """Call ``_after_fork`` of an object in every child that this process forks from now on."""
    _objects.add(made)


def _in_child() -> None:
    for made in list(_objects):
        made._after_fork()


os.register_at_fork(after_in_child=_in_child)


def fork_error(what: str, why: str, remedy: str) -> ForkError:
    """Return the error for an object that was made before a fork, in the child.

    Its number is the child's own: objects are told of every fork at once.
    """
    return ForkError(
        f"{what} was made in process {os.getppid()}, and process {os.getpid()}, its child by fork, "
        f"cannot use it: {why}. {remedy}; or start processes with spawn: "
        'multiprocessing.get_context("spawn")'
    )


def free(lock: threading.Lock) -> bool:
    """Release a lock in a forked child, where nobody holds it; return whether it was held."""
    held = lock.locked()
    if held:
        lock.release()
    return held
