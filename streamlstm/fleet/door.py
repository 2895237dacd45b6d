"""The door of a machine: where processes and commands connect to it, while it has room for them."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress

import zmq

SPARE = 16  # descriptors that have to be free for the door to be open
LOOK_SECONDS = 0.1  # between two looks at how many are
SHUT_SECONDS = 1.0  # for which it is shut at least


class Door:
    """Binds a socket to a place of ``ipc://``, which nobody finds while few descriptors are free.

    libzmq ends the process that cannot accept such a connection for want of a descriptor. So the
    file of the socket has another name then; connections that there are go on.

    Parameters
    ----------
    socket : zmq.Socket
    place : str
        An endpoint of ``ipc://``.
    log : callable
        Gets what is to be said.
    """

    def __init__(self, socket: zmq.Socket[bytes], place: str, log: Callable[[str], None]) -> None:
        self._path, self._log = place.removeprefix("ipc://"), log
        self._open, self._next_look = True, 0.0
        socket.bind(place)

    def look(self) -> None:
        """Shut the door if too few descriptors are free, and open it again when there are more."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        if self._open == has_room():
            return
        self._open, self._next_look = not self._open, now + SHUT_SECONDS
        with suppress(FileNotFoundError):  # somebody has cleaned up
            names = self._path, f"{self._path}.shut"
            os.rename(*(reversed(names) if self._open else names))
        self._log(
            "descriptors are free again"
            if self._open
            else f"of {_limit()} files that this process may open fewer than {SPARE} are left: "
            "workers and commands that come now wait. Allow it more (ulimit -n), or stop workers"
        )


def has_room() -> bool:
    """Tell whether enough descriptors are free for what may be started, or may come."""
    try:
        used = len(os.listdir("/proc/self/fd"))
    except OSError:  # there is none to look
        return False
    return _limit() == resource.RLIM_INFINITY or used + SPARE <= _limit()


def _limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
