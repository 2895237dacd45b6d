"""The gateway of a fleet: its process, and how a supervisor starts and watches it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import zmq

from .. import wire
from ..serving.endpoints import derived_from
from ..serving.gateway.gateway import Gateway
from .processes import Process

NAME = "gateway"  # of its process, and of its socket at the supervisor


class GatewayOptions(NamedTuple):
    """How to run a gateway.

    Attributes
    ----------
    router : str
        Where its ROUTER is to be bound.
    arguments : sequence of str
        Further options of ``streamlstm fleet gateway``.
    """

    router: str
    arguments: Sequence[str] = ()


class GatewayKeeper:
    """Starts a gateway, tells it what it has to know, and starts it again when it has died.

    Parameters
    ----------
    options : GatewayOptions
    control : str
        Endpoint of the supervisor.
    tell : callable
        Sends a frame to the gateway.

    Attributes
    ----------
    pid : int or None
        None while it is not ready.
    endpoints : dict of str to str
        As they were bound.
    """

    def __init__(
        self,
        options: GatewayOptions,
        control: str,
        tell: Callable[[str, bytes], object],
    ) -> None:
        self.endpoints, self._arguments = gateway_endpoints(options.router), options.arguments
        self._control, self._tell = control, tell
        self.pid: int | None = None
        self._frame = b""

    def start(self) -> Process:
        """Start its process."""
        self.pid = None
        where = [f"--{name}={endpoint}" for name, endpoint in self.endpoints.items()]
        options = ["--control", self._control, *where, *self._arguments]
        return Process(NAME, options, ("fleet", NAME))

    def serves(self, pid: int, endpoints: dict[str, str]) -> None:
        """Note that it serves."""
        self.pid, self.endpoints = pid, endpoints
        self._tell(NAME, self._frame)

    def follow(self, table: wire.FleetTable, live: Sequence[str]) -> None:
        """Tell it a table, and the endpoints of the ROUTERs of the workers that serve."""
        frame = wire.encode_control("table", table.to_value(), live)
        if frame != self._frame:
            self._frame = frame
            if self.pid is not None:
                self._tell(NAME, frame)

    def status(self) -> dict[str, Any]:
        """Return where it is, for the endpoints file."""
        return {"pid": self.pid, **self.endpoints}


def gateway_endpoints(router: str) -> dict[str, str]:
    """Return the endpoints of a gateway whose ROUTER is to be bound at this one.

    PULL and XPUB get the next two ports, as a worker has them; or paths behind that of ``ipc://``.
    """
    place, colon, port = router.rpartition(":")
    if not router.startswith("tcp://") or not colon:
        return {"router": router, "pull": f"{router}.pull", "xpub": f"{router}.xpub"}
    ports = [port] * 3
    if port.isascii() and port.isdecimal():
        ports = [str(int(port) + n) for n in range(3)]
    names = ("router", "pull", "xpub")
    return {name: f"{place}:{each}" for name, each in zip(names, ports, strict=True)}


def serve_gateway(
    control: str,
    endpoints: dict[str, str],
    on_ready: Callable[[dict[str, str]], object],
    **options: Any,
) -> None:
    """Run a gateway until a signal comes.

    Parameters
    ----------
    control : str
        Endpoint of the supervisor.
    endpoints : dict of str to str
    on_ready : callable
        Told the endpoints as they were bound.
    **options
        As for :class:`streamlstm.serving.gateway.gateway.Gateway`.

    Raises
    ------
    EndpointError
        If an endpoint is taken, malformed or not allowed.
    """
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.set(zmq.ROUTING_ID, NAME.encode())
        socket.set(zmq.LINGER, 0)
        socket.connect(control)
        where = (endpoints[name] for name in ("router", "pull", "xpub"))
        with derived_from("gateway"):
            gateway = Gateway(socket, context, *where, **options)
        try:
            with gateway.wakeup.on_signals():
                socket.send(wire.encode_control(NAME, os.getpid(), gateway.endpoints))
                on_ready(gateway.endpoints)
                while not gateway.turn():
                    follow(gateway, socket)
                gateway.drain()
        finally:
            gateway.close()


def follow(gateway: Gateway, socket: zmq.Socket[bytes]) -> None:
    """Let a gateway learn what its supervisor has said."""
    while True:
        try:
            message = wire.decode_control(socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            return
        if message.name == "table":
            value, live = message.fields
            gateway.follow(wire.FleetTable.from_value(value), live)
