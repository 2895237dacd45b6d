"""The sockets of a worker: how they are set up, and where they may be bound."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket as posix
import stat

import zmq

from .. import wire
from ..client.handshake import stop_telling
from ..errors import EndpointError
from .access.authenticator import Doorkeeper, Locks

HIGH_WATER_MARK = 1_000  # messages queued in each direction, for each peer
# One STEPS is published as up to MAX_STREAMS messages at once, and a few of them in a row have to
# get through to a subscriber that reads. libzmq notices what was read in lots of half the mark, so
# half of it is sure. A full queue of short messages takes 17 MB for each subscriber.
PUBLICATIONS = 8 * wire.MAX_STREAMS


def bind_door(
    context: zmq.Context[zmq.Socket[bytes]],
    kind: int,
    name: str,
    endpoint: str,
    *,
    max_bytes: int,
    insecure: bool = False,
    locks: Locks | None = None,
    doorkeeper: Doorkeeper | None = None,
) -> zmq.Socket[bytes]:
    """Return a bound socket.

    Parameters
    ----------
    context : zmq.Context
    kind : int
        ``zmq.ROUTER``, ``zmq.PULL`` or ``zmq.XPUB``.
    name : str
        What messages call the door; the option of ``streamlstm serve``.
    endpoint : str
        Where to bind.
    max_bytes : int
        Larger messages are not received: their connection is closed.
    insecure : bool
        Whether addresses that other machines can reach are allowed.
    locks : Locks, optional
        Only clients with a key that they allow come in; then all addresses are allowed.
    doorkeeper : Doorkeeper, optional
        Not started yet; hears of clients that come without such a key.

    Raises
    ------
    EndpointError
        If the endpoint is not allowed, malformed or taken.
    """
    check_endpoint(name, endpoint, insecure, locks is not None)
    door = context.socket(kind)
    try:
        door.set(zmq.LINGER, 0)
        door.set(zmq.MAXMSGSIZE, max_bytes)
        door.set(zmq.SNDHWM, PUBLICATIONS if kind == zmq.XPUB else HIGH_WATER_MARK)
        door.set(zmq.RCVHWM, HIGH_WATER_MARK)
        door.set(zmq.TCP_KEEPALIVE, 1)  # or what a vanished machine held would be kept for ever
        if kind == zmq.ROUTER:
            door.set(zmq.ROUTER_MANDATORY, 1)  # an answer that cannot be sent is an error, counted
        if kind == zmq.XPUB:
            door.set(zmq.XPUB_NODROP, 1)  # likewise, see Worker._publish
        if locks is not None:
            locks.put_on(door, name)
        if doorkeeper is not None:
            doorkeeper.watch(door, name)
        door.bind(endpoint)
    except zmq.ZMQError as error:
        _close(door)
        raise EndpointError(f"--{name} {endpoint}: {not_bound(error, name)}") from None
    except BaseException:
        _close(door)
        raise
    return door


def _close(door: zmq.Socket[bytes]) -> None:
    stop_telling(door)
    door.close()


def check_endpoint(name: str, endpoint: str, insecure: bool, locked: bool = False) -> None:
    """Raise EndpointError for one that is none, that other machines can reach, or that is taken.

    Without locks messages are neither encrypted nor their senders known, so beyond loopback a
    worker has to be told that this is meant. With them, ``inproc://`` is refused: ZeroMQ asks
    nobody there.
    """
    scheme, separator, address = endpoint.partition("://")
    host, colon, port = address.rpartition(":")
    has_port = scheme != "tcp" or bool(host and colon and port)
    if not separator or not address or not has_port or scheme not in ("tcp", "ipc", "inproc"):
        raise EndpointError(
            f"--{name} {endpoint}: expected tcp://ADDRESS:PORT, ipc://PATH or inproc://NAME, "
            f"for example tcp://127.0.0.1:*"
        )
    if scheme == "tcp" and port != "*" and not wire.is_port(endpoint):
        raise EndpointError(
            f"--{name} {endpoint}: port must be 1 to {wire.MAX_PORT} or *, got {port}"
        )
    if scheme == "inproc" and locked:
        raise EndpointError(
            f"--{name} {endpoint}: keys mean nothing within a process; expected tcp:// or ipc://, "
            "or a worker without keys"
        )
    if scheme == "tcp" and not locked:
        keys = "give the worker keys (--key and --allow, docs/security.md), "
        check_reach(name, endpoint, host.strip("[]"), insecure, keys)
    if scheme == "ipc" and _is_something_else(address):
        # libzmq would remove it and put its socket there
        raise EndpointError(
            f"--{name} {endpoint}: there is something else than a socket; choose another path"
        )
    if scheme == "ipc" and _is_listening(address):
        # libzmq would take the path away from its owner without a word
        raise EndpointError(f"--{name} {endpoint}: {_taken(name, 'tcp://127.0.0.1:*')}")


def check_reach(name: str, endpoint: str, host: str, insecure: bool, other: str = "") -> None:
    """Raise EndpointError for a host that other machines can reach, unless told that it may be.

    ``other`` says what else would do.
    """
    if not insecure and not _is_loopback(host):
        raise EndpointError(
            f"--{name} {endpoint}: other machines could reach this address, and nothing would "
            f"protect it; bind to 127.0.0.1, {other}or say --insecure if the network is trusted"
        )


def not_bound(error: zmq.ZMQError | OSError, name: str, anywhere: str = "tcp://127.0.0.1:*") -> str:
    """Say why an address could not be bound; `anywhere` lets the system choose a port."""
    number = error.errno or 0
    if number == errno.EADDRINUSE:
        return _taken(name, anywhere)
    reasons = {
        errno.EADDRNOTAVAIL: "is not an address of this machine",
        errno.ENODEV: "is not an address of this machine",
        errno.EACCES: "may not be bound by this user",
        errno.ENOENT: "is in a folder that does not exist",
        errno.ENAMETOOLONG: "is too long a path for a socket",
        errno.EINVAL: "is not an address; expected for example tcp://127.0.0.1:7450",
    }
    return reasons.get(number, f"cannot be bound: {error.strerror}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_something_else(path: str) -> bool:
    try:
        return not stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_listening(path: str) -> bool:
    with posix.socket(posix.AF_UNIX, posix.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def _taken(name: str, anywhere: str) -> str:
    return (
        "is taken, perhaps by another worker; stop that one, or choose another address "
        f"(--{name} '{anywhere}' lets the system choose)"
    )
