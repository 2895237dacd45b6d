"""The subscriptions of a worker's XPUB socket: counted for each connection, and bounded.

libzmq keeps every topic in a trie, of some 32 bytes for each byte of a topic, and of up to 2 KiB
more where two topics part. It has no bound of its own. Here each subscription is seen one by one,
with its connection, and a connection that has more than its share is cut.

A connection is known by its descriptor, which libzmq attaches to what it received, and by the inode
that the descriptor has, which no later connection has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

import zmq

from .. import wire
from .connections import cut, inode_of, local_addresses
from .counters import Counters
from .line_limit import LineLimit
from .native import layout

_LOG = logging.getLogger(__name__)

# Of a connection, and of all. Together the trie takes 120 MiB at most: 2,300 bytes for each topic
# and 40 for each byte of one.
TOPICS, TOPIC_BYTES = 10_000, 2**18
ALL_TOPICS, ALL_TOPIC_BYTES = 32_768, 2**20

TURN_EVENTS = 64  # subscriptions of one turn, some 10 us each
_LOOK_SECONDS = 1.0  # between two looks for connections that have closed

_DESCRIPTOR = "__fd"  # the property of a message for which ZMQ_SRCFD is an older name


class _Connection(NamedTuple):
    descriptor: int
    inode: int


_WITHIN = _Connection(-1, -1)  # all subscribers of inproc://, who are part of this program


class _Topics:
    """The topics of one connection."""

    __slots__ = ("alarms", "bytes", "topics", "values")

    def __init__(self) -> None:
        self.topics: set[bytes] = set()
        self.bytes = self.alarms = self.values = 0


class Subscriptions:
    """Reads what subscribers want, counts it, and cuts those who want too much.

    Parameters
    ----------
    xpub : zmq.Socket
        Bound, with XPUB_VERBOSER: every subscription and every cancellation is passed.
    counters : Counters
        SUBSCRIPTIONS, TOPIC_BYTES, ALARM_TOPICS, VALUE_TOPICS and CUT_SUBSCRIBERS are kept here.
    on_topic : callable, optional
        Called with a topic and 1 when a connection has subscribed to it, -1 when it has ceased.
    """

    def __init__(
        self,
        xpub: zmq.Socket[bytes],
        counters: Counters,
        on_topic: Callable[[bytes, int], object] | None = None,
    ) -> None:
        self._xpub, self._counters, self._on_topic = xpub, counters, on_topic
        endpoint = xpub.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
        self._addresses = local_addresses(endpoint)
        self._within = endpoint.startswith("inproc")
        self._of: dict[_Connection, _Topics] = {}
        self._cut: set[_Connection] = set()
        self._topics = self._bytes = self._alarms = self._values = 0
        self._looked = time.monotonic()
        self._lines = LineLimit()

    def read(self) -> None:
        """Read what has arrived, up to the bound of a turn."""
        for _ in range(TURN_EVENTS):
            try:
                event = self._xpub.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            self._note(event)
        self._count()

    def look(self) -> None:
        """Forget connections that have closed; does so once a second, however often it is called.

        libzmq reports what a connection leaves behind without its descriptor.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS or not (self._of or self._cut):
            return
        self._looked = now
        for connection in [*self._of, *self._cut]:
            if connection != _WITHIN and inode_of(connection.descriptor) != connection.inode:
                self._cut.discard(connection)
                self._forget(connection)
        self._count()

    def _note(self, event: zmq.Frame) -> None:
        connection, content = _WITHIN if self._within else _connection_of(event), event.bytes
        if connection is None:
            self._looked = 0.0  # one has closed: look at the end of this turn
        elif connection not in self._cut and content[:1] in (b"\0", b"\1"):
            if content[0]:
                self._add(connection, content[1:])
            else:
                self._remove(connection, content[1:])

    def _add(self, connection: _Connection, topic: bytes) -> None:
        of = self._of.setdefault(connection, _Topics())
        if topic in of.topics:
            return
        of.topics.add(topic)
        self._count_topic(of, topic, 1)
        if connection == _WITHIN:
            return
        if len(of.topics) > TOPICS or of.bytes > TOPIC_BYTES:
            self._cut_off(connection)
        elif self._topics > ALL_TOPICS or self._bytes > ALL_TOPIC_BYTES:
            self._cut_off(max(self._of, key=self._size))

    def _count_topic(self, of: _Topics, topic: bytes, one: int) -> None:
        """Count a topic that came or went, as 1 or -1."""
        size, alarm = one * len(topic), one * topic.startswith(wire.ALARM_TOPIC)
        value = one * topic.startswith(wire.VALUE_TOPIC)
        of.bytes += size
        of.alarms += alarm
        of.values += value
        self._topics += one
        self._bytes += size
        self._alarms += alarm
        self._values += value
        if self._on_topic is not None:
            self._on_topic(topic, one)

    def _size(self, connection: _Connection) -> float:
        of = self._of[connection]
        return len(of.topics) / ALL_TOPICS + of.bytes / ALL_TOPIC_BYTES

    def _remove(self, connection: _Connection, topic: bytes) -> None:
        of = self._of.get(connection)
        if of is None or topic not in of.topics:
            return
        of.topics.remove(topic)
        self._count_topic(of, topic, -1)
        if not of.topics:
            del self._of[connection]

    def _forget(self, connection: _Connection) -> None:
        of = self._of.pop(connection, _Topics())
        self._topics -= len(of.topics)
        self._bytes -= of.bytes
        self._alarms -= of.alarms
        self._values -= of.values
        if self._on_topic is not None:
            for topic in of.topics:
                self._on_topic(topic, -1)

    def _cut_off(self, connection: _Connection) -> None:
        of = self._of[connection]
        sentence = (
            f"xpub: cut a subscriber with {len(of.topics)} topics of {of.bytes} bytes: one may "
            f"have {TOPICS} topics of {TOPIC_BYTES} bytes, all together {ALL_TOPICS} of "
            f"{ALL_TOPIC_BYTES}; let it subscribe to prefixes"
        )
        self._forget(connection)
        self._cut.add(connection)
        cut(connection.descriptor, self._addresses)
        self._counters.add(layout.CUT_SUBSCRIBERS)
        self._lines.warn(_LOG, sentence)

    def _count(self) -> None:
        self._counters.cells[layout.SUBSCRIPTIONS] = self._topics
        self._counters.cells[layout.TOPIC_BYTES] = self._bytes
        self._counters.cells[layout.ALARM_TOPICS] = self._alarms
        self._counters.cells[layout.VALUE_TOPICS] = self._values


def _connection_of(event: zmq.Frame) -> _Connection | None:
    """Return the connection that an event came over; None if it has closed."""
    try:
        descriptor = int(event.get(_DESCRIPTOR))
    except zmq.ZMQError:
        return None
    inode = inode_of(descriptor)
    return None if inode is None else _Connection(descriptor, inode)
