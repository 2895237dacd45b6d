"""A worker's CURVE key and the client keys that it accepts."""

from __future__ import annotations

from pathlib import Path

import zmq

from ...client.keys import load_key
from .authorized_keys import AuthorizedKeys


class CurveServer:
    """Makes sockets CURVE servers.

    Parameters
    ----------
    key : Path
        The worker's ``NAME.key``.
    allow : Path
        A folder of ``.pub`` files, or a file that lists keys and roles.

    Attributes
    ----------
    key : Key
    authorized_keys : AuthorizedKeys

    Raises
    ------
    KeyFileError
        If a key cannot be read, or none is authorized.
    """

    def __init__(self, key: Path, allow: Path) -> None:
        self.key = load_key(key, secret=True)
        self.authorized_keys = AuthorizedKeys(allow)

    def configure(self, socket: zmq.Socket[bytes], name: str) -> None:
        """Let a socket that is not bound yet accept only keys that are authorized for it."""
        assert self.key.secret is not None
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, self.key.secret.encode())
        socket.set(zmq.ZAP_DOMAIN, name.encode())
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without an authenticator nobody is accepted
