"""Validates the elements of messages, when decoding and when encoding.

All limits of the protocol are enforced here.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

from ..errors import ProtocolError
from .messages import (
    MAX_ID_BYTES,
    MAX_NONCE_BYTES,
    MAX_STREAMS,
    MAX_UINT,
    Nonce,
    StreamId,
)
from .vectors import Doubles, join_vectors


def _describe(value: object) -> str:
    """Name the msgpack type and the size of a value, never its content."""
    if isinstance(value, str):
        return f"text of {len(value.encode(errors='replace'))} bytes"
    if isinstance(value, bytes):
        return f"a bin of {len(value)} bytes"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "a negative integer" if value < 0 else "an integer"
    if isinstance(value, float):
        return "a float" if math.isfinite(value) else "a float that is not finite"
    return {type(None): "nil", dict: "a map"}.get(type(value), "an extension type")


def refuse(where: str, expected: str, value: object, code: str = "bad-frame") -> NoReturn:
    """Raise the error for an invalid element, with its type and size."""
    raise ProtocolError(f"{where}: expected {expected}, got {_describe(value)}", code)


def _at(where: str, index: int | None) -> str:
    return where if index is None else f"{where}s[{index}]"


def stream(value: Any, index: int | None = None) -> StreamId:
    """Return a stream id: text of 1 to 255 bytes without a leading NUL, or an unsigned integer."""
    if type(value) is str:
        if value.isascii():
            size = len(value)
        else:
            try:
                size = len(value.encode())
            except UnicodeEncodeError:
                raise ProtocolError(
                    f"{_at('stream', index)}: expected text in UTF-8, got other bytes"
                ) from None
        if 0 < size <= MAX_ID_BYTES and value[0] != "\0":
            return value
        if size and value[0] == "\0":
            raise ProtocolError(f"{_at('stream', index)}: a text id must not start with a NUL byte")
    elif type(value) is int and 0 <= value <= MAX_UINT:
        return value
    refuse(
        _at("stream", index),
        f"text of 1 to {MAX_ID_BYTES} bytes or an unsigned 64-bit integer",
        value,
    )


def seq(value: Any, index: int | None = None) -> int:
    """Return a sequence number."""
    if type(value) is int and 0 <= value <= MAX_UINT:
        return value
    refuse(_at("seq", index), "an unsigned 64-bit integer (0: not counted)", value)


_NUMBERS = frozenset((int, float, type(None)))


def vector(value: Any, where: str = "x") -> bytes:
    """Return a vector as little-endian float32, from a bin or from an array of numbers.

    Of an array the numbers are kept in full precision too (:class:`.vectors.Doubles`).
    """
    if type(value) is bytes:
        if len(value) % 4:
            refuse(where, "a bin of float32, four bytes each", value, "bad-shape")
        return value
    if type(value) is list:
        if _NUMBERS.issuperset(map(type, value)):
            return Doubles.of([math.nan if number is None else number for number in value])
        index = next(i for i, number in enumerate(value) if type(number) not in _NUMBERS)
        refuse(f"{where}[{index}]", "a number, or nil for missing", value[index])
    refuse(where, "a bin of little-endian float32 or an array of numbers", value)


def matrix(value: Any, rows: int, where: str = "X") -> bytes:
    """Return a matrix as little-endian float32, from a bin or from an array of vectors."""
    if type(value) is bytes:
        if len(value) % (4 * rows):
            refuse(where, f"a bin of {rows} equal rows of float32", value, "bad-shape")
        return value
    if type(value) is not list:
        refuse(where, "a bin of little-endian float32 or an array of arrays of numbers", value)
    if len(value) != rows:
        refuse(where, f"one row for each of {rows} streams", value, "bad-shape")
    vectors = [vector(each, f"{where}[{index}]") for index, each in enumerate(value)]
    for index, row in enumerate(vectors):
        if len(row) != len(vectors[0]):
            raise ProtocolError(
                f"{where}[{index}]: expected as many numbers as in the first row, "
                f"{len(vectors[0]) // 4}, got {len(row) // 4}",
                "bad-shape",
            )
    return join_vectors(vectors)


def streams(value: Any) -> list[StreamId]:
    """Return an array of stream ids."""
    if type(value) is not list or not value:
        refuse("streams", "an array of at least one stream id", value)
    if len(value) > MAX_STREAMS:  # when encoding; a decoded array cannot be longer
        refuse("streams", f"at most {MAX_STREAMS} stream ids", value, "too-large")
    for index, each in enumerate(value):
        stream(each, index)
    return value


def seqs(value: Any, rows: int) -> list[int] | None:
    """Return the sequence numbers of as many rows, or None."""
    if value is None:
        return None
    if type(value) is not list or len(value) != rows:
        refuse("seqs", f"nil or an array of {rows} sequence numbers, one a stream", value)
    for index, each in enumerate(value):
        seq(each, index)
    return value


def time(value: Any, index: int | None = None) -> float:
    """Return an event time in seconds."""
    if type(value) is float or type(value) is int:
        if math.isfinite(value):
            return float(value)
        refuse(_at("time", index), "a finite number of seconds", value, "bad-value")
    refuse(_at("time", index), "a number of seconds" + " or nil" * (index is not None), value)


def times(value: Any, rows: int) -> list[float | None]:
    """Return the event times of as many rows, None where one has none."""
    if type(value) is not list or len(value) != rows:
        refuse("times", f"an array of {rows} numbers of seconds or nil, one a stream", value)
    return [None if each is None else time(each, index) for index, each in enumerate(value)]


def binary(value: Any, where: str) -> bytes:
    """Return a bin."""
    if type(value) is not bytes:
        refuse(where, "a bin", value)
    return value


def unsigned(value: Any, where: str, what: str) -> int:
    """Return an unsigned integer; `what` completes the message of the error."""
    if type(value) is int and 0 <= value <= MAX_UINT:
        return value
    refuse(where, f"an unsigned integer{what}", value)


def boolean(value: Any, where: str) -> bool:
    """Return a boolean; 0 and 1 count as booleans."""
    if type(value) is bool or (type(value) is int and value in (0, 1)):
        return bool(value)
    refuse(where, "a boolean, 0 or 1", value)


# Name of the sixth element of an ERROR by its code; other codes have none in this version.
NUMBERED = {
    "busy": ("wait", " of milliseconds, or nil"),
    "gap": ("last", ", or nil"),
    "duplicate": ("last", ", or nil"),
    "fenced": ("last", ", or nil"),
    "moved": ("partition", ", or nil"),
}


def before(value: Any) -> int | None:
    """Return the producer whose streams are claimed; None for those of any."""
    if value is None or (type(value) is int and 0 <= value <= MAX_UINT):
        return value
    refuse("before", "the identity of a producer, an unsigned 64-bit integer, or nil", value)


def prefix(value: Any) -> str:
    """Return a prefix of text ids, possibly empty."""
    if type(value) is str and (value == "" or stream(value)):
        return value
    refuse("prefix", "text, or nil for all streams", value)


def nonce(value: Any, where: str = "nonce") -> Nonce:
    """Return a nonce, by which a client recognises a reply."""
    if type(value) is int and 0 <= value <= MAX_UINT:
        return value
    if type(value) is bytes and len(value) <= MAX_NONCE_BYTES:
        return value
    if type(value) is str and text(value) == value and len(value.encode()) <= MAX_NONCE_BYTES:
        return value
    refuse(where, f"an unsigned integer, UTF-8 or a bin of at most {MAX_NONCE_BYTES} bytes", value)


def text(value: str) -> str:
    """Return text that can be encoded again; invalid UTF-8 becomes question marks."""
    return value.encode(errors="replace").decode()
