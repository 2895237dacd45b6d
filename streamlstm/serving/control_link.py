"""The connection of a worker to the supervisor of its fleet."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from typing import cast

import zmq


class ControlLink:
    """Sends and receives control messages between two turns of the loop, which it wakes for them.

    Parameters
    ----------
    supervisor : str
        Endpoint of its ROUTER.
    name : str
        This worker's.
    nudge : callable
        Ends a wait of the loop; called from another thread.
    """

    def __init__(self, supervisor: str, name: str, nudge: Callable[[], object]) -> None:
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.ROUTING_ID, name.encode())
        self._socket.set(zmq.LINGER, 0)
        self._socket.set_hwm(0)
        self._socket.connect(supervisor)
        self._looked, self._closing = threading.Event(), False
        self._thread = threading.Thread(target=self._watch, args=(nudge,), daemon=True)
        self._thread.start()

    def _watch(self, nudge: Callable[[], object]) -> None:
        """Wake the loop when something came; the loop's thread receives it."""
        poll = select.poll()
        poll.register(cast(int, self._socket.getsockopt(zmq.FD)), select.POLLIN)
        while not self._closing:
            poll.poll(1000)
            self._looked.clear()
            nudge()
            self._looked.wait(1)

    def send(self, frame: bytes) -> None:
        """Send a message."""
        self._socket.send(frame)

    def receive(self) -> bytes | None:
        """Return the next message that came, None if there is none."""
        try:
            return self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None

    def looked(self) -> bool:
        """Note that all that came was taken; tell whether more has come since."""
        self._looked.set()
        return bool(cast(int, self._socket.get(zmq.EVENTS)) & zmq.POLLIN)

    def close(self) -> None:
        """Leave the supervisor."""
        self._closing = True
        self._looked.set()
        self._thread.join()
        self._socket.close()
        self._context.term()
