"""The clients of client.py for asyncio: many coroutines may await on one of them at once.

The socket of an AsyncClient is a plain one that never waits; the event loop watches its file
descriptor. zmq.asyncio makes futures of its own for every message, which costs more than all else.
"""

from __future__ import annotations

import asyncio
import math
import time as clock
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import zmq
import zmq.asyncio
from numpy.typing import ArrayLike

from ... import wire
from ...engine.state_table import check_stream_id
from ...errors import EndpointError, StreamLSTMError, WorkerTimeoutError
from ..batching import Backlog, Pending, lost, messages
from ..connection import (
    LINGER,
    TIMEOUT,
    Float32Array,
    KeyPath,
    check_seconds,
    closed,
    connect,
    done,
    milliseconds,
    observation,
    observations,
    pack,
    parts,
    prediction,
    predictions,
    published,
    silent,
    subscriptions,
    unsent,
)
from ..keys import credentials
from ..pipeline import WINDOW, Question, Questions, Read, Result, check_window

SocketType = TypeVar("SocketType", bound=zmq.Socket[Any])


class _AsyncConnection(Generic[SocketType]):
    """A socket of one event loop, and its end."""

    _kind: int
    _what: str
    _make: type[Any]

    def __init__(
        self,
        endpoint: str,
        context: zmq.Context[Any] | None,
        linger: float = 0.0,
        key: KeyPath = None,
        server: KeyPath = None,
        **options: int,
    ) -> None:
        self.endpoint = endpoint
        keys = credentials(key, server)
        self._own_context = context is None
        self._context: zmq.Context[Any] = zmq.Context() if context is None else context
        self._loop: asyncio.AbstractEventLoop | None = None
        socket: Any = self._context.socket(self._kind, socket_class=self._make)
        self._socket: SocketType | None = socket
        try:
            self._handshake = connect(
                self._context, socket, endpoint, keys, LINGER=milliseconds(linger), **options
            )
        except EndpointError:
            self._socket = None
            self._end_context()
            raise

    def _open(self) -> SocketType:
        if self._socket is None:
            raise closed(self._what)
        return self._socket

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running event loop, which must be the one of the first use."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise StreamLSTMError(
                f"this {self._what} is used by another event loop; expected one for each loop"
            )
        return loop

    async def close(self) -> None:
        """Close the connection. Closing twice is harmless."""
        if self._socket is not None:
            self._handshake.close()
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


