"""One of the workers that ``streamlstm top`` shows: how it is asked, and what it said last."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from streamlstm.client.aio.client import AsyncClient
from streamlstm.errors import EndpointError, HandshakeError, StreamLSTMError, WorkerTimeoutError
from streamlstm.serving.endpoints_file import read_endpoints

from .worker_rates import Rates, Snapshot

PATIENCE = 2.0  # seconds after which a question is given up, to be asked again


class Row(NamedTuple):
    """What there is to show of a worker; `trouble` where it did not answer."""

    name: str
    trouble: str | None
    snapshot: Snapshot | None
    rates: Rates | None


class Watched:
    """A worker that is asked again and again.

    Parameters
    ----------
    name : str
        What people call it.
    place : str or Path
        Its router's endpoint, or the file in which it tells that. The file is read at each
        question: a worker that was started anew has other ports.
    key, server : Path, optional
        As for :class:`streamlstm.Client`.

    Raises
    ------
    EndpointError
        If the endpoint is none.
    """

    def __init__(
        self, name: str, place: str | Path, key: Path | None = None, server: Path | None = None
    ) -> None:
        self.name = name
        self._key, self._server = key, server
        self._file = place if isinstance(place, Path) else None
        self._client: AsyncClient | None = None
        self._heard = time.monotonic()
        self._trouble: str | None = "no answer"
        self._snapshot: Snapshot | None = None
        self._rates: Rates | None = None
        if isinstance(place, str):
            self._client = self._ask_at(place)

    async def ask(self) -> None:
        """Ask once, and keep what was answered or why nothing was."""
        self._trouble = "no answer"
        try:
            client = await self._connected()
            snapshot = Snapshot.of(await client.info())
        except HandshakeError:
            self._trouble = "no access"
        except WorkerTimeoutError:
            return
        except EndpointError:
            self._trouble = "no endpoints file"
        except StreamLSTMError:
            self._trouble = "no answer that is known"
        else:
            self._rates, self._snapshot = snapshot.since(self._snapshot), snapshot
            self._heard, self._trouble = time.monotonic(), None

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()

    def row(self) -> Row:
        """Return what is known by now; a question under way is one without an answer."""
        if self._trouble is None:
            return Row(self.name, None, self._snapshot, self._rates)
        silence = f"{self._trouble} for {time.monotonic() - self._heard:.0f} s"
        return Row(self.name, silence, None, None)

    async def _connected(self) -> AsyncClient:
        if self._file is not None:
            endpoint = read_endpoints(self._file)["router"]
            if self._client is None or self._client.endpoint != endpoint:
                await self.close()
                self._client = None
                self._client = self._ask_at(endpoint)
        assert self._client is not None
        return self._client

    def _ask_at(self, endpoint: str) -> AsyncClient:
        return AsyncClient(endpoint, timeout=PATIENCE, key=self._key, server=self._server)
