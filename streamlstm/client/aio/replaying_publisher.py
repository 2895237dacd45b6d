"""The ReplayingPublisher of client/replay/publisher.py for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from inspect import isawaitable
from os import PathLike
from types import TracebackType
from typing import Self, TypeAlias

import zmq
from numpy.typing import ArrayLike

from ... import wire
from ...engine.state_table import check_stream_id
from ...errors import StreamLSTMError
from ..connection import LINGER, TIMEOUT, Float32Array, check_seconds, observation, one_a_step
from ..replay.core import Attempt, Desk, NotYet, Result
from ..replay.sender import Told

Deliver: TypeAlias = Callable[[wire.StreamId, int, Float32Array], Awaitable[object] | object]


class _Changed(threading.Condition):
    """A condition for which coroutines of one event loop wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.event = asyncio.Event()
        self.waiting = 0
        self._loop = loop

    def notify_all(self) -> None:
        super().notify_all()
        if self.waiting:
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                self._loop.call_soon_threadsafe(self.event.set)


class AsyncReplayingPublisher:
    """Feeds a worker so that every observation is applied exactly once, from an event loop.

    Parameters, methods and errors are those of :class:`streamlstm.ReplayingPublisher`; calls are
    served in their order. It is made in a coroutine, of the loop that uses it.

    ``on_prediction`` is called in the event loop, and awaited if it is a coroutine function: the
    next prediction comes when it is done, and a prediction counts as delivered only then. It must
    not wait for this publisher itself. A call of :meth:`send` that is cancelled while it waits was
    not taken.

    What a call takes is written to the journal before it returns, into the system's memory and in
    the loop's own thread; with ``sync`` another thread waits for the disk.

    Examples
    --------
    >>> async with AsyncReplayingPublisher(journal="pump-7.journal") as publisher:  # doctest: +SKIP
    ...     for x in observations[await publisher.last_seq("pump-7") :]:
    ...         await publisher.send("pump-7", x)
    """

    def __init__(
        self,
        router: str = wire.ROUTER,
        *,
        on_prediction: Deliver | None = None,
        journal: str | PathLike[str] | None = None,
        sync: bool = False,
        max_rows: int = 100_000,
        max_bytes: int = 64 * 2**20,
        timeout: float = TIMEOUT,
        retry: float = 1.0,
        linger: float = LINGER,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        leave_out: bool = True,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        key: str | PathLike[str] | None = None,
        server: str | PathLike[str] | None = None,
    ) -> None:
        self.endpoint = router
        self.timeout = check_seconds("timeout", timeout)
        self._linger = check_seconds("linger", linger)
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise StreamLSTMError(
                "expected a publisher that is made in a coroutine, since predictions are delivered "
                "in its event loop; there is none here. ReplayingPublisher needs none"
            ) from None
        self._on_prediction = on_prediction
        self._changed = _Changed(self._loop)
        self._turn = asyncio.Lock()  # a call that waits holds back those behind it
        self._delivery: Future[None] | None = None
        self._desk = Desk(
            self._changed,
            None if on_prediction is None else self._deliver,
            router,
            journal,
            sync,
            max_rows,
            max_bytes,
            retry,
            max_message_bytes,
            leave_out,
            context,
            key,
            server,
        )

    @property
    def unconfirmed(self) -> int:
        """How many observations are kept, since the worker has not confirmed them."""
        return self._desk.rows

    @property
    def replayed(self) -> int:
        """How many observations were sent again, those too that a journal kept."""
        return self._desk.replayed

    async def last_seq(self, stream: wire.StreamId) -> int:
        """Return the number of a stream's last observation; as ReplayingPublisher.last_seq."""
        stream = check_stream_id(stream)
        return await self._wait(lambda: self._desk.last_seq(stream), self.timeout)

    async def send(self, stream: wire.StreamId, x: ArrayLike, *, time: float | None = None) -> int:
        """Take an observation, x[F], and return its number; as ReplayingPublisher.send."""
        return (await self._take([observation(stream, x, 0, time)]))[0]

    async def send_many(self, streams: Sequence[wire.StreamId], X: ArrayLike) -> list[int]:
        """Take observations of many streams, X[B, F], all or none; return their numbers."""
        return await self._take(one_a_step(streams, X))

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until all is confirmed; as ReplayingPublisher.flush."""
        seconds = self.timeout if timeout is None else check_seconds("timeout", timeout)
        await self._wait(self._desk.flush, seconds)

    async def close(self) -> None:
        """Wait for what is not confirmed, ``linger`` at most, and end; twice is harmless."""
        with self._changed:
            if not self._desk.end():
                return
            self._changed.notify_all()  # calls that wait for room learn that it is closed
        try:
            await self.flush(self._linger)
        finally:
            if self._delivery is not None:  # of somebody who took longer than that
                self._delivery.cancel()
            await asyncio.to_thread(self._desk.close)

    async def _take(self, steps: list[wire.Step]) -> list[int]:
        self._desk.check(steps)
        if not steps:
            return []
        async with self._turn:
            return await self._wait(lambda: self._desk.take(steps), self.timeout)

    async def _wait(self, attempt: Attempt[Result], seconds: float) -> Result:
        """Try again whenever something has changed, until it works."""
        if asyncio.get_running_loop() is not self._loop:
            raise StreamLSTMError(
                "this publisher is used by another event loop; expected one for each loop"
            )
        deadline = self._loop.time() + seconds
        changed = self._changed
        while True:
            with changed:
                changed.event.clear()
                got = attempt()
                if not isinstance(got, NotYet):
                    return got
                changed.waiting += 1
            try:
                async with asyncio.timeout_at(deadline):
                    await changed.event.wait()
            except TimeoutError:
                raise got.late(seconds) from None
            finally:
                with changed:
                    changed.waiting -= 1

    def _deliver(self, told: list[Told]) -> None:
        """Let the event loop deliver, and wait for it: in the replaying thread."""
        self._delivery = asyncio.run_coroutine_threadsafe(self._hand_over(told), self._loop)
        self._delivery.result()

    async def _hand_over(self, told: list[Told]) -> None:
        assert self._on_prediction is not None
        for stream, seq, y in told:
            outcome = self._on_prediction(stream, seq, y)
            if isawaitable(outcome):
                await outcome

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
