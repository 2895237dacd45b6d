"""Records of a store whose streams began anew: which were written before, and what is left of them.

When all streams begin anew (``streamlstm reload --anew``), a store may hold millions that are not
in the worker. None of them is rewritten then: the store's header counts one era more, and of which
era a record is stands in its hash, to which the era is added. A record of an earlier era gives a
stream that has seen nothing, with its number and, where the outputs are as many, its last
prediction. So one small commit changes them all, and it is there or not there as a whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...engine.carry_over import Place, carry
from ...engine.dirty import Batch
from ...kernels import compile
from .header import Era, Header

_BESIDE = 16  # bytes before the row: number and event time
_HASH = 8  # bytes behind it
_ODD = 0x9E37_79B9_7F4A_7C15  # of era 0, which most stores never leave, hashes are as they are


class Eras:
    """Tells records of a store's era from those of earlier ones.

    Parameters
    ----------
    header : Header
        Of the store.
    initial : float32[R]
        The row of a stream that has seen nothing.
    """

    def __init__(self, header: Header, initial: NDArray[np.float32]) -> None:
        self._now, self._earlier, self._initial = header.now, header.earlier, initial
        self._call = compile.changed_entries()

    def mark(self, batch: Batch) -> None:
        """Say in records that were sealed that they are of this era."""
        if self._now.number and batch.count:
            records = batch.records[: batch.count * batch.size].reshape(batch.count, batch.size)
            records[:, -_HASH:].view("<u8")[:] ^= _sign(self._now)

    def current(self, record: bytes) -> bytes:
        """Return a record of any era as one of era 0 of this model; a damaged one as it is."""
        if not self._now.number:
            return record
        own = self._read(record, self._now)
        if own is not None:
            return own.tobytes()
        for era in reversed(self._earlier):
            old = self._read(record, era)
            if old is not None:
                return self._renewed(old, era)
        return record

    def _read(self, record: bytes, era: Era) -> NDArray[np.uint8] | None:
        """Return a record without its sign if it is whole and of that era."""
        if len(record) != era.record_size:
            return None
        data = np.frombuffer(bytearray(record), np.uint8)
        data[-_HASH:].view("<u8")[:] ^= _sign(era)
        return data if self._call.broken(data, len(data), 1) < 0 else None

    def _renewed(self, old: NDArray[np.uint8], era: Era) -> bytes:
        row = self._initial[None].copy()
        if old[:8].any():  # it is numbered
            before = old[_BESIDE:-_HASH].copy().view(np.float32)[None]
            # As in a stream that was here all the while: once not known, not known any more.
            since = [e for e in (*self._earlier, self._now) if e.number >= era.number]
            same = all(e.outputs == era.outputs for e in since)
            place = era.place if same else Place(0, 0)
            carry(before, place, row, self._now.place, slice(None))
        data = np.zeros(_BESIDE + row.nbytes + _HASH, np.uint8)
        data[:8] = old[:8]
        data[8:_BESIDE] = np.array([np.nan]).view(np.uint8)
        data[_BESIDE:-_HASH] = row[0].view(np.uint8)
        self._call.seal(data, len(data), 1)
        return data.tobytes()


def _sign(era: Era) -> np.uint64:
    return np.uint64(era.number * _ODD % 2**64)
