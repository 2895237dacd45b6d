"""The clients of client.py for asyncio: many coroutines may await on one of them at once."""

from __future__ import annotations

import asyncio
import time as clock
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self

import zmq
import zmq.asyncio
from numpy.typing import ArrayLike

from . import wire
from .client import (
    LINGER,
    TIMEOUT,
    Float32Array,
    ReplyType,
    check_seconds,
    closed,
    connect,
    milliseconds,
    observation,
    observations,
    pack,
    silent,
    subscription,
    unanswered,
    unpack,
    unsent,
)
from .errors import EndpointError
from .state import check_stream_id


class _AsyncConnection:
    """A socket of one event loop, and its end."""

    _kind: int
    _what: str

    def __init__(
        self,
        endpoint: str,
        context: zmq.asyncio.Context | None,
        linger: float = 0.0,
        **options: int,
    ) -> None:
        self.endpoint = endpoint
        self._own_context = context is None
        self._context = context or zmq.asyncio.Context()
        self._socket: zmq.asyncio.Socket | None = self._context.socket(self._kind)
        try:
            connect(self._socket, endpoint, LINGER=milliseconds(linger), **options)
        except EndpointError:
            self._socket = None
            self._end_context()
            raise

    def _open(self) -> zmq.asyncio.Socket:
        if self._socket is None:
            raise closed(self._what)
        return self._socket

    async def close(self) -> None:
        """Close the connection. Closing twice is harmless."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            # ending a context waits for what lingers: not in the event loop
            await asyncio.to_thread(self._end_context)

    def _end_context(self) -> None:
        if self._own_context:
            self._context.term()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class AsyncClient(_AsyncConnection):
    """Asks a worker; questions of many coroutines are under way at once.

    Parameters, methods and errors are those of :class:`streamlstm.client.Client`. Questions leave
    in the order in which they are asked, and the worker applies them in that order.

    Examples
    --------
    >>> async with AsyncClient() as client:  # doctest: +SKIP
    ...     y = await client.step("pump-7", [21.3, 0.82])
    """

    _kind = zmq.DEALER
    _what = "client"

    def __init__(
        self,
        router: str = wire.ROUTER,
        *,
        timeout: float = TIMEOUT,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        context: zmq.asyncio.Context | None = None,
    ) -> None:
        self.timeout = check_seconds("timeout", timeout)
        super().__init__(router, context, IMMEDIATE=1)
        self._limit = max_message_bytes
        self._number = 0
        self._answers: dict[bytes, asyncio.Future[bytes]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def step(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> Float32Array:
        """Advance a stream by one observation, x[F] to float32[O]; as :meth:`Client.step`."""
        return (await self._ask(observation(stream, x, seq, time), wire.Prediction)).values

    async def step_many(
        self, streams: Sequence[wire.StreamId], X: ArrayLike, *, seqs: Sequence[int] | None = None
    ) -> Float32Array:
        """Advance many streams in one message, X[B, F] to float32[B, O]; all of them or none."""
        return (await self._ask(observations(streams, X, seqs), wire.Predictions)).values

    async def reset(self, stream: wire.StreamId) -> None:
        """Empty a stream's memory."""
        await self._ask(wire.Reset(check_stream_id(stream)), wire.Done)

    async def export_stream(self, stream: wire.StreamId) -> bytes:
        """Return all that is remembered of a stream."""
        blob: bytes = (await self._ask(wire.Export(check_stream_id(stream)), wire.Done)).value
        return blob

    async def import_stream(self, stream: wire.StreamId, blob: bytes) -> None:
        """Give a stream the state that :meth:`export_stream` returned."""
        await self._ask(wire.Import(check_stream_id(stream), blob), wire.Done)

    async def info(self) -> dict[str, Any]:
        """Return what the worker runs and what it has done."""
        info: dict[str, Any] = (await self._ask(wire.Info(), wire.Done)).value
        return info

    async def ping(self) -> float:
        """Return the seconds that a question and its answer take."""
        start = clock.perf_counter()
        await self._ask(wire.Ping(0), wire.Done)
        return clock.perf_counter() - start

    async def close(self) -> None:
        """Close the connection; questions still under way get an error."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
            self._reader = None
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(closed(self._what))
                answer.exception()  # or asyncio would complain where nobody awaits it any more
        await super().close()

    async def _ask(self, message: wire.Request, expected: type[ReplyType]) -> ReplyType:
        frame = pack(message, self._limit)
        socket = self._open()
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(socket))
        self._number += 1
        number = self._number.to_bytes(8, "big")
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        sent = False
        try:
            async with asyncio.timeout(self.timeout):
                await socket.send_multipart([number, frame])
                sent = True
                return unpack(await answer, expected)
        except TimeoutError:
            if sent:
                raise unanswered(self.endpoint, self.timeout) from None
            raise unsent(self.endpoint, self.timeout, "router") from None
        finally:
            del self._answers[number]

    async def _read(self, socket: zmq.asyncio.Socket) -> None:
        """Hand each answer to the question with its number; late ones have none any more."""
        while True:
            parts = await socket.recv_multipart()
            answer = self._answers.get(parts[0])
            if answer is not None and not answer.done():
                answer.set_result(parts[-1])


class AsyncPublisher(_AsyncConnection):
    """Feeds a worker; as :class:`streamlstm.client.Publisher`."""

    _kind = zmq.PUSH
    _what = "publisher"

    def __init__(
        self,
        pull: str = wire.PULL,
        *,
        timeout: float = TIMEOUT,
        linger: float = LINGER,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        context: zmq.asyncio.Context | None = None,
    ) -> None:
        self.timeout = check_seconds("timeout", timeout)
        super().__init__(pull, context, check_seconds("linger", linger), IMMEDIATE=1)
        self._limit = max_message_bytes

    async def send(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> None:
        """Send one observation; as :meth:`Publisher.send`."""
        await self._send(observation(stream, x, seq, time))

    async def send_many(
        self, streams: Sequence[wire.StreamId], X: ArrayLike, *, seqs: Sequence[int] | None = None
    ) -> None:
        """Send observations of many streams; as :meth:`Publisher.send_many`."""
        await self._send(observations(streams, X, seqs))

    async def _send(self, message: wire.Request) -> None:
        frame = pack(message, self._limit)
        socket = self._open()
        try:
            async with asyncio.timeout(self.timeout):
                await socket.send(frame)
        except TimeoutError:
            raise unsent(self.endpoint, self.timeout, "pull") from None


class AsyncSubscriber(_AsyncConnection):
    """Listens to the predictions of a worker; as :class:`streamlstm.client.Subscriber`.

    Examples
    --------
    >>> async with AsyncSubscriber(streams=["pump-"]) as subscriber:  # doctest: +SKIP
    ...     async for prediction in subscriber:
    ...         print(prediction.stream, prediction.values)
    """

    _kind = zmq.SUB
    _what = "subscriber"

    def __init__(
        self,
        xpub: str = wire.XPUB,
        streams: Sequence[wire.StreamId] = ("",),
        *,
        timeout: float | None = None,
        context: zmq.asyncio.Context | None = None,
    ) -> None:
        self.timeout = None if timeout is None else check_seconds("timeout", timeout)
        super().__init__(xpub, context)
        for stream in streams:
            self._open().subscribe(subscription(stream))

    async def receive(self) -> wire.Prediction:
        """Return the next prediction; as :meth:`Subscriber.receive`."""
        socket = self._open()
        try:
            async with asyncio.timeout(self.timeout):
                frames = await socket.recv_multipart()
        except TimeoutError:
            raise silent(self.endpoint, self.timeout or 0.0) from None
        return unpack(frames[-1], wire.Prediction)

    async def __aiter__(self) -> AsyncIterator[wire.Prediction]:
        """Yield predictions for ever, or until none came in time."""
        while True:
            yield await self.receive()
