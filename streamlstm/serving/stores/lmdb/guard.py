"""Guards an open store: refuses a data file that is not as its last commit left it.

LMDB maps the file into memory. A page that was cut off ends the process by SIGBUS when it is read,
a damaged one may end it by an assertion, and a file that was deleted still takes commits, which
nobody will ever read. The status of the file tells of all three beforehand, in microseconds: the
worker alone writes to it, so it may only change by commits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from ....errors import StoreError
from .data_file import DATA, DataFile, FileStatus
from .folder import RESTORE

_LOG = logging.getLogger(__name__)

_SAFE = "Streams in memory are safe as long as the worker runs; export what must not be lost, then"


class Guard:
    """Compares the data file of a store with what its last commit left.

    Parameters
    ----------
    place : str
        Of the store, for messages.
    file : DataFile
        Closed with the guard.
    problems : callable
        Checks the whole file, and returns a sentence for each kind of damage.

    Attributes
    ----------
    known : FileStatus
        The file as the last commit left it.
    """

    def __init__(self, place: str, file: DataFile, problems: Callable[[], list[str]]) -> None:
        self._place, self._file, self._problems = place, file, problems
        self.known = file.status()
        self._sound = True  # False from when it was found changed until a check of it
        self._checked: FileStatus | None = None  # the changed file that was checked last,
        self._found: list[str] = []  # and what was wrong with it

    @property
    def open_path(self) -> Path:
        """A path that leads to the open file, even after it was deleted."""
        return self._file.open_path

    @property
    def is_intact(self) -> bool:
        """True if the file at the path is the known one, unchanged."""
        return self._sound and self._file.status_at_path() == self.known

    def note(self) -> None:
        """Take the file as it is now for what this process has left, unless it was cut short."""
        now = self._file.status()
        if now.size >= self.known.size:
            self.known = now

    def check_read(self, writing: Callable[[], bool]) -> None:
        """Check that pages may be read; from any thread.

        A file that is cut short between this and the reading still ends the process.

        Parameters
        ----------
        writing : callable
            Whether a commit is under way, which may change the file.

        Raises
        ------
        StoreError
            If the file was cut short or changed.
        """
        known, now = self.known, self._file.status()
        self._check_size(now, known)
        changed = now != known and not writing() and self.known is known
        if changed or not self._sound:
            raise StoreError(
                f"{self._place}: {DATA} was changed by another program; it is read again when a "
                "check finds it sound."
            )

    def check_write(self) -> None:
        """Check that a commit may begin; a changed file is read through as a whole, once.

        Raises
        ------
        StoreError
            If the file was cut short, or changed and damaged.
        """
        now = self._file.status()
        self._check_size(now, self.known)
        if now != self.known:
            self._sound = False
            if now != self._checked:
                _LOG.warning("%s: %s was changed by another program", self._place, DATA)
                self._found, self._checked = self._problems(), now
            if self._found:
                raise StoreError(
                    f"{self._place}: {DATA} was changed by another program while it was in use, "
                    f"and is damaged: {self._found[0]}. {_SAFE} {RESTORE}."
                )
            _LOG.warning("%s: is sound", self._place)
            self.known = now
        self._sound = True

    def _check_size(self, now: FileStatus, known: FileStatus) -> None:
        if now.size < known.size:
            raise StoreError(
                f"{self._place}: {DATA} was cut short while it was in use, from {known.size} bytes "
                f"to {now.size}. {_SAFE} {RESTORE}."
            )

    def is_deleted(self) -> bool:
        """Return whether the file was deleted or moved away.

        Raises
        ------
        StoreError
            If another file is in its place.
        """
        there = self._file.status_at_path()
        if there is not None and not there.is_same_file(self.known):
            raise StoreError(
                f"{self._place}: {DATA} was replaced by another file while it was in use. The "
                "worker has the file before still open: move the new one away, and it writes its "
                "own there again."
            )
        return there is None

    def close(self) -> None:
        """Close the file."""
        self._file.close()
