"""Reads the records of the queue (native/layout.py) whose requests Python answers."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from ... import wire
from ...errors import ProtocolError
from ..access.roles import authorize
from ..envelope import bad_envelope, too_many_frames
from ..native import layout


def parts_of(
    head: list[int], fields: NDArray[np.int64]
) -> tuple[list[bytes] | None, bytes | ProtocolError]:
    """Return routing id and envelope of a message, None from PULL, and the message itself.

    Parameters
    ----------
    head : list of int
        Of its record.
    fields : int64[LOOP]
        The table of the loop.
    """
    size, came = head[layout.SIZE], head[layout.FRAMES_RECEIVED]
    most = int(fields[layout.MAX_SIZE])
    frame = ctypes.string_at(head[layout.MESSAGE], min(size, int(fields[layout.MAX_FRAME])))
    if head[layout.CLIENT] == fields[layout.MAX_MESSAGES]:
        return None, frame if not came else too_many_frames(came + 1)
    at, route = head[layout.DATA], []
    sizes = head[layout.FRAME_SIZES].to_bytes(8, "little", signed=True)[: head[layout.FRAMES]]
    for length in (head[layout.IDENTITY_SIZE], *sizes):
        route.append(ctypes.string_at(at, length))
        at += length
    if came != head[layout.FRAMES]:
        return route[:1], bad_envelope(came, head[layout.LONGEST])
    if size > most:
        return route, wire.too_large(size, most)
    return route, authorize(frame, head[layout.ROLE])
