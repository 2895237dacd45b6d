"""Messages that the Python loop has received and not answered: clients in turn, observations first.

A message that is no observation (LIST, EXPORT, INFO) waits until the observations at the front of
the clients' queues were stepped, and only one of them is answered between two looks at what has
arrived. Messages of one client keep their order.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from .envelope import Envelope

MESSAGES = 16_384  # that wait at most; what comes after them waits in ZeroMQ, and at its sender
BYTES = 2**26
BATCH_MESSAGES = 512  # of one block: enough to fill it, few enough that the first waits little
BATCH_BYTES = 2**16  # so that no message waits for the arithmetic of more than one large STEPS

_PULL = b""  # no routing id is empty
_OBSERVATIONS = (b"\1", b"\2")  # the kinds STEP and STEPS, where nearly every sender writes them


class Waiting(NamedTuple):
    """A message, and the moment of its receipt in ns."""

    received: int
    envelope: Envelope


class Backlog:
    """A queue for each client, and the order in which they are served: round robin.

    Attributes
    ----------
    size : int
        Bytes of all messages.
    """

    def __init__(self) -> None:
        self._queues: dict[bytes, deque[Waiting]] = {}
        # Each client that has a message is in one of these, by the first of them.
        self._observing: deque[bytes] = deque()
        self._asking: deque[bytes] = deque()
        self._count = self.size = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """True if nothing more is to be received."""
        return self._count >= MESSAGES or self.size >= BYTES

    def add(self, waiting: Waiting) -> None:
        """Append a message to those of its client."""
        route = waiting.envelope.route
        client = _PULL if route is None else route[0]
        queue = self._queues.setdefault(client, deque())
        queue.append(waiting)
        self._count += 1
        self.size += _size_of(waiting)
        if len(queue) == 1:
            self._enqueue(client, queue)

    def take_observations(self) -> list[Waiting]:
        """Remove the next observations, of one client after the other."""
        taken: list[Waiting] = []
        size = 0
        while self._observing and len(taken) < BATCH_MESSAGES and size < BATCH_BYTES:
            taken.append(self._take(self._observing.popleft()))
            size += _size_of(taken[-1])
        return taken

    def take_other(self) -> list[Waiting]:
        """Remove the next message that is no observation, if there is one."""
        return [self._take(self._asking.popleft())] if self._asking else []

    def _take(self, client: bytes) -> Waiting:
        queue = self._queues[client]
        waiting = queue.popleft()
        self._count -= 1
        self.size -= _size_of(waiting)
        if queue:
            self._enqueue(client, queue)
        else:
            del self._queues[client]
        return waiting

    def _enqueue(self, client: bytes, queue: deque[Waiting]) -> None:
        frame = queue[0].envelope.frame
        is_observation = isinstance(frame, bytes) and frame[1:2] in _OBSERVATIONS
        (self._observing if is_observation else self._asking).append(client)


def _size_of(waiting: Waiting) -> int:
    frame = waiting.envelope.frame
    return len(frame) if isinstance(frame, bytes) else 0
