"""Sends observations to a worker or a fleet so that a request that is repeated is applied once."""

from __future__ import annotations

import time as clock
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from ... import wire
from ...client.aio.client import AsyncClient
from ...client.fields import as_fields
from ...errors import RemoteError
from ..where import Where
from .bodies import Observation

_REMEMBERED = 100_000  # streams whose last prediction is kept
_LOOK = 1.0  # seconds between two looks whether another worker has come
_ASK = 5.0  # seconds for which the names of a model's inputs are known


class Feed:
    """What the gateway asks of the worker, for all of its clients.

    Parameters
    ----------
    where : Where
    timeout : float
        Seconds that a worker has to answer.
    """

    def __init__(self, where: Where, timeout: float) -> None:
        self._where, self._timeout = where, timeout
        self._client: AsyncClient | None = None
        self._stamp: Any = None
        self._looked = 0.0
        self._last: OrderedDict[wire.StreamId, dict[str, Any]] = OrderedDict()
        self._inputs: list[str] = []
        self._asked = -_ASK

    async def client(self) -> AsyncClient:
        """Return what is connected to the worker; to another one if the file names that now.

        Raises
        ------
        EndpointError
            If there is no such file.
        """
        now = clock.monotonic()
        if self._client is not None and now - self._looked < _LOOK:
            return self._client
        self._looked, stamp = now, self._where.stamp()
        if self._client is None or stamp not in (None, self._stamp):
            client = AsyncClient(**self._where.of_client(), timeout=self._timeout)
            former, self._client = self._client, client
            self._stamp, self._asked = stamp, -_ASK
            if former is not None:
                await former.close()
        return self._client

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()

    async def inputs(self) -> list[str]:
        """Return the names of the model's inputs."""
        if clock.monotonic() - self._asked >= _ASK:
            self._inputs = (await (await self.client()).info())["model"]["inputs"]
            self._asked = clock.monotonic()
        return self._inputs

    async def observe(self, stream: wire.StreamId, given: Observation) -> dict[str, Any]:
        """Apply one observation.

        One that was applied before is answered with ``duplicate``, and with its prediction if it is
        the last of its stream.

        Raises
        ------
        RemoteError
            If it is refused; as a duplicate only if a later one was applied.
        """
        client = await self.client()
        try:
            seen = await client.observe(stream, given.x, seq=given.seq, time=given.time)
        except RemoteError as error:
            if error.code != "duplicate" or error.observed is None:
                raise
            return _said(given.seq) | {"duplicate": True} | as_fields(error.observed)
        return self._remember(stream, _said(given.seq) | as_fields(seen))

    async def observe_run(
        self, stream: wire.StreamId, given: Sequence[Observation]
    ) -> list[dict[str, Any]]:
        """Apply observations of a stream in their order: all that were not applied before, or none.

        Raises
        ------
        RemoteError
            If one of them is refused for another reason.
        """
        client = await self.client()
        answers = [_said(each.seq) for each in given]
        first, last = 0, None
        while first < len(given):
            rest = given[first:]
            try:
                seen = await client.observe_many(
                    [stream] * len(rest),
                    [each.x for each in rest],
                    seqs=[each.seq for each in rest] if rest[0].seq else None,
                    times=None
                    if all(each.time is None for each in rest)
                    else [t.time for t in rest],
                )
            except RemoteError as error:
                known = error.last_seq
                if known is not None and error.code == "gap" and known >= rest[0].seq:
                    error.last_seq = rest[0].seq - 1  # what came before the gap was not applied
                if error.code != "duplicate" or known is None or rest[0].seq > known:
                    raise
                first, last = first + min(known - rest[0].seq + 1, len(rest)), error
                continue
            for n, answer in enumerate(answers[first:]):
                answer |= as_fields(seen[n])
            self._remember(stream, answers[-1])
            break
        for answer in answers[:first]:
            answer["duplicate"] = True
        if last is not None and last.observed is not None:
            answers[first - 1] |= as_fields(last.observed)
        return answers

    def _remember(self, stream: wire.StreamId, answer: dict[str, Any]) -> dict[str, Any]:
        """Keep the last prediction of a stream."""
        self._last[stream] = answer
        self._last.move_to_end(stream)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        return answer

    def last_of(self, stream: wire.StreamId, seq: int) -> dict[str, Any]:
        """Return the prediction for the last observation, as ``last``, if it was told here."""
        last = self._last.get(stream)
        return {} if last is None or last.get("seq", 0) != seq else {"last": last}


def _said(seq: int) -> dict[str, Any]:
    return {"seq": seq} if seq else {}
