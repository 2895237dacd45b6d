"""How a gateway answers requests that are not about one stream of one worker alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import wire
from ...client.fleet.division import select, single
from ...engine.partitions import partitions_of
from ...errors import ProtocolError
from .all_workers import barrier, info, list_streams, reload
from .joined import join_predictions
from .replies import PAUSE, doubt, error_of, in_doubt
from .tasks import Message, Task
from .workers import Workers

_BUSY_SECONDS = 1.0  # for which a worker may be busy before the client is told


class Requests:
    """Makes the tasks that answer requests.

    Parameters
    ----------
    workers : Workers
    about : callable
        Returns what INFO says of this process: ``pid``, ``connections`` and the like.
    """

    def __init__(self, workers: Workers, about: Callable[[], dict[str, Any]]) -> None:
        self._workers, self._about = workers, about
        self.table = wire.FleetTable.new()  # that of this address, as clients see it

    def task(self, request: wire.Request, frame: bytes, pulled: bool, received: int) -> Task:
        """Return the task for a request that has come as ``frame``, after so many observations."""
        match request:
            case wire.Steps():
                return self._pulled(request) if pulled else self._steps(request, frame)
            case wire.Ping(nonce):
                return _reply(wire.Done(wire.Kind.PING, None, nonce))
            case wire.Table():
                return _reply(wire.Done(wire.Kind.TABLE, None, self.table.to_value()))
            case wire.Barrier():
                return barrier(self._workers, request, received)
            case wire.Info():
                return info(self._workers, frame, self._about())
            case wire.List():
                return list_streams(self._workers, request, frame)
            case wire.Reload():
                return reload(self._workers, frame)
            case wire.Last() | wire.Claim():
                return self._columns(request)
        return self._single(request, frame)

    # --- of one stream ---

    def _single(self, request: Any, frame: bytes) -> Task:
        """Pass a request about one stream to its worker."""
        again = isinstance(request, wire.Export) or getattr(request, "seq", 0) > 0
        partition = partitions_of([request.stream])
        since = time.monotonic()
        while True:
            worker = int(self._workers.owners(partition)[0])
            if worker < 0:
                yield PAUSE
                continue
            (reply,) = yield [Message(worker, frame)]
            if reply is None and not again:
                return in_doubt(request.stream, getattr(request, "seq", None))
            if reply is not None:
                error = error_of(reply)
                if not self._may_repeat(error, since):
                    return reply
                self._learn(error, worker)
            yield PAUSE

    def _may_repeat(self, error: wire.Error | None, since: float) -> bool:
        """Tell whether a request that was refused is sent again before its client is told."""
        if error is None or error.code not in ("moved", "busy"):
            return False
        return error.code == "moved" or time.monotonic() < since + _BUSY_SECONDS

    def _learn(self, error: wire.Error | None, worker: int) -> None:
        if error is not None and error.code == "moved":
            assert error.number is not None
            assert error.owner is not None
            self._workers.moved(error.number, error.owner, worker)

    # --- of many streams ---

    def _rows_by_worker(
        self, partitions: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> dict[int, list[int]]:
        """Return rows by the worker that has them; nothing while one of them has none."""
        owners = self._workers.owners(partitions[rows])
        if (owners < 0).any():
            return {}
        return {int(worker): rows[owners == worker].tolist() for worker in set(owners.tolist())}

    def _steps(self, request: wire.Steps, frame: bytes) -> Task:
        """Divide a STEPS over the workers of its streams, and join the predictions."""
        partitions, since = partitions_of(request.streams), time.monotonic()
        left, count = np.arange(len(request.streams)), len(request.streams)
        parts: list[tuple[list[int], wire.Predictions]] = []
        refused: list[wire.Error] = []
        while len(left):
            by_worker = self._rows_by_worker(partitions, left)
            if not by_worker:
                yield PAUSE
                continue
            whole = len(by_worker) == 1 and len(left) == count
            frames = [
                frame if whole else wire.encode(select(request, rows))
                for rows in by_worker.values()
            ]
            replies = yield [Message(*each) for each in zip(by_worker, frames, strict=True)]
            again: list[int] = []
            for (worker, rows), reply in zip(by_worker.items(), replies, strict=True):
                if reply is None:
                    numbered = request.seqs is not None and all(request.seqs[n] for n in rows)
                    again += rows if numbered else []
                    refused += [] if numbered else [doubt(request.streams[rows[0]], None)]
                    continue
                answer = wire.decode_reply(reply)
                if isinstance(answer, wire.Predictions):
                    if whole:
                        return reply
                    parts.append((rows, answer))
                elif isinstance(answer, wire.Error) and self._may_repeat(answer, since):
                    self._learn(answer, worker)
                    again += rows
                elif isinstance(answer, wire.Error):
                    refused.append(answer)
            left = np.array(sorted(again), np.int64)
            if again and not refused:
                yield PAUSE
        if not refused:
            return wire.encode(join_predictions(request, parts))
        error = refused[0]
        if parts:
            error = error._replace(
                message=f"{error.message}; rows of this message that other workers of the fleet "
                "have were applied"
            )
        return wire.encode(error)

    def _pulled(self, request: wire.Steps) -> Task:
        """Apply the rows of a STEPS of the PULL socket, each by itself where they are refused."""
        partitions = partitions_of(request.streams)
        left = np.arange(len(request.streams))
        first: bytes | None = None
        while len(left):
            by_worker = self._rows_by_worker(partitions, left)
            if not by_worker:
                yield PAUSE
                continue
            replies = yield [
                Message(worker, wire.encode(select(request, rows)))
                for worker, rows in by_worker.items()
            ]
            again: list[int] = []
            for (worker, rows), reply in zip(by_worker.items(), replies, strict=True):
                error = None if reply is None else error_of(reply)
                if error is not None and error.code in ("moved", "busy"):
                    self._learn(error, worker)
                    again += rows
                elif error is not None and len(rows) > 1:
                    found = yield from self._one_by_one(request, rows)
                    first = first or found
                elif error is not None:
                    first = first or reply
            left = np.array(sorted(again), np.int64)
            if again:
                yield PAUSE
        return first

    def _one_by_one(self, request: wire.Steps, rows: Sequence[int]) -> Task:
        first: bytes | None = None
        for row in rows:
            step = single(request, row)
            reply = yield from self._single(step, wire.encode(step))
            if reply is not None and error_of(reply) is not None:
                first = first or reply
        return first

    def _columns(self, request: wire.Last | wire.Claim) -> Task:
        """Ask the workers of streams for a value of each."""
        partitions, since = partitions_of(request.streams), time.monotonic()
        left = np.arange(len(request.streams))
        values: list[Any] = [None] * len(left)
        full = False
        kind = wire.Kind.CLAIM if isinstance(request, wire.Claim) else wire.Kind.LAST
        while len(left):
            by_worker = self._rows_by_worker(partitions, left)
            if not by_worker:
                yield PAUSE
                continue
            replies = yield [
                Message(worker, wire.encode(request._replace(streams=_of(request.streams, rows))))
                for worker, rows in by_worker.items()
            ]
            again: list[int] = []
            for (worker, rows), reply in zip(by_worker.items(), replies, strict=True):
                answer = None if reply is None else wire.decode_reply(reply)
                if isinstance(answer, wire.Done):
                    full |= answer.full
                    for row, value in zip(rows, answer.value, strict=True):
                        values[row] = value
                    continue
                if isinstance(answer, wire.Error):
                    if not self._may_repeat(answer, since):
                        return reply
                    self._learn(answer, worker)
                again += rows
            left = np.array(sorted(again), np.int64)
            if again:
                yield PAUSE
        return wire.encode(wire.Done(kind, None, values, full))


def _reply(done: wire.Done) -> Task:
    yield from ()
    return wire.encode(done)


def refuse(error: ProtocolError) -> Task:
    """Return the task that answers what is no valid request."""
    yield from ()
    return wire.encode(wire.Error(error.stream, error.seq, error.code, str(error)))


def _of(values: Sequence[Any], rows: Sequence[int]) -> list[Any]:
    return [values[n] for n in rows]
