"""Where the sockets of a fleet's workers are: chosen by the system, or counted from one port on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .. import wire
from ..errors import EndpointError

NAMES = ("router", "pull", "xpub")
LAST_PORT = 65_535


class WorkerSockets:
    """The endpoints that the workers of a fleet bind.

    Parameters
    ----------
    router : str
        ``tcp://HOST:*``; ``tcp://HOST:PORT``, from which on each worker has three ports, those of
        ``w1`` behind those of ``w0``; or ``ipc://PATH``, to which names are appended.

    Raises
    ------
    EndpointError
        If it is neither.
    """

    def __init__(self, router: str) -> None:
        found = re.fullmatch(r"(tcp://.+):(\*|[0-9]+)|ipc://(.+)", router)
        if found is None:
            raise EndpointError(
                f"--router {router}: expected tcp://ADDRESS:PORT, tcp://ADDRESS:* or ipc://PATH"
            )
        self._router, self._host, self._port = router, found[1], found[2]

    def of(self, worker: str) -> dict[str, str]:
        """Return the endpoints of a worker, by socket.

        Raises
        ------
        EndpointError
            If there are no ports left for it.
        """
        if self._host is None:
            return {name: f"{self._router}-{worker}-{name}" for name in NAMES}
        if self._port == "*":
            return dict.fromkeys(NAMES, self._router)
        first = int(self._port) + 3 * int(worker.rpartition("w")[2])
        if first + 2 > LAST_PORT:
            raise EndpointError(
                f"--router {self._router}: no ports are left for {worker}, which would need "
                f"{first} to {first + 2}; begin with a lower port"
            )
        return {name: f"{self._host}:{first + n}" for n, name in enumerate(NAMES)}

    def again(self, ports: Sequence[int]) -> list[str]:
        """Return options with which a worker takes these ports again, where the system chose."""
        if self._port != "*":
            return []
        return [f"--fleet-ports={','.join(map(str, ports))}"] if ports else []


def ports_of(where: wire.FleetWorker | None) -> list[int]:
    """Return the ports of a worker, in the order of ``NAMES``; none where it has other sockets."""
    places = [] if where is None else [where.router, where.pull, where.xpub]
    if not all(place.startswith("tcp://") for place in places):
        return []
    return [int(place.rpartition(":")[2]) for place in places]
