"""Converts records of a store that were written before its layout changed.

When all streams restart (``streamlstm reload --anew``), a store may hold millions that are not
in memory. None of them is rewritten then: the store's header counts one epoch more, and the epoch
of a record is mixed into its hash. A record of an earlier epoch gives a stream in the initial
state, with its sequence number, its producer and, where the outputs are as many, its last
prediction. So one small commit changes them all, atomically.

In the same way a store of a former format is taken over: its records stay as they are until their
streams change, and differ in size from those of this format. They have no producer. So is one of
a former version of the online stage, whose rows lack columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...backends.plan import former_sizes, from_former, initial_row
from ...engine.last_prediction import PredictionSlice, copy_predictions
from ...engine.records import HASH_SIZE, ROW_START, RecordBatch
from ...kernels import compile
from ...network.model import Model
from .header import Epoch, Header

_TIME = slice(8, 16)
_ODD = 0x9E37_79B9_7F4A_7C15  # in epoch 0, which most stores never leave, hashes are unchanged


class Epochs:
    """Marks records with a store's epoch, and converts those that were written before.

    Parameters
    ----------
    header : Header
        Header of the store.
    model : Model
        Whose streams these are.
    """

    def __init__(self, header: Header, model: Model) -> None:
        self._now, self._earlier, self._initial = header.now, header.earlier, initial_row(model)
        self._formers = former_sizes(model)
        self._call = compile.dirty_entries()

    def mark(self, batch: RecordBatch) -> None:
        """Mix this epoch into the hashes of records."""
        if self._now.number and batch.count:
            records = batch.records[: batch.count * batch.size].reshape(batch.count, batch.size)
            records[:, -HASH_SIZE:].view("<u8")[:] ^= epoch_mask(self._now)

    def marked(self, record: bytes) -> bytes:
        """Return a record of this layout and epoch 0 as one of this epoch."""
        if not self._now.number:
            return record
        data = np.frombuffer(bytearray(record), np.uint8)
        data[-HASH_SIZE:].view("<u8")[:] ^= epoch_mask(self._now)
        return data.tobytes()

    def current(self, record: bytes) -> bytes:
        """Return any record as one of this layout and epoch 0; a damaged one as it is."""
        if not self._now.number and len(record) == self._now.record_size:
            return record
        own = self._read(record, self._now)
        if own is not None:
            return own.tobytes()
        for place in reversed(range(len(self._earlier))):
            old = self._read(record, self._earlier[place])
            if old is not None:
                return self._convert(old, place)
        return record

    def _read(self, record: bytes, epoch: Epoch) -> NDArray[np.uint8] | None:
        """Return a record with its plain hash if it is undamaged and of that layout."""
        if len(record) != epoch.record_size:
            return None
        data = np.frombuffer(bytearray(record), np.uint8)
        data[-HASH_SIZE:].view("<u8")[:] ^= epoch_mask(epoch)
        return data if self._call.find_corrupt(data, len(data), 1) < 0 else None

    def _convert(self, old: NDArray[np.uint8], place: int) -> bytes:
        """Return the record of a stream that continues, or restarts, from an earlier record."""
        start = self._earlier[place].row_start
        row = old[start:-HASH_SIZE]
        restarts = self._earlier[place].number != self._now.number
        if restarts:
            row = self._restarted_row(old, place).view(np.uint8)
        elif len(row) != self._now.row_bytes:
            before = row.copy().view(np.float32)
            row = from_former(before, self._formers[len(before)], self._initial).view(np.uint8)
        data = np.zeros(ROW_START + len(row) + HASH_SIZE, np.uint8)
        data[:start] = old[:start]
        data[ROW_START:-HASH_SIZE] = row
        if restarts:
            data[_TIME] = np.array([np.nan]).view(np.uint8)
        self._call.add_checksums(data, len(data), 1)
        return data.tobytes()

    def _restarted_row(self, old: NDArray[np.uint8], place: int) -> NDArray[np.float32]:
        """Return the initial row, with the last prediction if the earlier record has one."""
        epoch, row = self._earlier[place], self._initial[None].copy()
        if old[:8].any():  # it is numbered
            before = old[epoch.row_start : -HASH_SIZE].copy().view(np.float32)[None]
            # As in a stream that was here all the while: once not known, not known any more.
            since = (*self._earlier[place:], self._now)
            same = all(e.outputs == epoch.outputs for e in since)
            known = epoch.place if same else PredictionSlice(0, 0)
            copy_predictions(before, known, row, self._now.place, slice(None))
        restarted: NDArray[np.float32] = row[0]
        return restarted


def epoch_mask(epoch: Epoch) -> np.uint64:
    """Return what is mixed into the hashes of an epoch's records."""
    return np.uint64(epoch.number * _ODD % 2**64)
