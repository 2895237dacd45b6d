"""The data file of a store, as the file system sees it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

DATA, LOCK = "data.mdb", "lock.mdb"  # files of an LMDB environment


class FileStatus(NamedTuple):
    """What the file system tells of a file: which one it is, its bytes, when they were written."""

    device: int
    inode: int
    size: int
    modified: int  # ns

    @classmethod
    def of(cls, file: Path | int) -> FileStatus:
        """Return the status of a path or of a file descriptor.

        Raises
        ------
        OSError
            If there is no such file, or it cannot be reached.
        """
        found = os.stat(file)
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def is_same_file(self, other: FileStatus) -> bool:
        """Return whether both are of one file, whatever is in it."""
        return (self.device, self.inode) == (other.device, other.inode)


class DataFile:
    """The data file of an open store, opened a second time beside LMDB.

    Raises
    ------
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY)

    @property
    def open_path(self) -> Path:
        """A path that leads to the open file, even after it was deleted."""
        return Path(f"/proc/self/fd/{self._file}")

    def status(self) -> FileStatus:
        """Return the status of the open file, wherever it is."""
        return FileStatus.of(self._file)

    def status_at_path(self) -> FileStatus | None:
        """Return the status of the file that is at the path now; None if there is none."""
        try:
            return FileStatus.of(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def close(self) -> None:
        """Close it; its status cannot be read any more."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
