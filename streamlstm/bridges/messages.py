"""What passes through a bridge: messages of a broker, observations, and what is published."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Message(NamedTuple):
    """A message of a broker.

    Attributes
    ----------
    topic : str
    payload : bytes
    origin : object
        By which the broker's client acknowledges it.
    number : int
        Its place in the broker's log, as a sparse sequence number; 0 where there is no log.
    time : float or None
        When the broker or its publisher wrote it, in seconds since 1970.
    key : str
        The key of its record, if it has one.
    names : dict
        What else a pattern of stream ids may name, such as ``partition``.
    properties : dict
        Texts that came with it: user properties of MQTT, headers of Kafka and NATS.
    """

    topic: str
    payload: bytes
    origin: Any
    number: int = 0
    time: float | None = None
    key: str = ""
    names: dict[str, str] = {}  # noqa: RUF012  (of a NamedTuple: shared, never changed)
    properties: dict[str, str] = {}  # noqa: RUF012


class Output(NamedTuple):
    """Something to publish.

    Attributes
    ----------
    topic : str
    payload : bytes
    key : str
        Kafka's: outputs of a key keep their order.
    headers : dict
        Texts beside the payload: with ``stream`` and ``seq`` a consumer that leaves out numbers
        that it has had of a stream gets each prediction once.
    is_retained : bool
        Whether the broker keeps it for those who subscribe later (MQTT).
    settle : callable or None
        Called when the broker has it.
    """

    topic: str
    payload: bytes
    key: str
    headers: dict[str, str]
    is_retained: bool = False
    settle: Callable[[], object] | None = None


def too_large(output: Output, remedy: str) -> str:
    """Return what is said of an output that no broker takes, however often it is sent."""
    return (
        f"{output.topic}: expected a message that the broker takes, got one of "
        f"{len(output.payload):,} bytes, which was left out. Allow it with {remedy}"
    )


class Receipt:
    """Acknowledges the messages of an observation when everything that follows from it is done.

    That is: the worker has committed it, and the broker has what was published for it.

    Parameters
    ----------
    messages : sequence of Message
    acknowledge : callable
        Gets them.
    time : float or None
        When the observation was made.

    Attributes
    ----------
    messages : sequence of Message
    on_told : callable or None
        Called when everything is done but that the worker commits.
    """

    __slots__ = ("_acknowledge", "_left", "messages", "on_told", "time")

    _lock = threading.Lock()

    def __init__(
        self,
        messages: Sequence[Message],
        acknowledge: Callable[[Sequence[Message]], object],
        time: float | None,
    ) -> None:
        self.messages, self.time = messages, time
        self._acknowledge, self._left = acknowledge, 1
        self.on_told: Callable[[], object] | None = None

    def expect(self, count: int) -> None:
        """Wait for so many things more."""
        with self._lock:
            self._left += count

    def settle(self) -> None:
        """Note that one of them is done."""
        with self._lock:
            self._left -= 1
            left, on_told = self._left, self.on_told
            if left <= 1:
                self.on_told = None  # it refers to the entry that has this receipt: no cycle
        if left == 0:
            self._acknowledge(self.messages)
        elif left == 1 and on_told is not None:
            on_told()
