"""Checks the records of a store against the hashes in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from ...engine.ids import StreamId, check_stream_id
from ...engine.records import HASH_SIZE, store_key, stream_from_key
from ...errors import StreamIdError
from ...kernels import compile
from .epochs import epoch_mask
from .header import Epoch, Header

_RECORDS = 4096  # checked at a time


class RecordCheck:
    """Finds the damaged records of a store.

    Parameters
    ----------
    header : Header
        The store's, which tells the sizes and epochs of its records.
    """

    def __init__(self, header: Header) -> None:
        self._epochs = (header.now, *reversed(header.earlier))
        self._call = compile.dirty_entries()

    def problems(self, pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[str]:
        """Yield a sentence for each stream whose key or record is damaged."""
        remaining = iter(pairs)
        while chunk := list(islice(remaining, _RECORDS)):
            keys = [key for key, _ in chunk]
            streams = [_stream(key) for key in keys]
            for key, stream in zip(keys, streams, strict=True):
                if stream is None:
                    yield f"the key {key!r} is not of a stream"
            damaged = self._damaged([record for _, record in chunk])
            yield from (f"the record of stream {streams[n]!r} is damaged" for n in damaged)

    def _damaged(self, records: Sequence[bytes]) -> list[int]:
        """Return the indices of those records that are of no epoch, or damaged."""
        left = list(range(len(records)))
        for epoch in self._epochs:
            if not left:
                break
            left = self._not_of(epoch, records, left)
        return left

    def _not_of(self, epoch: Epoch, records: Sequence[bytes], indices: list[int]) -> list[int]:
        """Return those indices whose records are not undamaged ones of an epoch."""
        size = epoch.record_size
        bad = [n for n in indices if len(records[n]) != size]
        fits = [n for n in indices if len(records[n]) == size] if bad else indices
        data = np.frombuffer(bytearray().join([records[n] for n in fits]), np.uint8)
        rows = data.reshape(-1, size)
        rows[:, -HASH_SIZE:].view("<u8")[:] ^= epoch_mask(epoch)
        at = 0
        while at < len(fits):
            found = self._call.find_corrupt(data[at * size :], size, len(fits) - at)
            if found < 0:
                break
            bad.append(fits[at + found])
            at += found + 1
        return sorted(bad)


def _stream(key: bytes) -> StreamId | None:
    """Return the stream of a key, None if it is of none."""
    try:
        stream = stream_from_key(key)
        check_stream_id(stream)
    except (UnicodeDecodeError, StreamIdError):
        return None
    return stream if store_key(stream) == key else None
