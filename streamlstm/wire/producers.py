"""Producers: who sends numbered observations, named in the envelope of each message.

The last frame of the envelope names one: four bytes that nothing else begins with, the identity in
eight bytes, little-endian, and whatever else the client wants to get back, such as a number of the
request. A routing id could not carry it: ZeroMQ replaces the one of a connection whose messages
were not read yet when another connection takes the id over.
"""

from __future__ import annotations

PRODUCER_MAGIC = b"PRD\x01"
_END = len(PRODUCER_MAGIC) + 8


def envelope_of(producer: int, rest: bytes = b"") -> bytes:
    """Return the frame that names a producer, an integer from 1 to 2**64 - 1."""
    return PRODUCER_MAGIC + producer.to_bytes(8, "little") + rest


def producer_of(frame: bytes) -> int:
    """Return the identity in the last frame of an envelope; 0 if it names none."""
    if len(frame) < _END or not frame.startswith(PRODUCER_MAGIC):
        return 0
    return int.from_bytes(frame[len(PRODUCER_MAGIC) : _END], "little")
