"""The workers of a fleet as its coordinator knows them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from .. import wire


class Stores(Enum):
    """Where the streams of a fleet are kept."""

    OWN = "own"  # each worker has a folder of its own,
    SHARED = "shared"  # all have one store,
    MEMORY = "memory"  # or nothing but memory


@dataclass
class Member:
    """A worker as the coordinator knows it.

    Attributes
    ----------
    where : FleetWorker or None
        None if it does not serve.
    leaves : bool
        Its partitions go to the others, and then it ends.
    new : bool
        It has never served, and was not given up: others wait for it before they share anew.
    waits : bool
        It is started again later, as it ends again and again.
    at_home : bool
        Its folder has its partitions, as far as no other folder is noted; else it is empty.
    ends : bool
        Its process was asked to end.
    join : int
        In which of the times that its machine joined its process was started.
    quick : int
        How often it ended soon after a start, without a time in between in which it was sound.
    """

    name: str
    where: wire.FleetWorker | None = None
    leaves: bool = False
    restarts: int = 0
    pid: int = 0
    starts: bool = False  # its process was started
    new: bool = True
    waits: bool = False
    at_home: bool = True
    ends: bool = False
    join: int = 0
    quick: int = 0

    @property
    def machine(self) -> str:
        """Where it runs."""
        return machine_of(self.name)

    def status(self, partitions: int) -> dict[str, Any]:
        """Return what there is to know of it, for people; it has so many partitions."""
        where = self.where
        return {
            "name": self.name,
            "machine": self.machine,
            "pid": self.pid or None,  # nobody is to signal process 0: that is their own group
            "router": None if where is None else where.router,
            "pull": None if where is None else where.pull,
            "xpub": None if where is None else where.xpub,
            "partitions": partitions,
            "restarts": self.restarts,
            "leaves": self.leaves,
        }


def machine_of(worker: str) -> str:
    """Return the machine of a worker, by its name; empty where a fleet has one machine only."""
    return worker.rpartition(".")[0]
