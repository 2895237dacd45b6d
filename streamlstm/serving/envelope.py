"""One message as a socket received it, and the route back to its sender."""

from __future__ import annotations

from typing import NamedTuple

import zmq

from .. import wire
from ..errors import ProtocolError
from .access.roles import authorize


class Envelope(NamedTuple):
    """A received message.

    Attributes
    ----------
    route : list of bytes or None
        Routing id and envelope frames that lead to its sender; None if it came through PULL.
    frame : bytes or ProtocolError
        The message, or what is wrong with the frames around it, or why its sender may not send it.
    user : str
        User id of its sender, if the socket uses CURVE.
    address : str
        Where its sender's connection comes from, if that was asked for.
    """

    route: list[bytes] | None
    frame: bytes | ProtocolError
    user: str = ""
    address: str = ""

    @property
    def producer(self) -> int:
        """Who sent it, as the last frame of its envelope says; 0 if that names nobody."""
        return 0 if self.route is None or len(self.route) < 2 else wire.producer_of(self.route[-1])


def from_router(parts: list[bytes]) -> Envelope:
    """Separate the message of a ROUTER from the routing id and the envelope in front of it."""
    route, frame = parts[:-1], parts[-1]
    if len(route) == 1:
        return Envelope(route, frame)
    frames = route[1:]
    longest = max(map(len, frames))
    if len(frames) > wire.MAX_ENVELOPE or longest > wire.MAX_ENVELOPE_BYTES:
        return Envelope(route[:1], bad_envelope(len(frames), longest))
    return Envelope(route, frame)


def from_limited_router(parts: list[zmq.Frame]) -> Envelope:
    """Separate the message of a ROUTER without CURVE, and find its sender's address."""
    try:
        address = str(parts[0].get("Peer-Address"))
    except zmq.ZMQError:  # within a process there is none
        address = ""
    return from_router([part.bytes for part in parts])._replace(address=address)


def from_curve_router(parts: list[zmq.Frame]) -> Envelope:
    """Separate the message of a ROUTER with CURVE, and authorize it by its sender's role."""
    try:
        user = str(parts[0].get("User-Id"))
    except zmq.ZMQError:
        user = ""
    envelope = from_router([part.bytes for part in parts])
    frame = authorize(envelope.frame, ord(user[0]) if user else 0)
    return envelope._replace(frame=frame, user=user)


def from_pull(parts: list[bytes]) -> Envelope:
    """Return the message of a PULL."""
    return Envelope(None, parts[0] if len(parts) == 1 else too_many_frames(len(parts)))


def bad_envelope(frames: int, longest: int) -> ProtocolError:
    """Return the error for an envelope of ``frames``, the longest of ``longest`` bytes."""
    return ProtocolError(
        f"envelope: expected at most {wire.MAX_ENVELOPE} frames of at most "
        f"{wire.MAX_ENVELOPE_BYTES} bytes before the message, got {frames} frames, "
        f"the longest of {longest} bytes"
    )


def too_many_frames(frames: int) -> ProtocolError:
    """Return the error for a message of a PULL that is not a single frame."""
    return ProtocolError(f"expected one frame, got {frames}")
