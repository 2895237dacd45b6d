"""Opens LMDB environments, and recognises the lock file of another data file.

LMDB keeps the number of the last transaction in lock.mdb, and resets it only if nobody else has
that file open. If a data file takes the place of another one while a reader still has the lock file
open, LMDB looks for that number in the new file, and finds an older commit, or an empty one.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import lmdb

from .data_file import DATA, LOCK

LOCK_BYTES = 8192  # of a lock file, as LMDB makes it for as many readers as are usual
FIRST_SIZE = 2**30  # bytes of address space to reserve; the file is as large as what is in it


def create(path: str, key: bytes, value: bytes) -> None:
    """Create an environment with one record, flushed to the disk.

    Raises
    ------
    lmdb.Error
        If the disk is full, such as.
    """
    _reserve_lock(Path(path))
    with lmdb.open(path, map_size=FIRST_SIZE) as env, env.begin(write=True) as write:
        write.put(key, value)


def open_alone(path: Path) -> tuple[lmdb.Environment, bool]:
    """Open an environment whose only writer this is; return whether it is read-only, too.

    It is read-only if writing is not permitted.

    Raises
    ------
    lmdb.Error
    """
    env, read_only = _open_alone(path)
    if is_locked_for_another_file(env):
        env.close()
        (path / LOCK).unlink(missing_ok=True)  # those that have it open keep it
        env, read_only = _open_alone(path)
    return env, read_only


def _open_alone(path: Path) -> tuple[lmdb.Environment, bool]:
    try:
        # No read-ahead, since streams come back in any order.
        return open_environment(path, readonly=False, readahead=False), False
    except lmdb.ReadonlyError:
        return open_environment(path, readonly=True, readahead=False, lock=False), True


def _reserve_lock(path: Path) -> None:
    """Let the lock file have its blocks on the disk before LMDB writes to it.

    LMDB writes through a map of the file, which it makes without blocks. Where the disk has none
    left then, the system ends the process (SIGBUS).

    Raises
    ------
    lmdb.DiskError
        If there is no room for it.
    """
    try:
        file = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o664)
    except (PermissionError, FileNotFoundError):
        return  # as LMDB itself finds in a moment
    except OSError as error:
        if error.errno == errno.EROFS:
            return
        raise lmdb.DiskError(os.strerror(error.errno or 0)) from None
    try:
        os.posix_fallocate(file, 0, LOCK_BYTES)
    except OSError as error:
        raise lmdb.DiskError(os.strerror(error.errno or 0)) from None
    finally:
        os.close(file)


def open_environment(path: Path, **options: Any) -> lmdb.Environment:
    """Open an environment with options of lmdb.open, and room to grow."""
    size = max(FIRST_SIZE, 2 * (path / DATA).stat().st_size)
    if options.get("lock", True):
        _reserve_lock(path)
    return lmdb.open(str(path), map_size=size, create=False, **options)


def last_transaction(env: lmdb.Environment) -> int:
    """Return the number of the last transaction in the data file."""
    return int(env.info()["last_txnid"])


def is_locked_for_another_file(env: lmdb.Environment) -> bool:
    """Return whether the lock file names another last transaction than the data file.

    Where a worker commits meanwhile, it may also be a later one.
    """
    with env.begin() as read:
        return int(read.id()) != last_transaction(env)
