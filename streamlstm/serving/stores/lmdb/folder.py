"""The folder of a store: its files, and the lock that gives it to one worker."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from ....errors import StoreError
from .data_file import DATA, LOCK, FileStatus
from .seal import SEAL, Seal

RESTORE = (
    "restore it from a backup, as `streamlstm store backup` makes them; to begin with an empty "
    "store instead, move the folder away"
)

OF_A_FLEET = "table.json"  # the table of a fleet, in the folder of its workers' folders

_PARTIAL = ".streamlstm-"  # beginning of the name of a folder for a data file that is being written


def folder_of(where: str) -> str:
    """Return the folder that ``lmdb:PATH``, or a plain path, names.

    Raises
    ------
    StoreError
        If it is a URL.
    """
    kind, separator, rest = where.partition("://")
    if not separator or (kind == "lmdb" and rest.startswith("/")):
        return where.removeprefix("lmdb:")
    if kind == "lmdb":
        raise StoreError(
            f"{where}: expected lmdb:PATH; write lmdb:{rest} for the folder {rest} in this one, "
            f"or lmdb:/{rest} for one at the root."
        )
    raise StoreError(
        f"{where}: expected the folder of an LMDB store; another store is checked and copied with "
        f"tools of its own. Of one that a worker uses, streamlstm info shows the state."
    )


class Folder:
    """A store's folder, created if it does not exist, and locked.

    Parameters
    ----------
    path : Path
    place : str
        Of the store, for messages.

    Attributes
    ----------
    data : Path
        Its data file.
    seal : Seal

    Raises
    ------
    StoreError
        If it cannot be opened, or is in use by another worker.
    """

    def __init__(self, path: Path, place: str) -> None:
        self.path, self._place = path, place
        self.data, self.seal = path / DATA, Seal(path)
        self._locked = self._lock()
        for left in path.glob(f"{_PARTIAL}*"):  # by a process that was killed
            rmtree(left, ignore_errors=True)

    def _lock(self) -> int:
        if (self.path / OF_A_FLEET).exists():
            raise StoreError(
                f"{self._place}: is the folder of a fleet, whose workers have stores there; "
                f"start the fleet: streamlstm fleet MODEL --workers 1 --store {self._place}"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except (FileExistsError, NotADirectoryError):
            raise no_folder(self.path, self._place) from None
        except OSError as error:
            raise StoreError(f"{self._place}: cannot be opened: {error.strerror}.") from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(folder)
            raise StoreError(
                f"{self._place}: is in use by another worker; give each worker a store of its own."
            ) from None
        return folder

    def is_new(self) -> bool:
        """Return whether no store was ever here.

        Raises
        ------
        StoreError
            If one was here and its data file is gone.
        """
        return not has_data(self.path, self._place)

    @contextmanager
    def replacing_data(self) -> Iterator[str]:
        """Yield a folder for a new data file, which then takes its place here; whole, or not.

        The file must have been flushed to the disk.
        """
        self._find_again()
        with TemporaryDirectory(prefix=_PARTIAL, dir=self.path) as folder:
            yield folder
            (Path(folder) / DATA).rename(self.data)
        os.fsync(self._locked)

    def _find_again(self) -> None:
        """Create the folder again, and lock it, if it was moved or deleted."""
        try:
            if FileStatus.of(self.path).is_same_file(FileStatus.of(self._locked)):
                return
        except FileNotFoundError:
            pass
        locked = self._lock()
        os.close(self._locked)
        self._locked = locked

    def close(self) -> None:
        """Unlock it."""
        os.close(self._locked)


def has_data(path: Path, place: str) -> bool:
    """Return whether a folder has a data file that is not empty; False if no store was ever there.

    Raises
    ------
    StoreError
        If the folder shows that a store was there, and the data file is gone or empty.
    """
    try:
        if (path / DATA).stat().st_size:
            return True
    except FileNotFoundError:
        left = [name for name in (SEAL, LOCK) if (path / name).exists()]
        if not left:
            return False
        raise StoreError(
            f"{place}: {DATA} is missing, though {left[0]} shows that a store was here; {RESTORE}."
        ) from None
    except NotADirectoryError:
        raise no_folder(path, place) from None
    except OSError as error:
        raise StoreError(f"{place}: cannot be opened: {error.strerror}.") from None
    raise StoreError(f"{place}: {DATA} is empty (0 bytes), the store was lost; {RESTORE}.")


def no_folder(path: Path, place: str) -> StoreError:
    """Return the error for a path that leads to or through a file."""
    file = next(part for part in (path, *path.parents) if part.exists())
    return StoreError(f"{place}: expected a folder, and {file} is a file; choose another path.")


def is_in_use(path: Path) -> bool:
    """Return whether a worker has a store's folder at the moment."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
    return False


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
