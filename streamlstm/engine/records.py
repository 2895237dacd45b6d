"""Keys and records of streams, as a store holds them.

A key is the stream's id: text as UTF-8, an integer as a zero byte and eight bytes, big-endian, as
on the wire. A record is the sequence number (uint64), the event time (float64, NaN if there is
none), the producer (uint64, 0 if there is none), the state row (float32) and a hash of 64 bits
(kernels/hashing.py) of all of that, little-endian and without gaps. They do not depend on the width
of the processor's vectors. Formats 1 and 2 had no producer.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from ..lazy_arrays import lazy_zeros
from .ids import MAX_ID_BYTES, StreamId

FORMAT = 3  # version of keys and records
ROW_START = 24  # bytes of a record before the row,
HASH_SIZE = 8  # and behind it
NEVER = 2**62  # later than any block of a state table


def row_start(format: int) -> int:
    """Return the bytes before the row in a record of this or a former format."""
    return ROW_START if format >= 3 else 16


def record_size(row_size: int) -> int:
    """Return the bytes of a record whose row has ``row_size`` floats."""
    return ROW_START + 4 * row_size + HASH_SIZE


class RecordBatch:
    """A buffer of keys and records, each consistent in itself.

    Parameters
    ----------
    capacity : int
        Records that fit.
    size : int
        Bytes of a record.

    Attributes
    ----------
    count : int
        Records in the batch.
    deleted : list of bytes
        Keys of streams that were forgotten before these records were taken.
    absorbed : dict of bytes to bytes
        Records of streams that are not in memory and go to the store as they are, before the
        others. Replaced as a whole only.
    oldest : int64[1]
        The block, as a time of the state table, before which none of its streams was last used.
    """

    def __init__(self, capacity: int, size: int) -> None:
        self.capacity, self.size, self.count = capacity, size, 0
        self.deleted: list[bytes] = []
        self.absorbed: dict[bytes, bytes] = {}
        self.keys = lazy_zeros(capacity * MAX_ID_BYTES, np.uint8)
        self.ends = np.zeros(capacity + 1, np.int64)
        self.records = lazy_zeros(capacity * size, np.uint8)
        self.oldest = np.array([NEVER], np.int64)

    def __iter__(self) -> Iterator[tuple[bytes, bytes | memoryview]]:
        """Yield key and record of each stream; the record may be a view into this buffer."""
        yield from self.absorbed.items()
        ends, size = self.ends[: self.count + 1].tolist(), self.size
        keys, records = self.keys[: ends[-1]].tobytes(), self.records.data
        at = 0
        for start, end in pairwise(ends):
            yield keys[start:end], records[at : at + size]
            at += size

    def clear(self) -> None:
        """Empty the batch."""
        self.count, self.deleted, self.absorbed = 0, [], {}


def store_key(stream: StreamId) -> bytes:
    """Return the key of a stream."""
    return stream.encode() if isinstance(stream, str) else b"\0" + stream.to_bytes(8, "big")


def stream_from_key(key: bytes) -> StreamId:
    """Return the stream id of a key."""
    return int.from_bytes(key[1:], "big") if key[:1] == b"\0" else key.decode()
