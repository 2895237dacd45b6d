"""AsyncClient: sends requests to a worker from an event loop; many may be in flight at once.

Its socket is a plain one that never waits; the event loop watches its file descriptor. The sockets
of zmq.asyncio make futures of their own for every message, which costs more than all else.
"""

from __future__ import annotations

import asyncio
import math
import time as clock
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import zmq
from numpy.typing import ArrayLike, NDArray

from ... import wire
from ...engine.ids import check_prefix, check_stream_id
from ...engine.prediction import Prediction, Predictions
from ...engine.validation import check_flag
from ...errors import RemoteError
from ..base import BaseClient
from ..fleet.queue import FleetQueue
from ..fleet.whole import whole_info, whole_page
from ..observing import decode_all_observed, decode_observed
from ..precision import Message
from ..replies import Decoder, Result, decode_done, decode_prediction, decode_predictions
from ..request_queue import RequestQueue
from ..requests import check_blob, encode, id_chunks, label, observation, observations
from .connection import AsyncConnection


class AsyncClient(BaseClient, AsyncConnection[zmq.Socket[bytes]]):
    """Sends requests to a worker; those of many coroutines are in flight at once.

    Parameters, methods and errors are those of :class:`streamlstm.Client`; the methods are
    coroutines, and ``submit`` and ``submit_many`` return futures. Requests are sent in the order of
    the calls, and the worker applies them in that order. Those beyond ``window`` wait in the
    client, in their order, for at most ``timeout``.

    Examples
    --------
    >>> async with AsyncClient() as client:  # doctest: +SKIP
    ...     y = await client.step("pump-7", [21.3, 0.82])
    ...     Y = await asyncio.gather(*(client.submit(f"pump-{n}", x) for n, x in enumerate(X)))
    """

    def _setup(self) -> None:
        failure = self._handshake.failure
        self._queue: RequestQueue | FleetQueue
        if self._seeds is None:
            self._queue = RequestQueue(self._open(), self.endpoint, self._window, failure=failure)
        else:
            self._queue = self._fleet = FleetQueue(
                self._context,
                self._seeds,
                self._keys,
                self._window,
                lambda future: not future.done(),
                self._watch,
            )
        self._next_turn: asyncio.Handle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._due = math.inf

    async def step(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> NDArray[Any]:
        """Advance a stream by one observation, x float32[F]; return the prediction, float32[O].

        Parameters and errors are those of :meth:`Client.step`: ``seq`` is the number of the
        observation in the stream, 0 if it is not numbered; ``time`` its event time in seconds.
        """
        return await self._observed(decode_prediction, observation, stream, x, seq, time)

    async def observe(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> Prediction:
        """Advance a stream by one observation; as :meth:`Client.observe`."""
        return await self._observed(decode_observed, observation, stream, x, seq, time)

    async def observe_many(
        self,
        streams: Sequence[wire.StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> Predictions:
        """Advance many streams in one message; as :meth:`Client.observe_many`."""
        return await self._observed(decode_all_observed, observations, streams, X, seqs, times)

    async def step_many(
        self,
        streams: Sequence[wire.StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> NDArray[Any]:
        """Advance many streams in one message, X[B, F] to float32[B, O]; all of them or none.

        Parameters and errors are those of :meth:`Client.step_many`.
        """
        return await self._observed(decode_predictions, observations, streams, X, seqs, times)

    def submit(
        self, stream: wire.StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> asyncio.Future[NDArray[Any]]:
        """Send the request of :meth:`step`; return a future of float32[O], to await later.

        The call itself never waits: a request beyond ``window`` waits in the client. A request
        whose future is cancelled before it was sent is left out; one that was sent is still
        applied.
        """
        message = self._precision.build(observation, stream, x, seq, time)
        return self._submit(message, decode_prediction)

    def submit_many(
        self,
        streams: Sequence[wire.StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> asyncio.Future[NDArray[Any]]:
        """Send the request of :meth:`step_many`; return a future of float32[B, O]."""
        message = self._precision.build(observations, streams, X, seqs, times)
        return self._submit(message, decode_predictions)

    async def learn(self, stream: wire.StreamId, seq: int, y: ArrayLike) -> None:
        """Let a stream learn from labels; as :meth:`Client.learn`."""
        await self._observed(decode_done, label, stream, seq, y)

    async def reset(self, stream: wire.StreamId) -> None:
        """Clear the state of a stream."""
        await self._submit(wire.Reset(check_stream_id(stream)), decode_done)

    async def export_stream(self, stream: wire.StreamId) -> bytes:
        """Return the whole state of a stream."""
        return await self._submit(wire.Export(check_stream_id(stream)), decode_done)

    async def import_stream(self, stream: wire.StreamId, blob: bytes) -> None:
        """Set the state of a stream to what :meth:`export_stream` returned."""
        await self._submit(wire.Import(check_stream_id(stream), check_blob(blob)), decode_done)

    async def forget(self, stream: wire.StreamId) -> None:
        """Remove a stream; if it comes again, it is a new one."""
        await self._submit(wire.Forget(check_stream_id(stream)), decode_done)

    async def reload(self, anew: bool = False) -> dict[str, Any]:
        """Let the worker load its model file again; as :meth:`Client.reload`."""
        answer = await self._submit(wire.Reload(check_flag("anew", anew)), decode_done)
        return answer if self._seeds is None else next(iter(answer.values()))

    async def list_streams(
        self, prefix: str | None = None
    ) -> AsyncIterator[tuple[wire.StreamId, int]]:
        """Yield all streams and their last sequence numbers; as :meth:`Client.list_streams`."""
        prefix = None if prefix is None else check_prefix(prefix)
        after: wire.StreamId | None = None
        while page := await self._page(wire.List(prefix, after, wire.MAX_LISTED)):
            for stream, seq in page:
                yield stream, seq
            after = page[-1][0]

    async def _page(self, message: wire.List) -> Sequence[Sequence[Any]]:
        page = await self._submit(message, decode_done)
        if self._seeds is None:
            return page  # type: ignore[no-any-return]
        again = await self._submit(message, decode_done)  # as Administration does
        return whole_page([*page.values(), *again.values()])

    async def last_seqs(self, streams: Sequence[wire.StreamId]) -> list[int]:
        """Return the last sequence number of each stream, 0 if it is unknown or not numbered."""
        seqs: list[int] = []
        for ids in id_chunks(streams):
            seqs += await self._submit(wire.Last(ids), decode_done)
        return seqs

    async def info(self) -> dict[str, Any]:
        """Return the worker's model and counters; as :meth:`Client.info`."""
        answer = await self._submit(wire.Info(), decode_done)
        return answer if self._seeds is None else whole_info(answer)

    async def ping(self) -> float:
        """Return the seconds of one round trip."""
        start = clock.perf_counter()
        await self._submit(wire.Ping(0), decode_done)
        return clock.perf_counter() - start

    async def close(self) -> None:
        """Close the connection; requests in flight fail. Closing twice is harmless."""
        if self._forked is not None:
            return
        if self._socket is not None and self._loop is not None:
            if self._seeds is None:
                self._watch(self._socket.fileno(), False)
            for handle in (self._next_turn, self._deadline):
                if handle is not None:
                    handle.cancel()
        self._queue.fail_all()
        await super().close()

    async def _observed(
        self, decode: Decoder[Result], make: Callable[..., Message], *arguments: Any
    ) -> Result:
        """Send observations or labels; once more where the worker needs them as float64."""
        message = self._precision.build(make, *arguments)
        try:
            return await self._submit(message, decode)
        except RemoteError as error:
            again = self._precision.again(error, message, make, *arguments)
            if again is None:
                raise
        return await self._submit(again, decode)

    def _submit(self, message: wire.Request, decode: Decoder[Result]) -> asyncio.Future[Result]:
        frame = encode(message, self._limit)
        socket = self._open()
        known = self._loop
        loop = self._own_loop()
        if known is None and self._seeds is None:
            self._watch(socket.fileno(), True)
        reply: asyncio.Future[Result] = loop.create_future()
        queue: Any = self._queue
        queue.add([queue.make(reply, message, frame, decode, self.timeout)])
        if self._next_turn is None:  # all requests until then are sent in one turn
            self._next_turn = loop.call_soon(self._turn)
        return reply

    def _watch(self, descriptor: int, comes: bool) -> None:
        """Let the event loop watch a socket, or watch it no more."""
        assert self._loop is not None
        if comes:
            self._loop.add_reader(descriptor, self._turn)
        else:
            self._loop.remove_reader(descriptor)

    def _turn(self) -> None:
        """Send and receive; schedule the next turn if there is something to do."""
        assert self._loop is not None
        queue = self._queue
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        queue.process()
        # The descriptor signals changes only, and sending may have swallowed one.
        if queue.is_ready():
            self._next_turn = self._loop.call_soon(self._turn)
        if queue.due < self._due:
            if self._deadline is not None:
                self._deadline.cancel()
            self._due = queue.due
            left = max(0.0, queue.due - clock.monotonic())
            self._deadline = self._loop.call_later(left, self._on_deadline)

    def _on_deadline(self) -> None:
        self._deadline, self._due = None, math.inf
        self._turn()
