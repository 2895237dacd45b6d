"""The endpoints file, in which other programs find a worker."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psutil

from ..errors import EndpointError

SOCKETS = ("router", "pull", "xpub")
METRICS = "metrics"  # the URL that Prometheus scrapes, if it does


def write_endpoints(path: Path, endpoints: Mapping[str, str], model: Path | None = None) -> None:
    """Write ``{"router", "pull", "xpub", "pid"}`` as JSON, atomically.

    ``"metrics"``, a URL, is added if the worker serves metrics, ``"model"``, a path, if it serves a
    file.

    Parameters
    ----------
    path : Path
        A file there is replaced.
    endpoints : mapping of str to str
        As the sockets were bound; a relative path of ``ipc://`` is written as an absolute one.
    model : Path, optional

    Raises
    ------
    EndpointError
        If the file cannot be written.
    """
    where = {name: _absolute(endpoints[name]) for name in SOCKETS}
    if METRICS in endpoints:
        where[METRICS] = endpoints[METRICS]
    if model is not None:
        where["model"] = str(model.absolute())
    text = json.dumps({**where, "pid": os.getpid()})
    try:
        # Written beside the file and renamed: whoever waits for the file never reads half of it.
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            file.write(text + "\n")
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except OSError as error:
        raise EndpointError(f"{path}: cannot be written: {error.strerror}") from None


def _absolute(endpoint: str) -> str:
    """Return an endpoint that means the same in every folder."""
    path = endpoint.removeprefix("ipc://")
    if path == endpoint or path.startswith("@"):  # not ipc, or an abstract one, without a path
        return endpoint
    return f"ipc://{os.path.abspath(path)}"


def is_of_a_worker(path: Path) -> bool:
    """Return whether a file is of a worker that still runs."""
    try:
        return bool(psutil.pid_exists(int(json.loads(path.read_text())["pid"])))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return False


def read_endpoints(path: Path) -> dict[str, str]:
    """Return the endpoints that a worker wrote, by socket.

    Raises
    ------
    EndpointError
        If there is no such file, or it is something else.
    """
    try:
        found = json.loads(path.read_text())
        return {name: str(found[name]) for name in SOCKETS}
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
