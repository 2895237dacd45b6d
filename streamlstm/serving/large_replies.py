"""Large replies that ZeroMQ still holds, of the loop in Python (native/large.py: the compiled one).

A client that does not read makes ZeroMQ hold up to a thousand of its replies: little while they are
short. Large ones are charged to their client until ZeroMQ has sent them.
"""

from __future__ import annotations

import zmq

from .backlog import BYTES


class LargeReplies:
    """Sends large replies, as far as their clients may have more of them.

    A client may have as many bytes of them as are still free, and one in any case.

    Parameters
    ----------
    router : zmq.Socket
    most : int
        Bytes of all of them together.
    """

    def __init__(self, router: zmq.Socket[bytes], most: int = BYTES) -> None:
        self._router, self._most = router, most
        self._held: list[tuple[bytes, int, zmq.MessageTracker]] = []  # clients, sizes

    def may_send(self, client: bytes, size: int) -> bool:
        """Return whether a client may have one more reply of so many bytes."""
        self._held = [held for held in self._held if not held[2].done]
        own = sum(held for name, held, _ in self._held if name == client)
        return not own or own + size <= self._most - sum(held for _, held, _ in self._held)

    def send(self, route: list[bytes], reply: bytes, flags: zmq.Flag) -> None:
        """Send a reply; raises zmq.ZMQError as a socket does."""
        frame = zmq.Frame(reply, track=True, copy=False, copy_threshold=0)
        self._router.send_multipart([*route, frame], flags, copy=False)
        assert frame.tracker is not None
        self._held.append((route[0], len(reply), frame.tracker))
