"""The endpoints file of a fleet, in which clients and commands find it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import EndpointError
from ..files import check_writable, replace_file


def claim_file(path: Path) -> Path:
    """Remove the file of a fleet that is gone; return the file to write, links resolved.

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
    target.unlink(missing_ok=True)
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
        raise EndpointError(
            f"{path}: cannot be read: {error.strerror}; a fleet writes it when it is ready "
            f"(streamlstm fleet MODEL --endpoints {path})"
        ) from None
    except (ValueError, KeyError, TypeError):
        pass
    raise EndpointError(
        f"{path}: expected the JSON that streamlstm fleet --endpoints writes, got something else"
    )
