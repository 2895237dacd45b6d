"""Leads a fleet on many machines, in a thread of the agent of one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import zmq

from ..errors import StoreError, StreamLSTMError
from ..serving.wakeup import Wakeup
from .agents import Agents, ConnectionBrokenError
from .leader import Leader
from .machine_model import MachineModel
from .storage import SharedStorage
from .table_redis import TableRedis


class Office:
    """Leads until it is closed or another machine leads.

    Parameters
    ----------
    table : TableRedis
        Closed with this.
    hub : zmq.Socket
        To which the agents of all machines connect; from now on of this thread.
    content : callable
        Returns the file of the model of a number.
    model : MachineModel
        That becomes the fleet's.
    evicts : bool
        Whether streams that are idle leave memory for others.
    log : callable
    """

    def __init__(
        self,
        table: TableRedis,
        hub: zmq.Socket[bytes],
        content: Callable[[int], bytes],
        model: MachineModel,
        evicts: bool,
        log: Callable[[str], None],
    ) -> None:
        self._storage, self._agents = SharedStorage(table), Agents(hub, Wakeup(), content)
        self._agents.model = model.of_fleet(self._agents.use_model)
        self._evicts, self._log = evicts, log
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._lead, name="office", daemon=True)
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """True when another machine leads.

        Raises
        ------
        StreamLSTMError
            If it has failed.
        """
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

    def _lead(self) -> None:
        agents = self._agents
        try:
            wakeup = agents.wakeup
            with Leader(
                agents, self._storage, agents.model, self._log, wakeup, self._evicts
            ) as leader:
                while leader.turn():
                    pass
        # This machine or another leads anew.
        except (StoreError, ConnectionBrokenError, OSError) as error:
            self._log(str(error))
        except (StreamLSTMError, zmq.ZMQError) as error:
            self._error = error

    def close(self) -> None:
        """Lead no more."""
        self._agents.wakeup.call()
        self._thread.join()
        self._storage.close()
        self._agents.wakeup.close()
