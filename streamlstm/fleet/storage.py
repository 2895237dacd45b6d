"""Where a fleet keeps its record and streams: in folders, in a store that is shared, nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ..errors import BadValueError, StoreError
from .folders import Folders
from .former_store import is_former_store, move_former_store, record_of_former_store
from .members import Stores
from .record import Record
from .table_file import TableFile
from .table_redis import TableRedis, open_table

_NOTHING: Mapping[int, int] = MappingProxyType({})


class Storage:
    """Nowhere: all is in memory only, and the interface of the others.

    Attributes
    ----------
    stores : Stores
    on_change : callable
        Called from a thread when :meth:`lost` has something to tell.
    """

    stores = Stores.MEMORY

    def __init__(self) -> None:
        self.on_change: Callable[[], object] = lambda: None

    def read(self) -> Record:
        """Return the record that was written last; an empty one if there is none.

        Raises
        ------
        StoreError
            If it is damaged, or what it needs is not there.
        """
        return Record.new()

    def resume(self) -> tuple[Record, Mapping[str, Mapping[int, int]]]:
        """Return the record, and what each worker has noted of partitions that came to it.

        Raises
        ------
        StoreError
            As :meth:`read`.
        """
        record = self.read()
        names = [worker.name for worker in record.table.workers]
        return record, {name: self.arrived(record.folder(name)) for name in names}

    def write(self, record: Record) -> None:
        """Replace the record, of which nobody else may have written another.

        Raises
        ------
        FencedError
            If somebody else has the store by now.
        StoreError
            If it cannot be written now.
        """

    def keep(self, record: Record) -> None:
        """Look whether the record is still there, once a second; errors are those of write."""

    def options(self, _folder: str) -> list[str]:
        """Return the options of a worker's store, whose folder has this name."""
        return []

    def arrived(self, _folder: str) -> Mapping[int, int]:
        """Return what a worker has noted of partitions that have come to it (ownership.py).

        Raises
        ------
        StoreError
            If that cannot be read now.
        """
        return _NOTHING

    def ended(self, worker: str) -> None:
        """Note that the process of a worker has ended.

        Raises
        ------
        StoreError
            If that cannot be noted now.
        """

    def members(self) -> list[str]:
        """Return the workers that may commit, where others than this supervisor have begun them.

        Raises
        ------
        StoreError
            If that cannot be read now.
        """
        return []

    def alive(self) -> list[str]:
        """Let no worker commit any more whose lease has ended; return the others.

        Raises
        ------
        StoreError
            If that cannot be noted now.
        """
        return []

    def lost(self) -> list[str]:
        """Return workers that may commit nothing any more, though their processes may live.

        Raises
        ------
        FencedError
            If somebody else has the store by now.
        """
        return []

    def remove(self, _folder: str) -> None:
        """Delete the folder of a worker."""

    def close(self) -> None:
        """Let another fleet use it."""


class FolderStorage(Storage):
    """A folder, in which each worker has one of its own.

    Parameters
    ----------
    place : Path

    Raises
    ------
    StoreError
        If another fleet uses it.
    """

    stores = Stores.OWN

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._place = place
        self._table, self._folders = TableFile(place), Folders(place)

    def read(self) -> Record:
        """Return the record, and check that its folders are there.

        The store of a single worker becomes one of a fleet.
        """
        if not self._table.is_there():
            self._table.write(self._first_record())
        if is_former_store(self._place):
            move_former_store(self._place)
        record = self._table.read()
        self._folders.check(record)
        return record

    def _first_record(self) -> Record:
        """Return the record of a fleet that begins: from nothing, or from a worker's store."""
        if is_former_store(self._place):
            return record_of_former_store()
        self._folders.check_new()
        return Record.new()

    def write(self, record: Record) -> None:
        """Replace the record."""
        self._table.write(record)

    def keep(self, record: Record) -> None:
        """Write the record again if somebody has deleted it."""
        if not self._table.is_there():
            self._table.write(record)

    def options(self, folder: str) -> list[str]:
        """Return the options of a worker's store."""
        return ["--store", f"lmdb:{self._folders.path(folder)}"]

    def arrived(self, folder: str) -> Mapping[int, int]:
        """Return what is noted in a folder."""
        return self._folders.arrived(folder)

    def remove(self, folder: str) -> None:
        """Delete a folder."""
        self._folders.remove(folder)

    def close(self) -> None:
        """Let another fleet use the folder."""
        self._table.close()


class SharedStorage(Storage):
    """A store in Redis that all workers share.

    Parameters
    ----------
    table : TableRedis
        Closed with this.
    place : sequence of str
        The options that name the store, unless every worker has them anyway.
    """

    stores = Stores.SHARED

    def __init__(self, table: TableRedis, place: Sequence[str] = ()) -> None:
        super().__init__()
        self._table, self._place = table, list(place)
        self._table.on_change = lambda: self.on_change()

    def read(self) -> Record:
        """Return the record."""
        return self._table.read()

    def write(self, record: Record) -> None:
        """Replace the record."""
        self._table.write(record)

    def options(self, _folder: str) -> list[str]:
        """Return the options of the store."""
        return [*self._place, "--fleet-epoch", str(self._table.epoch)]

    def arrived(self, _folder: str) -> Mapping[int, int]:
        """Return what is noted there."""
        return self._table.arrived()

    def ended(self, worker: str) -> None:
        """End the membership of a worker at once."""
        self._table.ended(worker)

    def members(self) -> list[str]:
        """Return the workers that may commit."""
        return self._table.members()

    def alive(self) -> list[str]:
        """Let no worker commit any more whose lease has ended; return the others."""
        return self._table.alive()

    def lost(self) -> list[str]:
        """Return the workers whose leases have ended since the last call."""
        if self._table.fenced is not None:
            raise self._table.fenced
        return self._table.lost()

    def close(self) -> None:
        """End the ownership."""
        self._table.close()


def open_storage(where: str, take_over: bool = False) -> Storage:
    """Return what ``--store`` names.

    Raises
    ------
    BadValueError
        If that is nothing.
    StoreError
        If it cannot be used.
    """
    kind, _, path = where.partition(":")
    if take_over and kind not in ("redis", "rediss", "unix"):
        raise BadValueError(
            "--take-over takes a store in Redis from its owner: expected redis://..."
        )
    if kind == "lmdb" and path:
        return FolderStorage(Path(path))
    if kind in ("redis", "rediss", "unix"):
        return SharedStorage(open_table(where, take_over), ["--store", where])
    if where == "memory":
        return Storage()
    raise StoreError(f"--store: expected lmdb:FOLDER, redis://HOST:PORT or memory, got {where!r}.")
