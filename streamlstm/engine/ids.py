"""Stream ids: text of up to 255 bytes of UTF-8, or an unsigned 64-bit integer."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import StreamIdError

StreamId = str | int
MAX_ID_BYTES = 255
MAX_INTEGER_ID = 2**64 - 1

# The ids of a block as a caller gave them, each still to be checked.
StreamIds: TypeAlias = list[StreamId] | NDArray[Any]
# The ids of a block as compiled code looks them up: integers, or texts joined into one str with a
# NUL between them, ASCII or the bytes of UTF-8 as code points.
PackedIds: TypeAlias = NDArray[np.uint64] | str


def check_stream_id(stream: object) -> StreamId:
    """Return ``stream`` as a plain str or int if it is a valid stream id.

    Raises
    ------
    StreamIdError
        If it is not text of 1 to 255 bytes of UTF-8 without a leading NUL, nor an integer from
        0 to 2**64 - 1.
    """
    if type(stream) is str:
        if stream.isascii():
            size = len(stream)
        else:
            try:
                size = len(stream.encode())
            except UnicodeEncodeError:
                raise StreamIdError(
                    "stream id: expected text that can be written as UTF-8, got one with a lone "
                    "surrogate."
                ) from None
        if not 0 < size <= MAX_ID_BYTES:
            raise StreamIdError(
                f"stream id: expected text of 1 to {MAX_ID_BYTES} bytes, got {size} bytes."
            )
        if stream[0] == "\0":
            # On the XPUB socket a leading zero byte marks an integer id.
            raise StreamIdError("stream id: expected text that does not start with a NUL byte.")
        return stream
    if isinstance(stream, str):
        return check_stream_id(str.__str__(stream))  # a subclass: the text itself, as it is sent
    if isinstance(stream, int | np.integer) and not isinstance(stream, bool):
        if 0 <= stream <= MAX_INTEGER_ID:
            return int(stream)
        raise StreamIdError(f"stream id: expected an integer from 0 to 2**64 - 1, got {stream}.")
    raise StreamIdError(
        f"stream id: expected text or an unsigned integer, got {type(stream).__name__}."
    )


def dict_key(stream: StreamId) -> str | bytes:
    """Return what stands for a stream id from outside in a dict or a set.

    Python hashes texts and bytes with a secret of the process, but an integer by its value: 16,384
    integers that someone chose to collide fill a dict in half a second, others in half a ms.
    """
    return stream if isinstance(stream, str) else stream.to_bytes(8, "little")


def unique(streams: Iterable[StreamId]) -> list[StreamId]:
    """Return each of these ids once, in order of their first occurrence."""
    return list({s if isinstance(s, str) else s.to_bytes(8, "little"): s for s in streams}.values())


def id_list(streams: StreamIds) -> list[StreamId]:
    """Return ids as Python objects."""
    return streams.tolist() if isinstance(streams, np.ndarray) else streams
