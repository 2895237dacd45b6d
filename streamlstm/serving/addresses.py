"""Which address of this machine a host names: an address itself, an interface, a host name."""

from __future__ import annotations

import ipaddress
import socket

import psutil

ANY = "0.0.0.0"  # what `*` means to ZeroMQ


def resolve(host: str) -> str | None:
    """Return the address that a host stands for; None if it is not known here.

    Of several addresses the first is taken, of IPv4 if there is one: ZeroMQ binds one, and this is
    the one that is checked.

    Parameters
    ----------
    host : str
        ``*``, an address (IPv6 with or without brackets), the name of a network interface, or a
        host name.
    """
    if host == "*":
        return ANY
    host = host.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        found = _of_interface(host) or _of_name(host)
    found.sort(key=lambda address: ":" in address)
    return found[0] if found else None


def _of_interface(name: str) -> list[str]:
    families = (socket.AF_INET, socket.AF_INET6)
    addresses = psutil.net_if_addrs().get(name, [])
    return [str(a.address) for a in addresses if a.family in families]


def _of_name(name: str) -> list[str]:
    """Return the addresses of a host name, and of an address in an older notation (127.1)."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach an address."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_loopback


def bracketed(address: str) -> str:
    """Return an address as it stands before a port: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address
