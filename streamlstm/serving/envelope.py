"""One message as it came through a door, and the way back to who sent it."""

from __future__ import annotations

from typing import NamedTuple

import zmq

from .. import wire
from ..errors import ProtocolError
from .access.roles import permitted


class Arrival(NamedTuple):
    """A message as it was taken from a door.

    Attributes
    ----------
    back : list of bytes or None
        Identity and envelope that lead to its sender; None if it was fed.
    frame : bytes or ProtocolError
        The message, or what is wrong with the frames around it, or with its asking.
    user : str
        User id of its sender, if it has a key and the door a lock.
    """

    back: list[bytes] | None
    frame: bytes | ProtocolError
    user: str = ""


def asked(parts: list[bytes]) -> Arrival:
    """Tell the message of a ROUTER from the identity and the envelope in front of it."""
    back, frame = parts[:-1], parts[-1]
    if len(back) == 1:
        return Arrival(back, frame)
    envelope = back[1:]
    longest = max(map(len, envelope))
    if len(envelope) > wire.MAX_ENVELOPE or longest > wire.MAX_ENVELOPE_BYTES:
        return Arrival(back[:1], bad_envelope(len(envelope), longest))
    return Arrival(back, frame)


def known(parts: list[zmq.Frame]) -> Arrival:
    """Take the message of a ROUTER that has a lock, as far as its sender's role allows it."""
    try:
        user = str(parts[0].get("User-Id"))
    except zmq.ZMQError:
        user = ""
    arrival = asked([part.bytes for part in parts])
    return arrival._replace(frame=permitted(arrival.frame, ord(user[0]) if user else 0), user=user)


def fed(parts: list[bytes]) -> Arrival:
    """Take the message of a PULL."""
    return Arrival(None, parts[0] if len(parts) == 1 else too_many_frames(len(parts)))


def bad_envelope(frames: int, longest: int) -> ProtocolError:
    """Return the error for an envelope of so many frames, the longest of so many bytes."""
    return ProtocolError(
        f"envelope: expected at most {wire.MAX_ENVELOPE} frames of at most "
        f"{wire.MAX_ENVELOPE_BYTES} bytes before the message, got {frames} frames, "
        f"the longest of {longest} bytes"
    )


def too_many_frames(frames: int) -> ProtocolError:
    """Return the error for something fed that is no single frame."""
    return ProtocolError(f"expected one frame, got {frames}")
