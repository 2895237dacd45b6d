"""The folders of a fleet on one machine: the store of each worker, and of those that have died."""

from __future__ import annotations

import re
import time
from pathlib import Path
from shutil import rmtree

from ..errors import StoreError
from ..serving.stores.lmdb.arrived import read_arrived
from ..serving.stores.lmdb.folder import is_in_use
from .record import Record

FREE_SECONDS = 15.0  # in which workers of a supervisor that was killed commit and end
_LOOK_SECONDS = 0.05
_NAME = re.compile(r"worker-(.+)\.(\d+)")


class Folders:
    """The folders beside the table of a fleet.

    Parameters
    ----------
    place : Path
    """

    def __init__(self, place: Path) -> None:
        self.place = place

    def path(self, folder: str) -> Path:
        """Return where a folder is."""
        return self.place / folder

    def arrived(self, folder: str) -> dict[int, int]:
        """Return in which epochs partitions have come to the worker of a folder."""
        return read_arrived(self.path(folder))

    def remove(self, folder: str) -> None:
        """Delete a folder."""
        rmtree(self.path(folder), ignore_errors=True)

    def check(self, record: Record) -> None:
        """Check that all is there that a fleet needs to go on; delete what it needs no more.

        Workers of a supervisor that was killed may still be at their last commit: they are waited
        for.

        Raises
        ------
        StoreError
            If a folder is missing, or still used by a worker.
        """
        table = record.table
        owners = {w.name for p in range(len(table.owners)) if (w := table.owner(p)) is not None}
        needed = {record.folder(name) for name in owners}
        needed |= {folder for folders in record.sources.values() for folder in folders}
        for folder in sorted(needed):
            if not self.path(folder).is_dir():
                raise StoreError(
                    f"{self.path(folder)}: is missing, though streams of this fleet are in it; "
                    "restore it from a backup, or choose another folder for the fleet."
                )
        deadline = time.monotonic() + FREE_SECONDS
        for worker in table.workers:
            self._wait_for(self.path(record.folder(worker.name)), deadline)
        for path in self.place.glob("worker-*.*"):
            if (found := _NAME.fullmatch(path.name)) and path.name not in needed:
                name, generation = found[1], int(found[2])
                if generation < record.generations.get(name, 0):
                    self.remove(path.name)

    def check_new(self) -> None:
        """Check that a fleet which begins here leaves nothing out.

        Raises
        ------
        StoreError
            If there are folders of workers, but not the table that says who has what.
        """
        found = sorted(path.name for path in self.place.glob("worker-*.*"))
        if found:
            raise StoreError(
                f"{self.place}: the table of the fleet, table.json, is missing, though there are "
                f"folders of its workers ({found[0]} ...); restore it from a backup, or move them "
                "away to begin anew."
            )

    def _wait_for(self, path: Path, deadline: float) -> None:
        while path.is_dir() and is_in_use(path):
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{path}: a worker of this fleet still uses it, though its supervisor has "
                    "ended; end that worker, then start the fleet again."
                )
            time.sleep(_LOOK_SECONDS)
