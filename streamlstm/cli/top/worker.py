"""One of the workers that ``streamlstm top`` polls: its connection and its last reply."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from streamlstm.client.aio.client import AsyncClient
from streamlstm.errors import EndpointError, HandshakeError, StreamLSTMError, WorkerTimeoutError
from streamlstm.serving.endpoints_file import read_endpoints
from streamlstm.serving.worker_stats import Rates, Snapshot

TIMEOUT = 2.0  # seconds after which a request is given up and sent again


class Row(NamedTuple):
    """The values that the table shows of a worker; `failure` says why it did not answer."""

    name: str
    failure: str | None
    snapshot: Snapshot | None
    rates: Rates | None


class PolledWorker:
    """A worker that is asked for INFO again and again.

    Parameters
    ----------
    name : str
        The name in the table.
    address : str or Path
        The endpoint of its ROUTER socket, or its endpoints file. The file is read before each
        request, because a restarted worker may have other ports.
    key, server : Path, optional
        As for :class:`streamlstm.Client`.

    Raises
    ------
    EndpointError
        If the endpoint is not valid.
    """

    def __init__(
        self, name: str, address: str | Path, key: Path | None = None, server: Path | None = None
    ) -> None:
        self.name = name
        self._key, self._server = key, server
        self._file = address if isinstance(address, Path) else None
        self._client: AsyncClient | None = None
        self._last_reply = time.monotonic()
        self._failure: str | None = "no answer"
        self._snapshot: Snapshot | None = None
        self._rates: Rates | None = None
        if isinstance(address, str):
            self._client = self._connect(address)

    async def poll(self) -> None:
        """Ask once; remember the reply, or why there was none."""
        self._failure = "no answer"
        try:
            client = await self._connected()
            snapshot = Snapshot.from_info(await client.info())
        except HandshakeError:
            self._failure = "no access"
        except WorkerTimeoutError:
            return
        except EndpointError:
            self._failure = "no endpoints file"
        except StreamLSTMError:
            self._failure = "no valid answer"
        else:
            self._rates, self._snapshot = snapshot.since(self._snapshot), snapshot
            self._last_reply, self._failure = time.monotonic(), None

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()

    def row(self) -> Row:
        """Return the row of the table; a worker with a pending request has not answered."""
        if self._failure is None:
            return Row(self.name, None, self._snapshot, self._rates)
        silent = time.monotonic() - self._last_reply
        return Row(self.name, f"{self._failure} for {silent:.0f} s", None, None)

    async def _connected(self) -> AsyncClient:
        if self._file is not None:
            endpoint = read_endpoints(self._file)["router"]
            if self._client is None or self._client.endpoint != endpoint:
                await self.close()
                self._client = None
                self._client = self._connect(endpoint)
        assert self._client is not None
        return self._client

    def _connect(self, endpoint: str) -> AsyncClient:
        return AsyncClient(endpoint, timeout=TIMEOUT, key=self._key, server=self._server)
