"""Where a client finds a fleet, or a worker, at first: an endpoints file, or a worker's address."""

from __future__ import annotations

import json
import os
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from ... import wire
from ...errors import EndpointError, shown
from ..connection import MAX_ENDPOINT, check_endpoint
from ..descriptors import opening

Endpoints: TypeAlias = str | PathLike[str] | None
SOCKETS = ("router", "pull", "xpub")


class Seeds:
    """Reads an endpoints file, again whenever it is asked, or remembers an address.

    Parameters
    ----------
    where : path-like or str
        The file that ``streamlstm fleet`` or ``streamlstm serve`` wrote; or the ROUTER's endpoint
        of any worker.

    Attributes
    ----------
    text : str
        The same, for errors.
    worker : dict of str to str or None
        Endpoints of a worker that is none of a fleet, by socket, when the file is that of one.

    Raises
    ------
    EndpointError
        If there is no such file, it is something else, or no file can be opened any more.
    """

    def __init__(self, where: str | PathLike[str]) -> None:
        text = os.fspath(where) if isinstance(where, str | PathLike) else None
        if not isinstance(text, str) or not text.isprintable() or not 0 < len(text) <= MAX_ENDPOINT:
            raise EndpointError(
                f"endpoints: expected the path of an endpoints file, or a worker's endpoint such "
                f"as {wire.ROUTER}, got {shown(where)}"
            )
        self.text = text
        self._path = None if "://" in text else Path(text)
        if self._path is None:
            check_endpoint(text)
        found = {} if self._path is None else self._read(self._path)
        is_worker = self._path is not None and "workers" not in found
        self.worker = {name: str(found[name]) for name in SOCKETS} if is_worker else None

    @property
    def remedy(self) -> str:
        """What to do if nobody answers there."""
        if self._path is None:
            return "Is a worker still there? Another address of the fleet, or its file, will do."
        return (
            "If the workers are elsewhere by now, streamlstm fleet status --endpoints "
            f"{self.text} writes the file anew, and this program goes on by itself."
        )

    def routers(self) -> list[str]:
        """Return the endpoints at which to ask for the table."""
        if self._path is None:
            return [self.text]
        found = self._read(self._path)
        if "workers" not in found:
            return [str(found["router"])]
        return [str(each["router"]) for each in found["workers"] if each.get("router")]

    def published(self) -> list[str]:
        """Return where the workers of a fleet publish, as far as that is known."""
        found = {} if self._path is None else self._read(self._path)
        return [str(each["xpub"]) for each in found.get("workers", ()) if each.get("xpub")]

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        try:
            with opening():
                found: dict[str, Any] = json.loads(path.read_text())
            if "workers" in found:
                for each in found["workers"]:
                    each.get("router")
            else:
                for name in SOCKETS:
                    found[name]
        except OSError as error:
            raise EndpointError(
                f"{path}: cannot be read: {error.strerror}; a worker or a fleet writes it when it "
                f"is ready (streamlstm serve MODEL --endpoints {path}, or streamlstm fleet ...)"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise EndpointError(
                f"{path}: expected the JSON that streamlstm serve --endpoints or streamlstm fleet "
                "--endpoints writes, got something else"
            ) from None
        return found


def find(
    socket: str, endpoint: str, default: str, endpoints: Endpoints
) -> tuple[Seeds | None, str]:
    """Return where to look for a fleet, None for a single worker; and the endpoint, for errors.

    Parameters
    ----------
    socket : {"router", "pull", "xpub"}
    endpoint, default : str
        What was given for it, and what it is if nothing was.
    endpoints : path-like, str or None
        As for :class:`Seeds`.

    Raises
    ------
    EndpointError
        If both are given; or as for :class:`Seeds`.
    """
    if endpoints is None:
        return None, endpoint
    if endpoint != default:
        raise EndpointError(f"expected only one of {socket} and endpoints")
    seeds = Seeds(endpoints)
    return (seeds, seeds.text) if seeds.worker is None else (None, seeds.worker[socket])
