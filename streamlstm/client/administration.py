"""Requests that manage streams and the worker; :class:`Client` has them all."""

from __future__ import annotations

import time as clock
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import zmq

from .. import wire
from ..engine.ids import check_prefix, check_stream_id
from ..engine.validation import check_flag
from .base import BaseClient
from .connection import Connection
from .fleet.whole import whole_info, whole_page
from .replies import Decoder, Result, decode_done
from .requests import check_blob, id_chunks


class Administration(BaseClient, Connection[zmq.Socket[bytes]]):
    """The methods of :class:`Client` that advance no stream."""

    @abstractmethod
    def _call(self, message: wire.Request, decode: Decoder[Result]) -> Result:
        """Send a request and wait for its reply, decoded."""

    def reset(self, stream: wire.StreamId) -> None:
        """Clear the state of a stream.

        Raises
        ------
        RemoteError, WorkerTimeoutError
            As for :meth:`step`; ``unknown-stream`` if it has sent nothing.
        """
        self._call(wire.Reset(check_stream_id(stream)), decode_done)

    def export_stream(self, stream: wire.StreamId) -> bytes:
        """Return the whole state of a stream.

        Raises
        ------
        RemoteError, WorkerTimeoutError
            As for :meth:`step`; ``unknown-stream`` if it has sent nothing.
        """
        blob: bytes = self._call(wire.Export(check_stream_id(stream)), decode_done)
        return blob

    def import_stream(self, stream: wire.StreamId, blob: bytes) -> None:
        """Set the state of a stream to what :meth:`export_stream` returned.

        Raises
        ------
        RemoteError, WorkerTimeoutError
            As for :meth:`step`; ``bad-value`` if the state is damaged, ``model-mismatch``
            if it comes from another model.
        """
        self._call(wire.Import(check_stream_id(stream), check_blob(blob)), decode_done)

    def forget(self, stream: wire.StreamId) -> None:
        """Remove a stream; if it comes again, it is a new one.

        Raises
        ------
        RemoteError, WorkerTimeoutError
            As for :meth:`step`; ``unknown-stream`` if it has sent nothing.
        """
        self._call(wire.Forget(check_stream_id(stream)), decode_done)

    def reload(self, anew: bool = False) -> dict[str, Any]:
        """Let the worker, or the fleet, load its model file again and continue with the new model.

        Parameters
        ----------
        anew : bool
            Clear the state of all streams, so that any model fits; their sequence numbers stay.

        Returns
        -------
        dict
            ``model`` and ``before``, fingerprints; ``anew``; ``changed``, a list of the differences
            in words; ``paused``, the seconds for which no message was answered.

        Raises
        ------
        RemoteError
            If the file is no usable model (``bad-model``) or streams cannot continue with it
            (``model-mismatch``), or the worker is already reloading or cannot write its store
            (``busy``). The running model stays.

        Notes
        -----
        The first model with a kind of layer that was never used on this machine is compiled for,
        which takes some seconds; the client's ``timeout`` has to be longer.
        """
        answer = self._call(wire.Reload(check_flag("anew", anew)), decode_done)
        return answer if self._seeds is None else next(iter(answer.values()))

    def list_streams(self, prefix: str | None = None) -> Iterator[tuple[wire.StreamId, int]]:
        """Yield all streams of the worker and their last sequence numbers, in the order of ids.

        Parameters
        ----------
        prefix : str, optional
            Only text ids that begin so.

        Notes
        -----
        They are requested in pages of 1,000. A stream that lives all the while comes exactly once;
        in a fleet, if it does not move twice while a page is read.
        """
        prefix = None if prefix is None else check_prefix(prefix)
        after: wire.StreamId | None = None
        while page := self._page(wire.List(prefix, after, wire.MAX_LISTED)):
            yield from ((stream, seq) for stream, seq in page)
            after = page[-1][0]

    def _page(self, message: wire.List) -> Sequence[Sequence[Any]]:
        page = self._call(message, decode_done)
        if self._seeds is None:
            return page  # type: ignore[no-any-return]
        # Twice: a stream on its way may be in no answer, here not yet and there not any more.
        return whole_page([*page.values(), *self._call(message, decode_done).values()])

    def last_seqs(self, streams: Sequence[wire.StreamId]) -> list[int]:
        """Return the last sequence number of each stream, 0 if it is unknown or not numbered."""
        seqs: list[int] = []
        for ids in id_chunks(streams):
            seqs += self._call(wire.Last(ids), decode_done)
        return seqs

    def info(self) -> dict[str, Any]:
        """Return the worker's model and counters; docs/protocol.md lists the keys.

        Of a fleet: the sums over all workers, and ``workers``, a dict of what each says.
        """
        answer = self._call(wire.Info(), decode_done)
        return answer if self._seeds is None else whole_info(answer)

    def ping(self) -> float:
        """Return the seconds of one round trip; with a fleet, to the slowest worker."""
        start = clock.perf_counter()
        self._call(wire.Ping(0), decode_done)
        return clock.perf_counter() - start
