"""The workers that ``streamlstm top`` shows: those that are named, and those of a named fleet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streamlstm import wire
from streamlstm.errors import RemoteError, StreamLSTMError
from streamlstm.fleet.endpoints import is_fleet, read_fleet

from .worker import TIMEOUT, PolledWorker


class Watched:
    """Follows fleets, whose workers come and go.

    Parameters
    ----------
    addresses : mapping of str to (str or Path)
        The ROUTER's endpoint, or the endpoints file, of each worker or fleet, by the name to show.
    key, server : Path, optional
        As for :class:`streamlstm.Client`.

    Attributes
    ----------
    workers : list of PolledWorker
        In the order of the addresses.
    """

    def __init__(
        self, addresses: Mapping[str, str | Path], key: Path | None, server: Path | None
    ) -> None:
        self._addresses, self._keys = addresses, (key, server)
        self._known: dict[tuple[str, str | Path], PolledWorker] = {}
        self._alone: set[str] = set()  # routers of workers that belong to no fleet
        self._gone: list[PolledWorker] = []
        self.workers: list[PolledWorker] = []

    async def follow(self) -> None:
        """Look again which workers there are."""
        wanted: dict[tuple[str, str | Path], None] = {}
        for name, address in self._addresses.items():
            found = self._from_file(address) if isinstance(address, Path) else None
            if isinstance(address, str) and address not in self._alone:
                found = await self._from_worker(address)
            prefix = f"{name} " if len(self._addresses) > 1 else ""
            wanted |= {(name, address): None} if found is None else {}
            wanted |= {(f"{prefix}{each}", at): None for each, at in (found or {}).items()}
        self._gone += [self._known.pop(each) for each in list(self._known) if each not in wanted]
        for name, address in wanted:
            if (name, address) not in self._known:
                self._known[name, address] = PolledWorker(name, address, *self._keys)
        self.workers = [self._known[each] for each in wanted]

    async def close(self) -> None:
        """Close all connections."""
        for worker in [*self._known.values(), *self._gone]:
            await worker.close()

    def _from_file(self, path: Path) -> dict[str, str] | None:
        """Return the routers of a fleet by name; None if the file is not that of a fleet."""
        if not is_fleet(path):
            return None
        workers = read_fleet(path)["workers"]
        return {each["name"]: each["router"] for each in workers if each["router"]}

    async def _from_worker(self, address: str) -> dict[str, str] | None:
        """Ask a worker, or another one of its fleet if it is gone, who its workers are."""
        known = [at for _, at in self._known if isinstance(at, str) and at != address]
        for router in dict.fromkeys([address, *known]):
            try:
                table = await self._table(router)
            except RemoteError:
                self._alone.add(address)
                return None
            except StreamLSTMError:
                continue
            workers = sorted(table.workers, key=lambda worker: (len(worker.name), worker.name))
            return {worker.name: worker.router for worker in workers}
        if not known:
            self._alone.add(address)  # it does not answer: not asked again, it would delay the rest
        return None

    async def _table(self, router: str) -> wire.FleetTable:
        from streamlstm.client.aio.client import AsyncClient
        from streamlstm.client.replies import decode_done

        key, server = self._keys
        async with AsyncClient(router, timeout=TIMEOUT, key=key, server=server) as client:
            return wire.FleetTable.from_value(await client._submit(wire.Table(), decode_done))
