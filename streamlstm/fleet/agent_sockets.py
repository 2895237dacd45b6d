"""The sockets of an agent: one at which others reach it if it leads, one to whoever leads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import zmq

from .. import wire
from ..errors import EndpointError
from ..serving.access.authenticator import Authenticator
from ..serving.access.curve_server import CurveServer
from ..serving.endpoints import describe_bind_error
from ..serving.stores.redis_lead import Leader

GONE_MS = 500  # for which a last word waits to be sent


class AgentSockets:
    """Connects machines with each other.

    Parameters
    ----------
    address : str
        The endpoint at which other machines reach this one.
    curve : CurveServer or None
        With the key that all machines of the fleet have.

    Attributes
    ----------
    hub : zmq.Socket
        A ROUTER, to which agents connect while this machine leads.
    bound : str
        Where it is.
    public : str
        The public key of the fleet; empty without keys.
    leader : Leader or None
        To whom there is a connection.

    Raises
    ------
    EndpointError
        If the address cannot be bound.
    """

    def __init__(self, address: str, curve: CurveServer | None) -> None:
        self._context = zmq.Context()
        self.hub: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self.hub.set_hwm(0)
        self.hub.set(zmq.LINGER, 0)
        self._key = None if curve is None else curve.key
        self.public = "" if self._key is None else self._key.public
        self._authenticator: Authenticator | None = None
        if curve is not None:
            curve.configure(self.hub, "control")
            self._authenticator = Authenticator(self._context, curve, lambda: None)
            self._authenticator.start()
        self.leader: Leader | None = None
        self._link: zmq.Socket[bytes] | None = None
        try:
            self.hub.bind(address)
        except zmq.ZMQError as error:
            self.close()
            said = describe_bind_error(error, "control")
            raise EndpointError(f"--control {address}: {said}") from None
        self.bound = self.hub.get_string(zmq.LAST_ENDPOINT)

    @property
    def links(self) -> list[zmq.Socket[bytes]]:
        """What to wait for: the connection to whoever leads, if there is one."""
        return [] if self._link is None else [self._link]

    def connect(self, leader: Leader) -> None:
        """Connect to whoever leads now.

        Raises
        ------
        EndpointError
            If it has another key.
        """
        if self._link is not None:
            self._link.close()
        self.leader = leader
        self._link = link = self._context.socket(zmq.DEALER)
        link.set_hwm(0)
        link.set(zmq.LINGER, GONE_MS)
        self._set_keys(link, leader)
        link.connect(leader.address)

    def _set_keys(self, link: zmq.Socket[bytes], leader: Leader) -> None:
        key = self._key
        if leader.public != self.public:
            raise EndpointError(
                f"--key: the machine {leader.machine}, which leads the fleet, has another key than "
                "this one, or none; give all machines the same --key"
            )
        if key is not None and key.secret is not None:
            link.set(zmq.CURVE_PUBLICKEY, key.public.encode())
            link.set(zmq.CURVE_SECRETKEY, key.secret.encode())
            link.set(zmq.CURVE_SERVERKEY, key.public.encode())

    def say(self, name: str, *fields: Any) -> None:
        """Tell whoever leads; nobody if none is known."""
        if self._link is not None:
            self._link.send(wire.encode_control(name, *fields))

    def received(self) -> Iterator[wire.Control]:
        """Yield what whoever leads has said, until another one does."""
        link = self._link
        while link is not None and link is self._link:
            try:
                yield wire.decode_control(link.recv(zmq.NOBLOCK))
            except zmq.Again:
                return

    def close(self) -> None:
        """Free the sockets."""
        if self._link is not None:
            self._link.close()
        self.hub.close()
        if self._authenticator is not None:
            self._authenticator.close()
        self._context.term()
