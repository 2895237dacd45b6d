"""AsyncPublisher: sends observations to a worker from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import zmq
from numpy.typing import ArrayLike

from ... import wire
from ...errors import StreamLSTMError
from ..base import BasePublisher
from ..batching import Observations, Pending, merged
from ..failures import closed, not_sent
from ..requests import observation, observations
from .connection import AsyncConnection


class AsyncPublisher(BasePublisher, AsyncConnection[zmq.Socket[bytes]]):
    """Sends observations to a worker from an event loop, without replies.

    Parameters, methods and errors are those of :class:`streamlstm.Publisher`; the methods are
    coroutines. A call that is cancelled while it waits for the socket was not sent.
    """

    def _setup(self) -> None:
        self._sending = asyncio.Lock()
        self._writable: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._ended = False

    async def send(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> None:
        """Send one observation, x float32[F]; as :meth:`Publisher.send`."""
        await self._send(self._precision.build(observation, stream, x, seq, time))

    async def send_many(
        self,
        streams: Sequence[wire.StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> None:
        """Send observations of many streams, X[B, F]; as :meth:`Publisher.send_many`."""
        await self._send(self._precision.build(observations, streams, X, seqs, times))

    async def flush(self) -> None:
        """Send everything that waits; as :meth:`Publisher.flush`."""
        self._open()
        self._own_loop()
        await self._drain(None)
        await asyncio.to_thread(self._flush_feed)
        self._raise_lost()

    async def close(self) -> None:
        """Send everything that waits, then close the connection; as :meth:`Publisher.close`."""
        if self._forked is not None:
            return  # what waits is sent by the parent
        self._closing = True
        if self._delay and self._socket is not None:
            await self._drain(None)
        self._ended = True
        self._wake()  # calls that wait for the socket find that it is closed
        if self._alarm is not None:
            self._alarm.cancel()
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        async with self._sending:
            await asyncio.to_thread(self._end_feed)
            await super().close()
        self._raise_lost()

    async def _send(self, message: wire.Step | wire.Steps) -> None:
        pending = Pending(message, self._limit)
        self._check_process()
        if self._closing:
            raise closed(self._name)
        loop = self._own_loop()
        self._raise_lost(includes_call=True)
        self._backlog.append(pending)
        if self._delay and not self._backlog.is_full:
            if self._alarm is None:
                self._alarm = loop.call_later(self._delay, self._on_alarm)
            return
        try:
            await self._drain(pending)
        except asyncio.CancelledError:
            self._backlog.remove(pending)
            raise
        if pending.error is not None and not self._delay:
            raise pending.error
        self._raise_lost()

    async def _drain(self, own: Pending | None) -> None:
        """Send everything that waits, unless another call has sent ``own``."""
        async with self._sending:
            if own is not None and own.done:
                return
            taken = self._backlog.take()
            try:
                for message, frame, group in merged(taken, self._limit):
                    await self._put(message, frame)
                    for pending in group:
                        pending.done = True
            except TimeoutError:
                failure = self._handshake.failure()
                unsent = partial(not_sent, self.endpoint, self.timeout, "pull", failure)
                self._backlog.fail(taken, unsent)
            except (zmq.ZMQError, StreamLSTMError) as error:
                raised = error
                self._backlog.fail(taken, lambda: raised)
            except BaseException:  # cancelled: the rest goes with the next call
                self._backlog.put_back([p for p in taken if not p.done])
                if self._delay and self._backlog and self._alarm is None:
                    self._alarm = self._own_loop().call_later(self._delay, self._on_alarm)
                raise

    async def _put(self, message: Observations, frame: bytes) -> None:
        """Send a message as soon as the socket takes it."""
        if self._seeds is not None:
            self._open()
            feed = self._feed_of(self._seeds)
            if feed.is_full:
                await asyncio.to_thread(feed.send, message, frame)
            else:
                feed.send(message, frame)
            return
        deadline: float | None = None
        while True:
            if self._ended:
                raise closed(self._name)
            socket = self._open()
            try:
                socket.send(frame, zmq.NOBLOCK)
                return
            except zmq.Again:
                loop = self._own_loop()
            deadline = loop.time() + self.timeout if deadline is None else deadline
            # The descriptor signals changes only: earlier ones are read from the socket.
            if not int(socket.get(zmq.EVENTS)) & zmq.POLLOUT:
                await self._wait_for_room(loop, socket.fileno(), deadline)

    async def _wait_for_room(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, deadline: float
    ) -> None:
        writable = self._writable = loop.create_future()
        loop.add_reader(descriptor, self._wake)
        try:
            async with asyncio.timeout_at(deadline):
                await writable
        finally:
            loop.remove_reader(descriptor)

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _on_alarm(self) -> None:
        self._alarm = None
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.ensure_future(self._flush_all())

    async def _flush_all(self) -> None:
        while self._backlog:  # also what was added while the socket took nothing
            await self._drain(None)
