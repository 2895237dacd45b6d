"""AsyncEngine: an engine for asyncio, which batches the calls of one turn of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError, StreamLSTMError
from .engine import Engine
from .ids import StreamId, check_stream_id
from .prediction import Prediction, Predictions, ResultLayout

Float32Array = NDArray[np.float32]


class _Call(NamedTuple):
    """An observation and the future of its result, float32[W]."""

    future: asyncio.Future[Float32Array]
    stream: StreamId
    x: NDArray[Any]
    seq: Any
    time: Any


class AsyncEngine:
    """Batches the steps that coroutines request in one turn of the event loop.

    Each caller gets its own prediction or its own error: a bad observation of one caller changes
    nothing for another. Observations of one stream are applied in the order of the calls. A batch
    never waits for more calls: it is stepped in the same turn, in the loop's own thread, and takes
    as long as its arithmetic does.

    Parameters
    ----------
    engine : Engine
        It may be used directly as well, by other threads too. Its own methods do not wait for
        calls that are pending here.

    Raises
    ------
    ModelError
        If ``engine`` is no Engine.
    StreamLSTMError
        By every method, if the event loop is not that of the first call: one AsyncEngine belongs to
        one loop. Several of them may share an engine.

    Notes
    -----
    **Cancelling.** Once a call of :meth:`step` has begun, its observation is applied (or refused)
    even if its caller is cancelled while it waits. Only a task that is cancelled before it began to
    run applies nothing.

    Examples
    --------
    >>> engine = AsyncEngine(Engine(Model.load("model.safetensors")))  # doctest: +SKIP
    >>> y = await engine.step("pump-7", [21.3, 0.82])  # doctest: +SKIP
    """

    def __init__(self, engine: Engine) -> None:
        if not isinstance(engine, Engine):
            raise ModelError(
                f"engine: expected an Engine, got {type(engine).__name__}; write "
                "AsyncEngine(Engine(model))"
            )
        self.engine = engine
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: list[_Call] = []

    async def step(
        self, stream: StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> NDArray[Any]:
        """Advance one stream by one observation; as :meth:`Engine.step`.

        Parameters
        ----------
        stream, x, seq, time
            As for :meth:`Engine.step`; ``x`` may be changed as soon as the call has begun.

        Returns
        -------
        float32[O]
            The prediction, in the unit of the series.

        Raises
        ------
        StreamLSTMError
            As :meth:`Engine.step`. Whatever is raised, no stream has changed.
        """
        result = await self._result(stream, x, seq, time)
        return ResultLayout.of(self.engine.model).outputs_of(result)

    async def observe(
        self, stream: StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> Prediction:
        """Advance one stream by one observation; as :meth:`Engine.observe`."""
        layout = ResultLayout.of(self.engine.model)
        result = await self._result(stream, x, seq, time)
        return Prediction(layout.with_offsets(result), layout)

    def _result(
        self, stream: StreamId, x: ArrayLike, seq: Any, time: Any
    ) -> asyncio.Future[Float32Array]:
        """Add a call to the batch of this turn; return the future of its result, float32[W]."""
        loop = self._check_loop()
        row = self.engine._schema.hold(x)
        call = _Call(loop.create_future(), check_stream_id(stream), row, seq, time)
        if not self._pending:
            loop.call_soon(self._flush)
        self._pending.append(call)
        return call.future

    async def step_many(
        self,
        streams: Sequence[StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> NDArray[Any]:
        """Advance many streams, all or none; as :meth:`Engine.step_many`, after pending calls."""
        self._flush_now()
        return self.engine.step_many(streams, X, seqs=seqs, times=times)

    async def observe_many(
        self,
        streams: Sequence[StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> Predictions:
        """Advance many streams; as :meth:`Engine.observe_many`, after pending calls."""
        self._flush_now()
        return self.engine.observe_many(streams, X, seqs=seqs, times=times)

    async def reset(self, stream: StreamId) -> None:
        """Reset a stream's state; as :meth:`Engine.reset`, after pending calls."""
        self._flush_now()
        self.engine.reset(stream)

    async def forget(self, stream: StreamId) -> None:
        """Delete a stream and free its slot; as :meth:`Engine.forget`, after pending calls."""
        self._flush_now()
        self.engine.forget(stream)

    async def export_stream(self, stream: StreamId) -> bytes:
        """Return all state of a stream; as :meth:`Engine.export_stream`, after pending calls."""
        self._flush_now()
        return self.engine.export_stream(stream)

    async def import_stream(self, stream: StreamId, blob: bytes) -> None:
        """Give a stream a state; as :meth:`Engine.import_stream`, after pending calls."""
        self._flush_now()
        self.engine.import_stream(stream, blob)

    def _check_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise StreamLSTMError(
                "this AsyncEngine is used by another event loop; make one for each loop, they may "
                "share an Engine"
            )
        return loop

    def _flush_now(self) -> None:
        self._check_loop()
        self._flush()

    def _flush(self) -> None:
        """Step all pending calls as one block."""
        calls, self._pending = self._pending, []
        if not calls:  # another method has flushed them
            return
        futures, streams, rows, seqs, times = zip(*calls, strict=True)
        try:
            results, errors = self.engine.result_each(
                streams,
                np.stack(rows),
                seqs=None if all(type(seq) is int and seq == 0 for seq in seqs) else seqs,
                times=None if all(time is None for time in times) else times,
            )
        except Exception as error:  # a bug in the engine: every caller gets it
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        for n, future in enumerate(futures):
            if future.done():  # its caller was cancelled
                continue
            if n in errors:
                future.set_exception(errors[n])
            else:
                future.set_result(results[n].copy())
