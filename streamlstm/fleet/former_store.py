"""The store of a single worker becomes that of a fleet: its first worker begins with all of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import wire
from ..errors import StoreError
from ..serving.stores.lmdb.data_file import DATA, LOCK
from ..serving.stores.lmdb.seal import SEAL
from .record import Record

FIRST = "w0"
_FILES = (LOCK, SEAL, DATA)  # the data last: as long as it is here, there is something to move


def is_former_store(place: Path) -> bool:
    """Tell whether a folder is, or was until it began to be moved, the store of a single worker."""
    return (place / DATA).exists()


def record_of_former_store() -> Record:
    """Return the record of a fleet whose first worker has all partitions."""
    table = wire.FleetTable.new()._replace(
        version=1,
        workers=(wire.FleetWorker(FIRST, "", "", ""),),
        owners=np.zeros(wire.PARTITIONS, np.uint16),
        epochs=np.ones(wire.PARTITIONS, np.uint32),
    )
    return Record.new()._replace(table=table)


def move_former_store(place: Path) -> None:
    """Move the files of a single worker's store to where the first worker of a fleet has them.

    Raises
    ------
    StoreError
        If that worker has a store already; then nothing has changed.
    """
    folder = place / Record.new().folder(FIRST)
    if (folder / DATA).exists():
        raise StoreError(
            f"{place}: there is the store of a single worker ({DATA}) beside those of a fleet; "
            "move it into a folder of its own, then start the fleet again."
        )
    folder.mkdir(exist_ok=True)
    for name in _FILES:
        if (place / name).exists():
            (place / name).replace(folder / name)
