"""What an agent is started with, as plain values: Ray sends them to its machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

# Options of `streamlstm fleet` that name an address of the machine; `*` stands for it.
_ADDRESSES = ("--router", "--control", "--gateway")


class Plan(NamedTuple):
    """How each machine of a fleet serves.

    Attributes
    ----------
    model : bytes or None
        Content of the model file; None: ``arguments`` name a detector.
    workers : int
        Of each machine.
    labels : mapping of str to str
        That a machine must have.
    arguments : sequence of str
        Further ones of ``streamlstm fleet --join``; addresses behind a ``=``.
    file, control : str
        The endpoints file of the command that starts the fleet, and what it says of it (file.py).
    """

    model: bytes | None
    workers: int
    labels: Mapping[str, str]
    arguments: Sequence[str]
    file: str
    control: str


def place_of(store: str) -> str:
    """Return what names a fleet on a Ray cluster: its store, without user and password.

    >>> place_of("redis://:secret@10.0.0.5:6379?prefix=pumps")
    'streamlstm:10.0.0.5:6379?prefix=pumps'
    """
    parts = urlsplit(store)
    where = parts.netloc.rpartition("@")[2] + parts.path.rstrip("/")
    return f"streamlstm:{where}" + (f"?{parts.query}" if parts.query else "")


def here(arguments: Sequence[str], address: str) -> list[str]:
    """Return arguments with the machine's address in place of ``tcp://*``."""
    host = f"[{address}]" if ":" in address else address
    return [_here(argument, host) for argument in arguments]


def _here(argument: str, host: str) -> str:
    option, _, value = argument.partition("=")
    if option not in _ADDRESSES or not value.startswith("tcp://*:"):
        return argument
    return f"{option}={value.replace('*', host, 1)}"


def machine_name(node_name: str) -> str:
    """Return a machine's name in the fleet: the one that Ray has for it, by default its address."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", node_name)
