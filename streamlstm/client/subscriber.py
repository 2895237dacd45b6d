"""Subscriber: receives the predictions that a worker publishes."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Iterator

import zmq

from .. import wire
from .base import BaseSubscriber
from .connection import Connection, milliseconds
from .fleet.follower import Follower
from .fleet.subscription import Subscription
from .observing import Published
from .request_queue import NOBLOCK


class Subscriber(BaseSubscriber[zmq.Socket[bytes]], Connection[zmq.Socket[bytes]]):
    """Receives the predictions of a worker, whoever sent the observations.

    Parameters
    ----------
    xpub : str
        Endpoint of the worker's XPUB.
    endpoints : path-like or str, optional
        Instead of it, as for :class:`Client`: a fleet's predictions come from all its workers.
    streams : sequence of str or int
        What to subscribe to: prefixes of text ids (``"pump-"`` matches every pump) and integer ids.
        Left out, everything.
    timeout : float, optional
        Seconds to wait for a prediction; forever if left out.
    alarms : bool
        Receive only predictions that have an alarm, and no other events. The model needs the
        anomaly stage (:class:`Online`).
    values : bool
        Receive predictions with the observation that each of them answers, ``came`` and ``time``.
        The worker publishes those only where somebody subscribes to them.
    key, server : path-like, optional
        As for :class:`Client`.
    context : zmq.Context, optional
        Needed for ``inproc://`` endpoints only; one of its own if left out.

    Raises
    ------
    EndpointError
        If the endpoint is malformed.
    KeyFileError
        If only one of key and server is given, or a file holds no such key.
    BadValueError
        If ``timeout`` is no number of seconds.

    Notes
    -----
    Predictions are lost that a worker makes before the connection is established, or while a
    subscriber does not keep up. One thread receives at a time; others wait for it.

    Examples
    --------
    >>> with Subscriber(streams=["pump-"]) as subscriber:  # doctest: +SKIP
    ...     for prediction in subscriber:
    ...         print(prediction.stream, prediction.values)
    """

    _follower: Follower | None = None

    def _begin_to_follow(self) -> None:
        assert self._subscription is not None
        self._follower = Follower(self._lock, self._subscription.queue)

    def close(self) -> None:
        """Close the connection. Closing twice is harmless; so is closing in a child by fork."""
        if self._follower is not None and self._forked is None:
            self._follower.end()
        super().close()

    def receive(self) -> Published:
        """Return the next prediction: ``stream``, ``seq``, ``values`` float32[O], and ``observed``.

        Other events are skipped; :meth:`receive_event` returns them.

        Raises
        ------
        WorkerTimeoutError
            If none came in time.
        ProtocolError
            If what came is no message of the protocol.
        """
        deadline = self._deadline()
        while not isinstance(event := self._receive(deadline), Published):
            pass
        return event

    def receive_event(self) -> Published | wire.Done:
        """Return the next prediction, or another event of a stream.

        Returns
        -------
        Prediction or Done
            A Done has ``stream``, and as ``kind`` ``wire.Kind.RESET``, ``IMPORT`` or ``FORGET``, or
            ``wire.EVICTED`` when the stream has left memory: then ``value`` is True if it continues
            with its next observation, False if it begins with an empty state.

        Raises
        ------
        WorkerTimeoutError, ProtocolError
            As for :meth:`receive`.
        """
        return self._receive(self._deadline())

    def _deadline(self) -> float:
        return math.inf if self.timeout is None else clock.monotonic() + self.timeout

    def _receive(self, deadline: float) -> Published | wire.Done:
        event = None
        self._check_process()
        with self._lock:
            socket = self._open()
            while event is None:
                if self._subscription is not None:
                    frames = self._receive_from_fleet(socket, self._subscription, deadline)
                    event = self._decode(frames)
                    continue
                left = None if deadline == math.inf else max(0.0, deadline - clock.monotonic())
                socket.set(zmq.RCVTIMEO, milliseconds(left))
                try:
                    frames = socket.recv_multipart()
                except zmq.Again:
                    raise self._timed_out() from None
                event = self._decode(frames)
        return event

    def _receive_from_fleet(
        self, socket: zmq.Socket[bytes], subscription: Subscription, deadline: float
    ) -> list[bytes]:
        """Return the next message, and follow the table of the fleet meanwhile."""
        queue = subscription.queue
        while True:
            subscription.check()
            if clock.monotonic() >= queue.due:
                queue.process()
            try:
                return socket.recv_multipart(NOBLOCK)
            except zmq.Again:
                pass
            if clock.monotonic() >= deadline:
                raise self._timed_out()
            if not queue.process() and not int(socket.get(zmq.EVENTS)) & zmq.POLLIN:
                queue.wait(socket.fileno(), deadline)

    def __iter__(self) -> Iterator[Published]:
        """Yield predictions forever; raises WorkerTimeoutError if none came in time."""
        while True:
            yield self.receive()
