"""The owner of a store that several processes can reach: one at a time, for as long as it renews.

An owner is known by a random token and by its epoch, a number that grows with every change of
owners. Its process is noted as well, so that a worker that is started on the same machine sees at
once that the one before has died, and need not wait for its lease to run out.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from pathlib import Path
from typing import NamedTuple

from ...errors import StoreError

_DEAD = ("Z", "X")  # states of a process that has ended and is still listed


class Owner(NamedTuple):
    """An owner, as the store notes it.

    Attributes
    ----------
    token : str
        Random; no two owners have the same.
    epoch : int
        Above that of every owner before.
    host : str
        Name of its machine, for messages.
    pid : int
    space : str
        Where this pid means this process: the boot of the machine, and the namespace of pids, of
        which every container has one.
    start : int
        When the process started, in clock ticks since the boot; a later one may get the same pid.
    """

    token: str
    epoch: int
    host: str
    pid: int
    space: str
    start: int

    @classmethod
    def of_this_process(cls, epoch: int) -> Owner:
        """Return this process as the owner of an epoch."""
        pid = os.getpid()
        start = _start(pid)
        assert start is not None
        return cls(secrets.token_hex(16), epoch, socket.gethostname(), pid, _space(), start)

    @classmethod
    def decode(cls, found: bytes, place: str) -> Owner:
        """Return the owner that a store notes.

        Raises
        ------
        StoreError
            If it is something else.
        """
        try:
            return cls(**json.loads(found))
        except (ValueError, TypeError):
            raise StoreError(
                f"{place}: expected its owner, got {found[:40]!r}; choose another place."
            ) from None

    def encode(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(self._asdict()).encode()

    @property
    def is_visible(self) -> bool:
        """True if this process could see the owner's, if that still runs."""
        return self.space == _space()

    @property
    def has_ended(self) -> bool:
        """True if the owner's process is known to have ended."""
        return self.is_visible and _start(self.pid) != self.start

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _space() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"


def _start(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the boot; None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()  # behind the name, which may contain anything
    return None if state in _DEAD else int(fields[18])
