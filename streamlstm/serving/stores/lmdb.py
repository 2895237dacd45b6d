"""Stores streams in LMDB, in a folder of this machine: one transaction a commit, synced to disk.

LMDB never overwrites what the last commit needs: whatever interrupts a commit, the one before it is
there, whole, when the store is opened again.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import lmdb

from ...errors import StoreError
from .header import HEADER_KEY, Header
from .store import Loss, Pairs

FIRST_SIZE = 2**30  # bytes of address space to reserve; the file is as large as what is in it


class LmdbStore:
    """A store in an LMDB environment.

    Parameters
    ----------
    path : str
        Its folder, which is created if it does not exist.
    header : Header
        What the store must be of.
    other : {"refuse", "keep", "anew"}
        What to do with streams of another model.

    Attributes
    ----------
    kind, place, loss, header
        As in :class:`streamlstm.serving.stores.store.Store`.

    Raises
    ------
    StoreError
        If it cannot be opened, is in use by another worker, or holds streams of another model.
    """

    kind = "lmdb"
    loss: Loss | None = None

    def __init__(self, path: str, header: Header, other: str = "refuse") -> None:
        self.place = f"lmdb:{path}"
        self._path, self.header = Path(path), header
        self._due = False  # whether the header has to be written
        self._folder = -1
        self._writing = threading.Lock()  # it grows while no other transaction writes
        self._resizing = threading.Lock()  # no transaction may be open while the map grows
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._folder)
            raise StoreError(
                f"{self.place}: is in use by another worker; give each worker a store of its own."
            ) from None
        except OSError as error:
            raise StoreError(f"{self.place}: cannot be opened: {error.strerror}.") from None
        try:
            self._env = self._open()
            self._check(other)
        except lmdb.Error as error:
            os.close(self._folder)
            raise self._failed("opened", error) from None
        except StoreError:
            self.close()
            raise

    def _open(self) -> lmdb.Environment:
        """Open it for writing; for reading only, if writing is not permitted."""
        try:
            self.read_only = False
            return self._environment(readonly=False)
        except lmdb.ReadonlyError:
            self.read_only = True
            return self._environment(readonly=True, lock=False)  # the folder is locked

    def _environment(self, **options: bool) -> lmdb.Environment:
        data = self._path / "data.mdb"
        size = data.stat().st_size if data.exists() else 0
        return lmdb.open(
            str(self._path),
            map_size=max(FIRST_SIZE, 2 * size),
            readahead=False,  # streams come back in any order
            **options,
        )

    def _check(self, other: str) -> None:
        with self._env.begin() as read:
            found = read.get(HEADER_KEY)
        if found is not None or self._env.stat()["entries"]:
            self.header = self.header.accept(found or b"", self.place, other)
        self._due = self.header.encode() != found
        if self._due and not (self.read_only and found is not None):
            self._commit((), (), self.header)

    def count(self) -> int:
        """Return how many streams it holds."""
        return int(self._env.stat()["entries"]) - 1

    def set_header(self, header: Header) -> None:
        """Replace the header; from any thread."""
        self._commit((), (), header)

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of each key, None where there is none."""
        try:
            with self._resizing, self._env.begin() as read:
                return [read.get(key) for key in keys]
        except lmdb.Error as error:
            raise self._failed("read", error) from None

    def page(self, prefix: bytes, after: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Return the next streams in the order of their keys, with their records."""
        found: list[tuple[bytes, bytes]] = []
        try:
            with self._resizing, self._env.begin() as read, read.cursor() as cursor:
                if not cursor.set_range(max(prefix, after) or b"\0"):
                    return found
                for key, record in cursor:
                    if len(found) == count or key[: len(prefix)] > prefix:
                        break
                    if key > after and key != HEADER_KEY:
                        found.append((key, record))
        except lmdb.Error as error:
            raise self._failed("read", error) from None
        return found

    def commit(self, deleted: Sequence[bytes], pairs: Pairs) -> None:
        """Delete streams, then write records; all of it or nothing."""
        self._commit(deleted, pairs, self.header if self._due else None)

    def check(self) -> None:
        """Do nothing: the folder is locked."""

    def _commit(self, deleted: Sequence[bytes], pairs: Pairs, header: Header | None) -> None:
        try:
            with self._writing:
                if self.read_only:
                    self._reopen()
                while not self._write(deleted, pairs, header):
                    with self._resizing:
                        self._env.set_mapsize(2 * self._env.info()["map_size"])
                if header is not None:
                    self.header, self._due = header, False
        except lmdb.Error as error:
            raise self._failed("written", error) from None

    def _write(self, deleted: Sequence[bytes], pairs: Pairs, header: Header | None) -> bool:
        """Write all of it in one transaction; return whether there was room in the map."""
        try:
            with self._env.begin(write=True) as write:
                if header is not None:
                    write.put(HEADER_KEY, header.encode())
                for key in deleted:
                    write.delete(key)
                with write.cursor() as cursor:
                    cursor.putmulti(pairs)
        except lmdb.MapFullError:
            return False
        return True

    def _reopen(self) -> None:
        """Try again to open it for writing, after it was read-only."""
        with self._resizing:
            self._env.close()
            self._env = self._open()
        if self.read_only:
            raise StoreError(f"{self.place}: cannot be written: it is read-only.")

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of every stream; nothing may be committed meanwhile."""
        try:
            with self._env.begin() as read, read.cursor() as cursor:
                for key, record in cursor:
                    if key != HEADER_KEY:
                        yield key, record
        except lmdb.Error as error:
            raise self._failed("read", error) from None

    def close(self) -> None:
        """Close it, and unlock its folder."""
        self._env.close()
        os.close(self._folder)

    def _failed(self, what: str, error: lmdb.Error) -> StoreError:
        return StoreError(f"{self.place}: cannot be {what}: {error}.")
