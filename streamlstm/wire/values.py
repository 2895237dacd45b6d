"""Values of other programs as msgpack, which is known here alone."""

from __future__ import annotations

from typing import Any

import msgpack

from ..errors import DataError


def pack(value: Any) -> bytes:
    """Return numbers, texts, lists and dicts as msgpack."""
    packed: bytes = msgpack.packb(value)
    return packed


def unpack(data: bytes) -> Any:
    """Return the value of a msgpack message.

    Raises
    ------
    DataError
        If it is none, or more than one.
    """
    try:
        return msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException) as error:
        raise DataError(f"expected msgpack: {error or type(error).__name__}") from None
