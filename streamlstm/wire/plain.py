"""Values of msgpack that are no messages: bodies of the HTTP gateway."""

from __future__ import annotations

from typing import Any

import msgpack

from ..errors import ProtocolError


def pack_plain(value: Any) -> bytes:
    """Encode a value that JSON could hold."""
    packed: bytes = msgpack.packb(value)
    return packed


def unpack_plain(data: bytes) -> Any:
    """Decode one value.

    Raises
    ------
    ProtocolError
        If it is not exactly one, or holds what no message holds.
    """
    try:
        return msgpack.unpackb(data, strict_map_key=True)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise ProtocolError(f"expected one value of msgpack ({error})") from None
