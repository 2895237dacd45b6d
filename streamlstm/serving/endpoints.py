"""Checks where a worker's sockets may be bound."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from .. import wire
from ..errors import EndpointError
from .addresses import bracketed, is_loopback, resolve


def check_endpoint(name: str, endpoint: str, insecure: bool, encrypted: bool = False) -> str:
    """Return what to bind; raise EndpointError if it is malformed, not allowed or taken.

    Names of hosts and interfaces are resolved here, so that what is checked is what is bound.

    Without CURVE messages are neither encrypted nor their senders known, so addresses beyond
    loopback have to be allowed explicitly. With CURVE, ``inproc://`` is refused: ZeroMQ does not
    authenticate there.

    Parameters
    ----------
    name : str
        Name of the socket; also the option of ``streamlstm serve``.
    endpoint : str
    insecure : bool
        Whether addresses that other machines can reach are allowed without CURVE.
    encrypted : bool
        Whether the socket uses CURVE.

    Returns
    -------
    str
        The endpoint with an address in place of a name; one of IPv6 is in brackets.
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
    if scheme == "inproc" and encrypted:
        raise EndpointError(
            f"--{name} {endpoint}: ZeroMQ checks no keys over inproc://; expected tcp:// "
            "or ipc://, or a worker without keys"
        )
    if scheme == "tcp":
        keys = "give the worker keys (--key and --allow, docs/security.md), "
        bound = check_reach(name, endpoint, host, insecure or encrypted, keys)
        return f"tcp://{bracketed(bound)}:{port}"
    if scheme == "ipc" and address == "*":
        # libzmq would make a folder for it here, and leave that behind
        raise EndpointError(
            f"--{name} {endpoint}: * stands for a port of tcp://; expected ipc://PATH"
        )
    if scheme == "ipc" and _is_no_socket(address):
        # libzmq would remove it and put its socket there
        raise EndpointError(
            f"--{name} {endpoint}: the path exists and is not a socket; choose another path"
        )
    if scheme == "ipc" and _is_listening(address):
        # libzmq would take the path away from its owner without a word
        raise EndpointError(f"--{name} {endpoint}: {_taken(name, 'tcp://127.0.0.1:*')}")
    return endpoint


@contextmanager
def derived_from(option: str) -> Iterator[None]:
    """Let errors of sockets within ``with`` name the option from which their endpoints follow."""
    try:
        yield
    except EndpointError as error:
        text = re.sub(rf"^--(?!{option} )([a-z]+) ", rf"--{option}, \1 ", str(error))
        raise EndpointError(re.sub(r"\(--[a-z]+ '", f"(--{option} '", text)) from None


def check_reach(name: str, endpoint: str, host: str, insecure: bool, other: str = "") -> str:
    """Return the address of a host.

    Raises EndpointError for one that is not known, and for one that other machines can reach unless
    `insecure` allows it. ``other`` names another remedy, for the message.
    """
    address = resolve(host)
    if address is None:
        raise EndpointError(
            f"--{name} {endpoint}: {host} is neither an address nor a network interface of this "
            "machine, nor a host name that is known here; expected for example 127.0.0.1, [::1] "
            "or lo"
        )
    if not insecure and not is_loopback(address):
        raise EndpointError(
            f"--{name} {endpoint}: other machines could reach this address, and nothing would "
            f"protect it; bind to 127.0.0.1, {other}or use --insecure if the network is trusted"
        )
    return address


def describe_bind_error(
    error: zmq.ZMQError | OSError, name: str, anywhere: str = "tcp://127.0.0.1:*"
) -> str:
    """Return why an address could not be bound; `anywhere` lets the system choose a port."""
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


def _is_no_socket(path: str) -> bool:
    try:
        return not stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_listening(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # so many wait that nobody else fits in
            return True
        except OSError:
            return False
        return True


def _taken(name: str, anywhere: str) -> str:
    return (
        "is taken, perhaps by another worker; stop that one, or choose another address "
        f"(--{name} '{anywhere}' lets the system choose)"
    )
