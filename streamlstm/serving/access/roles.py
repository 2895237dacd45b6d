"""Authorizes requests by role: which sockets a key may use, and what it may ask the router.

ZeroMQ attaches to every message the user id that the authenticator gave its connection. Its first
letter is the role, so that the compiled loop reads one byte.
"""

from __future__ import annotations

from ... import wire
from ...client.keys import Key, Role
from ...errors import ProtocolError
from ..native import layout

LETTERS = {
    Role.ALL: chr(layout.MAY_ALL),
    Role.READ_ONLY: chr(layout.MAY_READ),
    Role.PUBLISH_ONLY: chr(layout.MAY_STEP),
}
SOCKETS = {
    Role.ALL: ("router", "pull", "xpub"),
    Role.READ_ONLY: ("router", "xpub"),
    Role.PUBLISH_ONLY: ("router", "pull"),
}
_ANY = (wire.Info, wire.Ping, wire.Table)  # without TABLE no client finds its way in a fleet
# A restricted role may do what is listed here, and nothing that is added to the protocol later.
_KINDS: dict[int, tuple[str, tuple[type, ...]]] = {
    layout.MAY_READ: ("read-only", (*_ANY, wire.Export, wire.List, wire.Last)),
    layout.MAY_STEP: (
        "publish-only",
        (*_ANY, wire.Step, wire.Steps, wire.Last, wire.Barrier, wire.Claim, wire.Label),
    ),
}


def user_id(key: Key) -> str:
    """Return what ZeroMQ attaches to the messages of a key's owner."""
    return f"{LETTERS[key.role]}{key.name}"


def authorize(frame: bytes | ProtocolError, role: int) -> bytes | ProtocolError:
    """Return the message, or the error that its sender may not ask this.

    Parameters
    ----------
    frame : bytes or ProtocolError
    role : int
        First byte of the sender's user id; 0 if it has none, who may do nothing.
    """
    if role == layout.MAY_ALL or isinstance(frame, ProtocolError):
        return frame
    name, kinds = _KINDS.get(role, ("no role", ()))
    try:
        message = wire.decode_request(frame, len(frame))
    except ProtocolError as error:
        return error  # with the sentence that anyone gets
    if isinstance(message, kinds):
        return frame
    kind = type(message).__name__.upper()
    may = ", ".join(each.__name__.upper() for each in kinds) or "nothing"
    return ProtocolError(
        f"{kind}: this key is {name} and may ask {may}; use another key, or have its role changed "
        "at the worker",
        "forbidden",
        getattr(message, "stream", None),
        getattr(message, "seq", None),
    )
