"""The sockets of a gateway's clients, with keys and a bound on connections."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import zmq

from ...client.keys import Credentials
from ..access.authenticator import Authenticator
from ..access.curve_server import CurveServer
from ..connections import Connections, connection_limit
from ..counters import Counters
from ..sockets import SocketFiles, bind_sockets


class ClientSockets:
    """Binds ROUTER, PULL and XPUB.

    Parameters
    ----------
    context : zmq.Context
    endpoints : sequence of str
        Of the three.
    counters : Counters
    insecure, curve, max_message_bytes, max_connections
        As for :class:`.gateway.Gateway`.

    Attributes
    ----------
    sockets : Sockets
    connections : Connections
    endpoints : dict of str to str
        As they were bound.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoints: Sequence[str],
        counters: Counters,
        *,
        insecure: bool,
        curve: CurveServer | None,
        max_message_bytes: int,
        max_connections: int | None,
    ) -> None:
        limit = connection_limit(max_connections)
        with ExitStack() as resources:
            authenticator = None
            if curve is not None:
                authenticator = Authenticator(context, curve, counters.count_refused_connection)
                resources.callback(authenticator.close)
            failed = None if authenticator is None else authenticator.note_failure
            self.connections = Connections(context, limit, failed)
            resources.callback(self.connections.close)
            self.sockets = bind_sockets(
                context,
                endpoints,
                max_bytes=2 * max_message_bytes,
                insecure=insecure,
                curve=curve,
                connections=self.connections,
            )
            resources.callback(self.sockets.close)
            resources.callback(SocketFiles(self.sockets).remove)
            if authenticator is not None:
                authenticator.start()
            self.endpoints = self.sockets.endpoints()
            self.connections.start(self.endpoints.values())
            self._resources = resources.pop_all()

    def close(self) -> None:
        """Close the sockets; replies that were sent may still go out for a moment."""
        self._resources.close()


def keys_of(curve: CurveServer | None) -> Credentials | None:
    """Return the keys with which a gateway connects to workers: theirs are the same."""
    if curve is None:
        return None
    assert curve.key.secret is not None
    public = curve.key.public.encode()
    return Credentials(public, curve.key.secret.encode(), public)