class AsyncClient(_AsyncConnection[zmq.Socket[bytes]]):
    """Asks a worker; questions of many coroutines are under way at once.

    Parameters, methods and errors are those of :class:`streamlstm.Client`. Questions leave
    in the order in which they are asked, and the worker applies them in that order. Those beyond
    ``window`` wait in the client, in their order, for at most ``timeout``.

    Examples
    --------
    >>> async with AsyncClient() as client:  # doctest: +SKIP
    ...     y = await client.step("pump-7", [21.3, 0.82])
    ...     Y = await asyncio.gather(*(client.submit(f"pump-{n}", x) for n, x in enumerate(X)))
    """

    _kind = zmq.DEALER
    _what = "client"
    _make = zmq.Socket

    def __init__(
        self,
        router: str = wire.ROUTER,
        *,
        timeout: float = TIMEOUT,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        window: int = WINDOW,
        key: KeyPath = None,
        server: KeyPath = None,
        context: zmq.Context[Any] | None = None,
    ) -> None:
        self.timeout = check_seconds("timeout", timeout)
        check_window(window)
        super().__init__(router, context, key=key, server=server, IMMEDIATE=1)
        self._limit = max_message_bytes
        self._questions = Questions(self._open(), router, window, why=self._handshake.why)
        self._next_turn: asyncio.Handle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._due = math.inf

    async def step(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> Float32Array:
        """Advance a stream by one observation, x[F] to float32[O]; as :meth:`Client.step`."""
        return await self.submit(stream, x, seq=seq, time=time)

    async def step_many(
        self, streams: Sequence[wire.StreamId], X: ArrayLike, *, seqs: Sequence[int] | None = None
    ) -> Float32Array:
        """Advance many streams in one message, X[B, F] to float32[B, O]; all of them or none."""
        return await self.submit_many(streams, X, seqs=seqs)

    def submit(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> asyncio.Future[Float32Array]:
        """Ask as :meth:`step` does; a future to await later, of float32[O].

        It does not wait itself: a question beyond ``window`` waits in the client. One whose future
        is cancelled before it was sent is left out; one that was sent is applied all the same.
        """
        return self._ask(observation(stream, x, seq, time), prediction)

    def submit_many(
        self, streams: Sequence[wire.StreamId], X: ArrayLike, *, seqs: Sequence[int] | None = None
    ) -> asyncio.Future[Float32Array]:
        """Ask as :meth:`step_many` does; a future to await later, of float32[B, O]."""
        return self._ask(observations(streams, X, seqs), predictions)

    async def reset(self, stream: wire.StreamId) -> None:
        """Empty a stream's memory."""
        await self._ask(wire.Reset(check_stream_id(stream)), done)

    async def export_stream(self, stream: wire.StreamId) -> bytes:
        """Return all that is remembered of a stream."""
        blob: bytes = await self._ask(wire.Export(check_stream_id(stream)), done)
        return blob

    async def import_stream(self, stream: wire.StreamId, blob: bytes) -> None:
        """Give a stream the state that :meth:`export_stream` returned."""
        await self._ask(wire.Import(check_stream_id(stream), blob), done)

    async def forget(self, stream: wire.StreamId) -> None:
        """Drop a stream; should it come again, it is a new one."""
        await self._ask(wire.Forget(check_stream_id(stream)), done)

    async def reload(self, anew: bool = False) -> dict[str, Any]:
        """Let the worker take its model file anew; as :meth:`Client.reload`."""
        done_with: dict[str, Any] = await self._ask(wire.Reload(bool(anew)), done)
        return done_with

    async def list_streams(
        self, prefix: str | None = None
    ) -> AsyncIterator[tuple[wire.StreamId, int]]:
        """Yield all streams and their last numbers; as :meth:`Client.list_streams`."""
        after: wire.StreamId | None = None
        while page := await self._ask(wire.List(prefix, after, wire.MAX_LISTED), done):
            for stream, seq in page:
                yield stream, seq
            after = page[-1][0]

    async def last_seqs(self, streams: Sequence[wire.StreamId]) -> list[int]:
        """Return the last number of each stream; as :meth:`Client.last_seqs`."""
        seqs: list[int] = []
        for part in parts(streams):
            seqs += await self._ask(wire.Last(part), done)
        return seqs

    async def info(self) -> dict[str, Any]:
        """Return what the worker runs and what it has done."""
        info: dict[str, Any] = await self._ask(wire.Info(), done)
        return info

    async def ping(self) -> float:
        """Return the seconds that a question and its answer take."""
        start = clock.perf_counter()
        await self._ask(wire.Ping(0), done)
        return clock.perf_counter() - start

    async def close(self) -> None:
        """Close the connection; questions still under way get an error."""
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            for handle in (self._next_turn, self._deadline):
                if handle is not None:
                    handle.cancel()
        self._questions.end()
        await super().close()

    def _ask(self, message: wire.Request, read: Read[Result]) -> asyncio.Future[Result]:
        frame = pack(message, self._limit)
        socket = self._open()
        known = self._loop
        loop = self._own_loop()
        if known is None:
            loop.add_reader(socket.fileno(), self._turn)
        answer: asyncio.Future[Result] = loop.create_future()
        self._questions.add([Question(answer, frame, read, self.timeout)])
        if self._next_turn is None:  # all that is asked until then is sent in one turn
            self._next_turn = loop.call_soon(self._turn)
        return answer

    def _turn(self) -> None:
        """Send and receive; see to it that the next turn comes when there is something to do."""
        assert self._loop is not None
        questions = self._questions
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        questions.turn()
        # The descriptor tells of changes only, and sending may have swallowed one.
        if questions.ready():
            self._next_turn = self._loop.call_soon(self._turn)
        if questions.due < self._due:
            if self._deadline is not None:
                self._deadline.cancel()
            self._due = questions.due
            left = max(0.0, questions.due - clock.monotonic())
            self._deadline = self._loop.call_later(left, self._on_deadline)

    def _on_deadline(self) -> None:
        self._deadline, self._due = None, math.inf
        self._turn()


class AsyncPublisher(_AsyncConnection[zmq.Socket[bytes]]):
    """Feeds a worker; parameters, methods and errors are those of :class:`streamlstm.Publisher`.

    A call that is cancelled while it waits for the socket was not sent.
    """

    _kind = zmq.PUSH
    _what = "publisher"
    _make = zmq.Socket

    def __init__(
        self,
        pull: str = wire.PULL,
        *,
        timeout: float = TIMEOUT,
        linger: float = LINGER,
        delay: float = 0.0,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        key: KeyPath = None,
        server: KeyPath = None,
        context: zmq.Context[Any] | None = None,
    ) -> None:
        self.timeout = check_seconds("timeout", timeout)
        linger = check_seconds("linger", linger)
        self._delay = check_seconds("delay", delay)
        super().__init__(pull, context, linger, key, server, IMMEDIATE=1)
        self._limit = max_message_bytes
        self._backlog = Backlog(max_message_bytes)
        self._sending = asyncio.Lock()
        self._writable: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._lost = 0
        self._closing = self._ended = False

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

    async def flush(self) -> None:
        """Send all that waits; as :meth:`Publisher.flush`."""
        self._open()
        self._own_loop()
        await self._drain(None)
        self._tell()

    async def close(self) -> None:
        """Send what waits, then close the connection; as :meth:`Publisher.close`."""
        self._closing = True
        if self._delay and self._socket is not None:
            await self._drain(None)
        self._ended = True
        self._wake()  # who waits for the socket learns that it is closed
        if self._alarm is not None:
            self._alarm.cancel()
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        async with self._sending:
            await super().close()
        self._tell()

    async def _send(self, message: wire.Step | wire.Steps) -> None:
        pending = Pending(message, self._limit)
        if self._closing:
            raise closed(self._what)
        loop = self._own_loop()
        self._tell(also=True)
        self._backlog.append(pending)
        if self._delay and not self._backlog.full:
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
        self._tell()

    async def _drain(self, mine: Pending | None) -> None:
        """Send all that waits, unless another call has taken ``mine`` along."""
        async with self._sending:
            if mine is not None and mine.done:
                return
            taken = self._backlog.take()
            try:
                for frame, group in messages(taken, self._limit):
                    await self._put(frame)
                    for pending in group:
                        pending.done = True
            except TimeoutError:
                why = self._handshake.why()
                self._give_up(taken, lambda: unsent(self.endpoint, self.timeout, "pull", why))
            except (zmq.ZMQError, StreamLSTMError) as error:
                told = error
                self._give_up(taken, lambda: told)
            except BaseException:  # cancelled: what is left goes with the next call
                self._backlog.put_back([p for p in taken if not p.done])
                if self._delay and self._backlog and self._alarm is None:
                    self._alarm = self._own_loop().call_later(self._delay, self._on_alarm)
                raise

    async def _put(self, frame: bytes) -> None:
        """Send a message as soon as the socket takes it."""
        deadline: float | None = None
        while True:
            if self._ended:
                raise closed(self._what)
            socket = self._open()
            try:
                socket.send(frame, zmq.NOBLOCK)
                return
            except zmq.Again:
                loop = self._own_loop()
            deadline = loop.time() + self.timeout if deadline is None else deadline
            # The descriptor tells of changes only: what happened until now is asked for.
            if not int(socket.get(zmq.EVENTS)) & zmq.POLLOUT:
                await self._wait_for_room(loop, socket.fileno(), deadline)

    async def _wait_for_room(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, deadline: float
    ) -> None:
        changed = self._writable = loop.create_future()
        loop.add_reader(descriptor, self._wake)
        try:
            async with asyncio.timeout_at(deadline):
                await changed
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
        while self._backlog:  # also what came while the socket took nothing
            await self._drain(None)

    def _give_up(self, taken: Sequence[Pending], error: Callable[[], Exception]) -> None:
        for pending in taken:
            if not pending.done:
                pending.error, pending.done = error(), True
                self._lost += pending.rows if self._delay else 0

    def _tell(self, also: bool = False) -> None:
        """Raise what nobody was told yet."""
        count, self._lost = self._lost, 0
        if count:
            raise lost(self.endpoint, self.timeout, count, also)


class AsyncSubscriber(_AsyncConnection[zmq.asyncio.Socket]):
    """Listens to the predictions of a worker; as :class:`streamlstm.Subscriber`.

    Examples
    --------
    >>> async with AsyncSubscriber(streams=["pump-"]) as subscriber:  # doctest: +SKIP
    ...     async for prediction in subscriber:
    ...         print(prediction.stream, prediction.values)
    """

    _kind = zmq.SUB
    _what = "subscriber"
    _make = zmq.asyncio.Socket

    def __init__(
        self,
        xpub: str = wire.XPUB,
        streams: Sequence[wire.StreamId] = ("",),
        *,
        timeout: float | None = None,
        key: KeyPath = None,
        server: KeyPath = None,
        context: zmq.Context[Any] | None = None,
    ) -> None:
        self.timeout = None if timeout is None else check_seconds("timeout", timeout)
        topics = subscriptions(streams)
        super().__init__(xpub, context, key=key, server=server)
        for topic in topics:
            self._open().subscribe(topic)

    async def receive(self) -> wire.Prediction:
        """Return the next prediction; as :meth:`Subscriber.receive`."""
        try:
            async with asyncio.timeout(self.timeout):
                while not isinstance(heard := await self._receive(), wire.Prediction):
                    pass
                return heard
        except TimeoutError:
            raise self._silent() from None

    async def receive_event(self) -> wire.Prediction | wire.Done:
        """Return what is published next; as :meth:`Subscriber.receive_event`."""
        try:
            async with asyncio.timeout(self.timeout):
                return await self._receive()
        except TimeoutError:
            raise self._silent() from None

    async def _receive(self) -> wire.Prediction | wire.Done:
        while (heard := published((await self._open().recv_multipart())[-1])) is None:
            pass
        return heard

    def _silent(self) -> WorkerTimeoutError:
        return silent(self.endpoint, self.timeout or 0.0, self._handshake.why())

    async def __aiter__(self) -> AsyncIterator[wire.Prediction]:
        """Yield predictions for ever; raises WorkerTimeoutError if none came in time."""
        while True:
            yield await self.receive()
