"""Where the worker or the fleet is, and with which key it is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import wire


@dataclass(frozen=True)
class Where:
    """Where the worker or the fleet is.

    Attributes
    ----------
    endpoints : Path or str or None
        An endpoints file, read again when a worker does not answer; or a ROUTER of a fleet.
    router, xpub : str
        Of a single worker, where there is no such file.
    key, server : Path or None
        As for :class:`streamlstm.Client`.
    """

    endpoints: Path | str | None
    router: str = wire.ROUTER
    xpub: str = wire.XPUB
    key: Path | None = None
    server: Path | None = None

    def of_client(self) -> dict[str, Any]:
        """Return the arguments of a client."""
        return self._arguments("router", self.router)

    def of_subscriber(self) -> dict[str, Any]:
        """Return the arguments of a subscriber."""
        return self._arguments("xpub", self.xpub)

    def _arguments(self, name: str, endpoint: str) -> dict[str, Any]:
        where = {"endpoints": self.endpoints} if self.endpoints else {name: endpoint}
        return {**where, "key": self.key, "server": self.server}

    def stamp(self) -> Any:
        """Return what the file says of a single worker; it changes when another replaces it."""
        if not isinstance(self.endpoints, Path):
            return None
        try:
            found = json.loads(self.endpoints.read_text())
            return None if "workers" in found else found
        except (OSError, ValueError, TypeError):
            return None
