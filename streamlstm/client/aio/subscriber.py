"""AsyncSubscriber: receives the predictions that a worker publishes, in an event loop."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import AsyncIterator

import zmq.asyncio

from ... import wire
from ..base import BaseSubscriber
from ..observing import Published
from .connection import AsyncConnection
from .following import Following


class AsyncSubscriber(BaseSubscriber[zmq.asyncio.Socket], AsyncConnection[zmq.asyncio.Socket]):
    """Receives the predictions of a worker in an event loop.

    Parameters, methods and errors are those of :class:`streamlstm.Subscriber`; ``receive`` and
    ``receive_event`` are coroutines.

    Examples
    --------
    >>> async with AsyncSubscriber(streams=["pump-"]) as subscriber:  # doctest: +SKIP
    ...     async for prediction in subscriber:
    ...         print(prediction.stream, prediction.values)
    """

    _socket_class = zmq.asyncio.Socket
    _following: Following | None = None

    def _after_fork(self) -> None:
        super()._after_fork()
        # The end of this copy would take the descriptor out of the epoll of the event loop, which
        # parent and child share: it never ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._socket))

    async def receive(self) -> Published:
        """Return the next prediction: ``stream``, ``seq``, ``values`` float32[O], and ``observed``.

        Errors are those of :meth:`Subscriber.receive`.
        """
        try:
            async with asyncio.timeout(self.timeout):
                while not isinstance(event := await self._receive(), Published):
                    pass
                return event
        except TimeoutError:
            raise self._timed_out() from None

    async def receive_event(self) -> Published | wire.Done:
        """Return the next prediction or other event; as :meth:`Subscriber.receive_event`."""
        try:
            async with asyncio.timeout(self.timeout):
                return await self._receive()
        except TimeoutError:
            raise self._timed_out() from None

    async def receive_many(self, count: int = 4096) -> list[Published | wire.Done]:
        """Return what has come, ``count`` events at most, as soon as there is one.

        Errors are those of :meth:`Subscriber.receive_event`.
        """
        events = [await self.receive_event()]
        plain: zmq.Socket[bytes] = zmq.Socket.shadow(self._open())
        for _ in range(count - 1):
            try:
                event = self._decode(plain.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                break
            if event is not None:
                events.append(event)
        return events

    def _on_socket(self, descriptor: int, comes: bool) -> None:
        if self._following is not None:
            self._following.watch(descriptor, comes)

    def _follow(self) -> None:
        """Let the event loop follow the table of a fleet."""
        if self._subscription is not None and self._following is None:
            self._following = Following(self._own_loop(), self._subscription.queue)
            self._following.turn()
        if self._subscription is not None:
            self._subscription.check()

    async def close(self) -> None:
        """Close the connection. Closing twice is harmless."""
        if self._following is not None and self._forked is None:
            self._following.close()
        await super().close()

    async def _receive(self) -> Published | wire.Done:
        self._follow()
        while (event := self._decode(await self._open().recv_multipart())) is None:
            pass
        return event

    async def __aiter__(self) -> AsyncIterator[Published]:
        """Yield predictions forever; raises WorkerTimeoutError if none came in time."""
        while True:
            yield await self.receive()
