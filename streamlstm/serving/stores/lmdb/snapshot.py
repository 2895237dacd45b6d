"""A store as other programs than its worker see it: checks it, counts what is in it, copies it.

A read transaction keeps LMDB from reusing the pages of its last commit, so that all of this may
happen while the worker commits further.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import lmdb

from ....errors import StoreError
from ..header import HEADER_KEY, Header, decode_header
from ..record_check import RecordCheck
from .check import damaged, structure_problems
from .data_file import DATA, LOCK, FileStatus
from .environment import is_locked_for_another_file, last_transaction, open_environment
from .folder import folder_of, has_data, is_in_use, no_folder, sync
from .pages import PageCounts
from .seal import Seal

_TRIES, _TRY_SECONDS = 20, 0.05  # to find a moment in which no commit comes to its end


class Snapshot:
    """The last commit of a store, which is opened for reading beside its worker.

    Parameters
    ----------
    path : str
        The folder of the store; ``lmdb:`` may stand before it.

    Attributes
    ----------
    size : int
        Bytes of the data file.

    Raises
    ------
    StoreError
        If there is no store, or its file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(folder_of(path))
        self.place = f"lmdb:{self._path}"
        if not has_data(self._path, self.place):
            raise StoreError(f"{self.place}: there is no store.")
        try:
            self._status = FileStatus.of(self._path / DATA)
            self._env = open_environment(self._path, readonly=True)
        except (lmdb.Error, OSError) as error:
            raise self._failed(error) from None
        self._check_lock_file()
        self._read = self._env.begin()  # from here on no page of this commit is written over

    def _check_lock_file(self) -> None:
        for _ in range(_TRIES):
            if not is_locked_for_another_file(self._env):
                return
            time.sleep(_TRY_SECONDS)  # a commit comes to its end
        self._env.close()
        raise StoreError(
            f"{self.place}: a program that reads the former {DATA} is still running; end it."
        )

    @property
    def size(self) -> int:
        """Bytes of the data file."""
        return self._status.size

    @property
    def count(self) -> int:
        """Number of streams."""
        return int(self._env.stat()["entries"]) - 1

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the store: with its pages, or else with its records.

        Raises
        ------
        StoreError
            If it cannot be read, or is no store of streams.
        """
        found = self._structure_problems()
        yield from found
        if not found:
            yield from RecordCheck(self.header()).problems(self._pairs())

    def _structure_problems(self) -> list[str]:
        try:
            return structure_problems(self._path / DATA)
        except OSError as error:
            raise self._failed(error) from None

    def _check_structure(self) -> Seal:
        """Check the pages of a store that is not as its worker left it."""
        seal = Seal(self._path)
        if seal.fits(self._status):
            return seal
        if problems := self._structure_problems():
            raise damaged(self.place, problems)
        return seal

    def header(self) -> Header:
        """Return the header of the store, whose pages must be sound.

        Raises
        ------
        StoreError
            If it is no store of streams, or of an unknown format.
        """
        return decode_header(self._read.get(HEADER_KEY) or b"", self.place)

    def _pairs(self) -> Iterator[tuple[bytes, bytes]]:
        with self._read.cursor() as cursor:
            yield from ((key, record) for key, record in cursor if key != HEADER_KEY)

    def info(self) -> dict[str, Any]:
        """Return what the store is and how much is in it.

        Raises
        ------
        StoreError
            If its pages are damaged, or it is no store of streams.
        """
        seal = self._check_structure()
        header = self.header()
        return {
            "place": self.place,
            "streams": self.count,
            "record_size": header.record_size,
            "format": header.format,
            "model": header.model,
            "epoch": header.epoch,
            "bytes": self.size,
            "free": PageCounts.of(self._env).free_bytes,
            "commits": last_transaction(self._env),
            "last_commit": self._status.modified / 1e9,
            "state": self._state(seal),
        }

    def _state(self, seal: Seal) -> str:
        if is_in_use(self._path):
            return "in use by a worker"
        if not seal.fits(self._status):
            return "not closed by its worker, or copied since; sound"
        return "closed by its worker" if seal.is_closed else "not closed by its worker; complete"

    def copy(self, out: Path) -> tuple[int, int]:
        """Write a compact copy of the store, and check it; may be called once.

        Parameters
        ----------
        out : Path
            A folder that does not exist, or is empty; it appears with the whole copy.

        Returns
        -------
        streams, size : int
            Streams in the copy, and bytes.

        Raises
        ------
        StoreError
            If this store is damaged, or the copy cannot be written.
        """
        self._check_structure()
        try:
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise StoreError(f"{out}: expected a folder that does not exist, or an empty one.")
            if self._path.resolve() in out.resolve().parents:
                raise StoreError(
                    f"{out}: is inside the store, and would be lost with it; choose a folder "
                    "elsewhere."
                )
            out.parent.mkdir(parents=True, exist_ok=True)
            folder = Path(mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        except (FileExistsError, NotADirectoryError):
            raise no_folder(out, str(out)) from None
        except OSError as error:
            raise StoreError(f"{out}: cannot be written: {error.strerror}.") from None
        try:
            return self._copy_into(folder, out)
        except (lmdb.Error, OSError) as error:
            raise StoreError(f"{out}: cannot be written: {error}.") from None
        finally:
            rmtree(folder, ignore_errors=True)

    def _copy_into(self, folder: Path, out: Path) -> tuple[int, int]:
        self._env.copy(str(folder), compact=True)
        self._read.abort()  # so that the worker may use its pages again
        data = folder / DATA
        sync(data)
        with Snapshot(str(folder)) as copy:
            if problems := list(copy.problems()):
                raise damaged(self.place, problems)
            streams = copy.count
        (folder / LOCK).unlink()
        folder.chmod(self._path.stat().st_mode & 0o777)
        Seal(folder).write(status := FileStatus.of(data), closed=True)
        sync(folder)
        folder.rename(out)
        sync(out.parent)
        return streams, status.size

    def close(self) -> None:
        """Close it."""
        self._read.abort()
        self._env.close()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _failed(self, error: lmdb.Error | OSError) -> StoreError:
        if isinstance(error, OSError):
            return StoreError(f"{self.place}: cannot be read: {error.strerror}.")
        if isinstance(error, lmdb.ReadonlyError):
            return StoreError(
                f"{self.place}: cannot be opened without the right to write to {LOCK}, where "
                "readers are noted; run this as the user of the worker."
            )
        if isinstance(error, lmdb.InvalidError):
            return damaged(self.place, [str(error).removeprefix(f"{self._path}: ")])
        return StoreError(f"{self.place}: cannot be opened: {error}.")
