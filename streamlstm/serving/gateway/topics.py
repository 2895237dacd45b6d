"""What the subscribers of a gateway want, and so the gateway of all workers."""

from __future__ import annotations

from collections import Counter

import zmq

from ..sockets import PUBLICATIONS

_EVERYTHING = b""
# Topics above which a gateway subscribes to everything, and leaves out what nobody here wants: of
# the topics that one connection may have at a worker (../subscriptions.py).
_TOPICS = 1_000


class Topics:
    """Subscribes to what anyone here has subscribed to, once.

    Parameters
    ----------
    xsub : zmq.Socket
    """

    def __init__(self, xsub: zmq.Socket[bytes]) -> None:
        self._xsub = xsub
        self._counts: Counter[bytes] = Counter()
        self._there: set[bytes] = set()

    def count(self, topic: bytes, one: int) -> None:
        """Note that a connection has subscribed to a topic, or with -1 ceased to."""
        self._counts[topic] += one
        if not self._counts[topic]:
            del self._counts[topic]
        wanted = set(self._counts) if len(self._counts) <= _TOPICS else {_EVERYTHING}
        for each in wanted - self._there:  # before others end, so that nothing is missed
            self._xsub.send(b"\1" + each)
        for each in self._there - wanted:
            self._xsub.send(b"\0" + each)
        self._there = wanted


def new_xsub(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    """Return a socket for what all workers publish."""
    xsub: zmq.Socket[bytes] = context.socket(zmq.XSUB)
    xsub.set(zmq.LINGER, 0)
    xsub.set(zmq.RCVHWM, PUBLICATIONS)
    xsub.set(zmq.SNDHWM, 0)  # subscriptions: bounded where they come in
    return xsub
