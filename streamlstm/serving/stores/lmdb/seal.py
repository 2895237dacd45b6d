"""A note beside the data file of a store: which file it was, and as what it was last written.

A file that is still like that needs no check when a worker starts. After a commit that was
interrupted, a loss of power, a copy, or a change by any other program it is not, and the whole tree
is checked (check.py). The note also shows that a store was here when its data file is gone.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from .data_file import FileStatus

SEAL = "streamlstm.json"
_BYTES = 256  # of the note, padded: it is replaced in place


class Seal:
    """The note in the folder of a store."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / SEAL

    def write(self, status: FileStatus, closed: bool = False) -> None:
        """Note what the data file is like now, if possible: where that is lost, a check is made.

        Parameters
        ----------
        status : FileStatus
        closed : bool
            Whether the store is being closed. If it is not, the note counts until this machine
            restarts: before, not even SIGKILL takes back what was written.
        """
        note = {
            "inode": status.inode,
            "size": status.size,
            "modified": status.modified,
            "boot": None if closed else _boot(),
        }
        with suppress(OSError):
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.pwrite(file, json.dumps(note).ljust(_BYTES - 1).encode() + b"\n", 0)
            finally:
                os.close(file)

    def fits(self, status: FileStatus) -> bool:
        """Return whether a data file is as it was when this was noted."""
        note = self._read()
        as_noted = all(
            note.get(name) == getattr(status, name) for name in ("inode", "size", "modified")
        )
        return as_noted and note["boot"] in (None, _boot())

    @property
    def is_closed(self) -> bool:
        """True if the last worker has closed the store."""
        return self._read().get("boot", "") is None

    def _read(self) -> dict[str, object]:
        try:
            note = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) and "boot" in note else {}


def _boot() -> str:
    """Return what names the time from one start of this machine to the next."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return os.urandom(8).hex()  # nothing fits it
