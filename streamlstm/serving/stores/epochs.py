"""Separates records of a store that were written before all streams restarted from later ones.

When all streams restart (``streamlstm reload --anew``), a store may hold millions that are not
in memory. None of them is rewritten then: the store's header counts one epoch more, and the epoch
of a record is mixed into its hash. A record of an earlier epoch gives a stream in the initial
state, with its sequence number and, where the outputs are as many, its last prediction. So one
small commit changes them all, atomically.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...engine.last_prediction import PredictionSlice, copy_predictions
from ...engine.records import RecordBatch
from ...kernels import compile
from .header import Epoch, Header

_BESIDE = 16  # bytes before the row: number and event time
_HASH = 8  # bytes behind it
_ODD = 0x9E37_79B9_7F4A_7C15  # in epoch 0, which most stores never leave, hashes are unchanged


class Epochs:
    """Marks records with a store's epoch, and converts those of earlier epochs.

    Parameters
    ----------
    header : Header
        Header of the store.
    initial : float32[R]
        The initial row of a stream.
    """

    def __init__(self, header: Header, initial: NDArray[np.float32]) -> None:
        self._now, self._earlier, self._initial = header.now, header.earlier, initial
        self._call = compile.dirty_entries()

    def mark(self, batch: RecordBatch) -> None:
        """Mix this epoch into the hashes of records."""
        if self._now.number and batch.count:
            records = batch.records[: batch.count * batch.size].reshape(batch.count, batch.size)
            records[:, -_HASH:].view("<u8")[:] ^= epoch_mask(self._now)

    def current(self, record: bytes) -> bytes:
        """Return a record of any epoch as one of epoch 0 and this model; a damaged one as it is."""
        if not self._now.number:
            return record
        own = self._read(record, self._now)
        if own is not None:
            return own.tobytes()
        for epoch in reversed(self._earlier):
            old = self._read(record, epoch)
            if old is not None:
                return self._restart(old, epoch)
        return record

    def _read(self, record: bytes, epoch: Epoch) -> NDArray[np.uint8] | None:
        """Return a record with its plain hash if it is undamaged and of that epoch."""
        if len(record) != epoch.record_size:
            return None
        data = np.frombuffer(bytearray(record), np.uint8)
        data[-_HASH:].view("<u8")[:] ^= epoch_mask(epoch)
        return data if self._call.find_corrupt(data, len(data), 1) < 0 else None

    def _restart(self, old: NDArray[np.uint8], epoch: Epoch) -> bytes:
        """Return the record of a stream that restarts from a record of an earlier epoch."""
        row = self._initial[None].copy()
        if old[:8].any():  # it is numbered
            before = old[_BESIDE:-_HASH].copy().view(np.float32)[None]
            # As in a stream that was here all the while: once not known, not known any more.
            since = [e for e in (*self._earlier, self._now) if e.number >= epoch.number]
            same = all(e.outputs == epoch.outputs for e in since)
            place = epoch.place if same else PredictionSlice(0, 0)
            copy_predictions(before, place, row, self._now.place, slice(None))
        data = np.zeros(_BESIDE + row.nbytes + _HASH, np.uint8)
        data[:8] = old[:8]
        data[8:_BESIDE] = np.array([np.nan]).view(np.uint8)
        data[_BESIDE:-_HASH] = row[0].view(np.uint8)
        self._call.add_checksums(data, len(data), 1)
        return data.tobytes()


def epoch_mask(epoch: Epoch) -> np.uint64:
    """Return what is mixed into the hashes of an epoch's records."""
    return np.uint64(epoch.number * _ODD % 2**64)
