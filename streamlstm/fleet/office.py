"""Leads a fleet on many machines, in a thread of the agent of one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import zmq

from ..errors import StoreError, StreamLSTMError
from .agents import Agents, ConnectionBrokenError
from .leader import Leader
from .storage import SharedStorage
from .table_redis import TableRedis


class Office:
    """Leads until it is closed or another machine leads.

    Parameters
    ----------
    table : TableRedis
        Closed with this.
    agents : Agents
        Of all machines; from now on of this thread.
    evicts : bool
        Whether streams that are idle leave memory for others.
    log : callable
    """

    def __init__(
        self, table: TableRedis, agents: Agents, evicts: bool, log: Callable[[str], None]
    ) -> None:
        self._storage, self._agents = SharedStorage(table), agents
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
        except (StoreError, ConnectionBrokenError) as error:  # this machine or another leads anew
            self._log(str(error))
        except (StreamLSTMError, zmq.ZMQError) as error:
            self._error = error

    def close(self) -> None:
        """Lead no more."""
        self._agents.wakeup.call()
        self._thread.join()
        self._storage.close()
        self._agents.wakeup.close()
