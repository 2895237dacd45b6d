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

_ENDED = ("Z", "X")  # states of a process that is listed until its parent has noticed


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
    fleet : bool
        Whether it is the supervisor of a fleet, whose workers share the store.
    """

    token: str
    epoch: int
    host: str
    pid: int
    space: str
    start: int
    fleet: bool = False

    @classmethod
    def of_this_process(cls, epoch: int, fleet: bool = False) -> Owner:
        """Return this process as the owner of an epoch."""
        pid = os.getpid()
        _, start = _state_and_start(pid) or ("", 0)
        return cls(secrets.token_hex(16), epoch, socket.gethostname(), pid, _space(), start, fleet)

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
        """Return it as JSON; ``fleet`` only where it is one, as versions before had none."""
        fields = self._asdict()
        if not self.fleet:
            del fields["fleet"]
        return json.dumps(fields).encode()

    @property
    def is_visible(self) -> bool:
        """True if this process could see the owner's, if that still runs."""
        return bool(self.space) and self.space == _space()

    @property
    def has_ended(self) -> bool:
        """True if the owner's process is known to have ended."""
        if not self.is_visible:
            return False
        found = _state_and_start(self.pid)
        if found is None:
            return not _exists(self.pid)
        state, start = found
        return state in _ENDED or start != self.start

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _space() -> str:
    """Return what pids belong to; empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _state_and_start(pid: int) -> tuple[str, int] | None:
    """Return a process's state, and when it started; None if that cannot be read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()  # behind the name, which may contain anything
    return state, int(fields[18])


def _exists(pid: int) -> bool:
    """Return whether there is such a process; /proc may hide those of other users."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
