"""The endpoints file of a fleet, in which clients and commands find it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import EndpointError
from ..files import check_writable, replace_file


@contextmanager
def claimed(path: Path) -> Iterator[Path]:
    """Claim an endpoints file within ``with``, from the start of a fleet, before it is written.

    A file beside it is locked meanwhile, so that others see that a fleet starts. Yields the file to
    write, links resolved; one of a fleet that is gone is removed.

    Raises
    ------
    EndpointError
        If a fleet that starts or runs has claimed it, or it cannot be written.
    """
    target = _check(path)
    lock = _lock_of(target)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EndpointError(
                f"--endpoints {path}: a fleet that starts or ends has it (process "
                f"{_process(lock)}); give this one another file, or wait for that one"
            ) from None
        try:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            target.unlink(missing_ok=True)
            yield target
        finally:
            lock.unlink(missing_ok=True)


def starting(path: Path) -> int | None:
    """Return the process of a fleet that has claimed an endpoints file; None if there is none.

    If it has not written the file yet, it starts.
    """
    lock = _lock_of(path)
    with suppress(OSError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _process(lock)
    return None


def _lock_of(path: Path) -> Path:
    target = path.resolve()
    return target.with_name(f".{target.name}.lock")


def _process(lock: Path) -> int:
    """Return who has written a lock; 0 for one that is just about to."""
    try:
        return int(lock.read_text())
    except (OSError, ValueError):
        return 0


def _check(path: Path) -> Path:
    """Return the file to write, links resolved.

    Raises
    ------
    EndpointError
        If a fleet that runs has written it, or it cannot be written.
    """
    try:
        target = check_writable(path)
        found = read_fleet(target) if target.exists() else None
    except OSError as error:
        raise EndpointError(
            f"--endpoints {path}: cannot be written: {error.strerror}; choose another place"
        ) from None
    except EndpointError:
        raise EndpointError(
            f"--endpoints {path}: exists and is not the file of a fleet; choose another one"
        ) from None
    if found is not None and is_listening(found["fleet"]):
        raise EndpointError(
            f"--endpoints {path}: a fleet that runs has written it (process {found['pid']}); "
            "change that one (streamlstm fleet scale), stop it, or give this one another file"
        )
    return target


def is_listening(control: str) -> bool:
    """Tell whether a supervisor listens at its control endpoint."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(control.removeprefix("ipc://"))
        except BlockingIOError:  # so many wait that nobody else fits in
            return True
        except OSError:
            return False
        return True


def is_fleet(path: Path) -> bool:
    """Tell whether a file is that of a fleet, and not of a single worker."""
    try:
        return "workers" in json.loads(path.read_text())
    except (OSError, ValueError, TypeError):
        return False


def serves(path: Path) -> bool:
    """Tell whether the fleet that wrote a file is there still; of one on Ray its head knows."""
    try:
        control: str = read_fleet(path)["fleet"]
    except EndpointError:
        return False
    return not control.startswith("ipc://") or is_listening(control)


def write_fleet(path: Path, control: str, status: Mapping[str, Any]) -> None:
    """Write where a fleet is: its supervisor, and the endpoints of its workers, as JSON."""
    found = {"fleet": control, "pid": os.getpid(), **status}
    replace_file(path, (json.dumps(found, indent=1) + "\n").encode())


def read_fleet(path: Path) -> dict[str, Any]:
    """Return what :func:`write_fleet` wrote.

    Raises
    ------
    EndpointError
        If there is no such file, or it is something else.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        if isinstance(found["fleet"], str) and found["workers"]:
            return found
    except OSError as error:
        process = starting(path)
        if process is not None:
            raise EndpointError(
                f"{path}: its fleet starts (process {process}) and writes it when it is ready, "
                "after minutes if kernels have to be compiled; ask again then"
            ) from None
        raise EndpointError(
            f"{path}: cannot be read: {error.strerror}; a fleet writes it when it is ready "
            f"(streamlstm fleet MODEL --endpoints {path})"
        ) from None
    except (ValueError, KeyError, TypeError):
        pass
    raise EndpointError(
        f"{path}: expected the JSON that streamlstm fleet --endpoints writes, got something else"
    )
