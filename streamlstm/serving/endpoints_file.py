"""Where a worker is: the file in which it tells other programs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psutil

from ..errors import EndpointError

DOORS = ("router", "pull", "xpub")
METRICS = "metrics"  # where a worker is scraped, if it is


def write_endpoints(path: Path, endpoints: Mapping[str, str]) -> None:
    """Write ``{"router", "pull", "xpub", "pid"}`` as JSON, all of it at once or nothing.

    ``"metrics"``, a URL, stands there too if the worker is scraped.

    Parameters
    ----------
    path : Path
        A file there is replaced.
    endpoints : mapping of str to str
        As the sockets were bound.

    Raises
    ------
    EndpointError
        If the file cannot be written.
    """
    where = {door: endpoints[door] for door in DOORS}
    if METRICS in endpoints:
        where[METRICS] = endpoints[METRICS]
    text = json.dumps({**where, "pid": os.getpid()})
    try:
        # Beside the file and renamed to it: whoever waits for the file never reads half of it.
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            file.write(text + "\n")
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except OSError as error:
        raise EndpointError(f"{path}: cannot be written: {error.strerror}") from None


def is_of_a_worker(path: Path) -> bool:
    """Tell whether a file tells of a worker that still runs."""
    try:
        return bool(psutil.pid_exists(int(json.loads(path.read_text())["pid"])))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return False


def read_endpoints(path: Path) -> dict[str, str]:
    """Return the endpoints that a worker wrote, by door.

    Raises
    ------
    EndpointError
        If there is no such file, or it is not one.
    """
    try:
        found = json.loads(path.read_text())
        return {door: str(found[door]) for door in DOORS}
    except OSError as error:
        raise EndpointError(
            f"{path}: cannot be read: {error.strerror}; a worker writes it when it is ready "
            f"(streamlstm serve MODEL --endpoints {path})"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise EndpointError(
            f"{path}: expected the JSON that streamlstm serve --endpoints writes, got something "
            "else"
        ) from None
