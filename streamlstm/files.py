"""Replaces files atomically, and checks beforehand whether that is possible.

A symbolic link is followed: the file that it points to is replaced, and the link stays. Anything
else than a regular file (a device, a pipe, a directory) is refused.
"""

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from .errors import StreamLSTMError, shown


def check_path(path: object, error: type[StreamLSTMError], what: str) -> Path:
    """Return a path as a Path; raise an error of this class if it is none, or no file can have it.

    Parameters
    ----------
    path : str or path-like
    error : type
    what : str
        What the file is, for the message.
    """
    try:
        found = Path(path)  # type: ignore[arg-type] # else TypeError
        os.lstat(found)
    except (TypeError, ValueError, OSError) as problem:
        reason: object = problem
        if isinstance(problem, OSError):
            if problem.errno != errno.ENAMETOOLONG:
                return found  # whoever opens it says so
            reason = problem.strerror
        raise error(f"expected the path of {what}, got {shown(path)}: {reason}.") from None
    return found


def replace_file(
    path: str | os.PathLike[str], data: bytes | Iterable[bytes], durable: bool = False
) -> None:
    """Write ``data`` to ``path`` as a whole or not at all; an existing file keeps its permissions.

    Data may come in parts, which are written as they come. With ``durable`` it is on the disk then.

    Raises
    ------
    OSError
        If the file cannot be written; an existing file is unchanged.
    """
    target = _resolve(path)
    temporary = _write_temporary(target, data)
    try:
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        if durable:
            _flush(temporary)
        temporary.replace(target)
        if durable:
            _flush(target.parent)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    """Write a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Check that `replace_file` can write a file, without changing anything.

    Returns
    -------
    Path
        The file to write: where ``path`` points if it is a symbolic link.

    Raises
    ------
    OSError
        If the file cannot be replaced or created; ``strerror`` says why.
    """
    target = _resolve(path)
    _write_temporary(target, b"").unlink()
    return target


def _resolve(path: str | os.PathLike[str]) -> Path:
    """Follow links; refuse anything but a writable regular file or a new one."""
    target = Path(os.path.realpath(path))
    try:
        mode = target.lstat().st_mode  # a link that is left here is part of a cycle
    except FileNotFoundError:
        return target
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "this is a directory, expected a file", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "this is not a regular file and is not replaced", str(path))
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "this file is read-only", str(path))
    return target


def _write_temporary(target: Path, data: bytes | Iterable[bytes]) -> Path:
    """Write a temporary file in the same folder; its name does not grow with the target's."""
    temporary = target.with_name(f".{os.getpid()}-{os.urandom(4).hex()}.partial")
    try:
        with temporary.open("xb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(target)) from None
        raise
    return temporary
