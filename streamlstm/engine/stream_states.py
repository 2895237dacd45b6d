"""The state of single streams: read, exported, imported, reset and forgotten."""

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.plan import former_sizes, from_former, initial_row
from ..errors import ModelMismatchError
from .core import EngineCore
from .export import pack_state, unpack_state
from .ids import StreamId, check_stream_id, check_stream_ids
from .last_prediction import is_unknown
from .listing import list_page
from .validation import is_number

Float32Array = NDArray[np.float32]


class StreamStates(EngineCore):
    """The methods of :class:`Engine` that read or change streams without stepping them."""

    def __len__(self) -> int:
        """Return how many streams are live."""
        return len(self._table)

    def __contains__(self, stream: StreamId) -> bool:
        """Return whether ``stream`` is live."""
        stream = check_stream_id(stream)
        with self._lock, self._flag:
            return stream in self._table

    def streams(self) -> list[StreamId]:
        """Return the ids of all live streams, in the order in which they came."""
        with self._lock, self._flag:
            return self._table.streams()

    def list_streams(
        self, prefix: str | None = None, after: StreamId | None = None, count: int = 1_000
    ) -> list[tuple[StreamId, int]]:
        """Return a page of streams and their last numbers, sorted by id.

        Parameters
        ----------
        prefix : str, optional
            Only texts that begin so.
        after : str or int, optional
            The last id of the page before; it need not exist any more.
        count : int
            How many to return at most.

        Returns
        -------
        list of (str or int, int)
            Integers first, by value, then texts by the bytes of their UTF-8.
        """
        after = None if after is None else check_stream_id(after)
        with self._lock, self._flag:
            return list_page(self._table, prefix, after, count)

    def last_seq(self, stream: StreamId) -> int:
        """Return the number of a stream's last observation; 0 if none was numbered.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        """
        stream = check_stream_id(stream)
        with self._lock, self._flag:
            return self._table.last_seq(self._table.slot(stream))

    def last_seqs(self, streams: Sequence[StreamId]) -> list[int]:
        """Return the number of each stream's last observation; 0 if it has none, or is unknown."""
        ids = check_stream_ids(streams)
        with self._lock, self._flag:
            return [self._table.last_seq(self._table.find(stream)) for stream in ids]

    def last_prediction(self, stream: StreamId, seq: int) -> NDArray[Any] | None:
        """Return the prediction for the numbered observation ``seq`` once more.

        Returns
        -------
        float32[O] or None
            None if ``seq`` is not the stream's last number: the state has only the last
            prediction, for a sender that repeats its last observation. None too if a model with
            another number of outputs made it.
        """
        stream = check_stream_id(stream)
        with self._lock, self._flag:
            result = self._last_result(stream, seq)
            return None if result is None else self._layout.outputs_of(result)

    def last_result(self, stream: StreamId, seq: int) -> Float32Array | None:
        """Do what :meth:`last_prediction` does, and return the whole result, for a worker.

        Returns
        -------
        float32[W] or None
            Without the offsets of the outputs. All but the outputs is 0 if another model made it.
        """
        stream = check_stream_id(stream)
        with self._lock, self._flag:
            return self._last_result(stream, seq)

    def _last_result(self, stream: StreamId, seq: int) -> Float32Array | None:
        slot = self._table.find(stream)
        if slot < 0 or not is_number(seq) or seq == 0 or self._table.last_seq(slot) != seq:
            return None
        result: Float32Array = self._table.rows[slot, self._place].copy()
        return None if is_unknown(result) else result

    def reset(self, stream: StreamId) -> None:
        """Reset a stream's state: its next observation is its first.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        """
        stream = check_stream_id(stream)
        with self._lock, self._flag:
            self._table.clear(self._table.slot(stream))

    def forget(self, stream: StreamId) -> None:
        """Delete a stream and free its slot.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        """
        stream = check_stream_id(stream)
        with self._lock, self._flag:
            self._table.free(stream)

    def export_stream(self, stream: StreamId) -> bytes:
        """Return all state of a stream, for :meth:`import_stream` here or elsewhere.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        """
        stream = check_stream_id(stream)
        with self._lock, self._flag:
            table, slot = self._table, self._table.slot(stream)
            row, time = table.rows[slot], float(table.time[slot])
            seq, producer = table.last_seq(slot), int(table.producers[slot])
            return pack_state(self._model.fingerprint, row, seq, time, producer)

    def _unpack(self, blob: bytes) -> tuple[NDArray[np.float32], int, float, int]:
        """Return what a blob holds, a row of a former version as one of today."""
        model, size = self._model, self._backend.row_size
        try:
            return unpack_state(blob, model.fingerprint, size, self._state_size)
        except ModelMismatchError:
            for former, places in former_sizes(model).items():
                with contextlib.suppress(ModelMismatchError):
                    found = unpack_state(blob, model.fingerprint, former, self._state_size)
                    return from_former(found[0], places, initial_row(model)), *found[1:]
            raise

    def import_stream(self, stream: StreamId, blob: bytes) -> None:
        """Give a stream the state that :meth:`export_stream` returned, bit for bit.

        Raises
        ------
        ModelMismatchError
            If the state belongs to another model.
        BadValueError
            If it is damaged or no exported state. The stream has not changed.
        CapacityError
            If the stream is new and all slots are taken.
        """
        stream = check_stream_id(stream)
        with self._lock, self._flag:
            row, seq, time, producer = self._unpack(blob)
            table, slot = self._table, self._table.claim(stream)
            table.mark_dirty(np.array([slot]))
            table.rows[slot], table.seq[slot], table.time[slot] = row, seq, time
            table.producers[slot] = producer
