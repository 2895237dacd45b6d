"""The records of a journal, as bytes.

Records follow each other: length of a body, its CRC-32, and the CRC-32 of these eight bytes, four
bytes each, little-endian; then the body. That is a STEP as it goes over the wire; one without
features says that its stream is confirmed up to its number. Or it is a P and eight bytes,
little-endian: the producer that opened the journal, before its first record. A process that is
killed leaves a truncated last record, which is dropped. Everything else that is no record is damage
and an error: since a length has a checksum of its own, a wrong one cannot hide the records after
it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from ... import wire
from ...errors import ProtocolError

_HEAD = struct.Struct("<III")
_CHECKED = 8  # bytes of a head that its checksum covers
_PRODUCER = struct.Struct("<cQ")


def producer_record(producer: int) -> bytes:
    """Return the record of who has the journal from now on."""
    return _framed(_PRODUCER.pack(b"P", producer))


def step_record(step: wire.Step) -> bytes:
    """Return the record of an observation; without features, of what is confirmed."""
    return _framed(wire.encode(step))


def records(data: bytes) -> Iterator[tuple[wire.Step | int, int]]:
    """Yield each step or producer and where its record ends, up to what is no record."""
    at = 0
    while (size := _size(data[at : at + _HEAD.size])) is not None:
        begin = at + _HEAD.size
        at = begin + size
        body = data[begin:at]
        if len(body) < size or zlib.crc32(body) != _HEAD.unpack_from(data, begin - _HEAD.size)[1]:
            return
        if body[:1] == b"P" and size == _PRODUCER.size:
            yield _PRODUCER.unpack(body)[1], at
            continue
        try:
            step = wire.decode_request(body, len(body))
        except ProtocolError:
            return
        if not isinstance(step, wire.Step):
            return
        yield step, at


def _size(head: bytes) -> int | None:
    """Return the length of a body; None if this is no head."""
    if len(head) < _HEAD.size:
        return None
    size, _, check = _HEAD.unpack(head)
    return int(size) if zlib.crc32(head[:_CHECKED]) == check else None


def is_truncated(rest: bytes) -> bool:
    """Return whether these bytes are a truncated record; a disk may leave zeros after it."""
    written, size = len(rest.rstrip(b"\0")), _size(rest[: _HEAD.size])
    return written < _HEAD.size + (size or 0)


def _framed(body: bytes) -> bytes:
    head = struct.pack("<II", len(body), zlib.crc32(body))
    return head + struct.pack("<I", zlib.crc32(head)) + body
