"""What a supervisor needs of whoever starts its workers: this machine, or agents on many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from .. import wire


class Said(NamedTuple):
    """A message came to the control socket; ``sender`` is where a reply goes."""

    sender: bytes
    message: wire.Control


class Ended(NamedTuple):
    """A process has ended, so many seconds after its worker had begun to serve."""

    worker: str
    status: int
    lived: float


class Runs(NamedTuple):
    """A worker runs that somebody else has started: ``hello`` is what it said of itself, if so."""

    worker: str
    pid: int
    hello: Sequence[Any] | None


class Joined(NamedTuple):
    """A machine is there, with what :class:`.agents.Agents` knows of it."""

    machine: str
    workers: int  # that it is to have
    capacity: int  # streams that they may have in memory
    runs: tuple[Runs, ...]
    run: str = ""  # of the agent's process


class Leaves(NamedTuple):
    """A machine wants to hand over all that it has, and end."""

    machine: str


class Left(NamedTuple):
    """A machine is not there any more, for this reason; its workers were ended, or will be."""

    machine: str
    reason: str


Event: TypeAlias = Said | Ended | Joined | Leaves | Left


class Launcher(Protocol):
    """Starts, watches and ends the processes of workers, and passes messages on."""

    @property
    def serves(self) -> bool:
        """True when what stands beside the workers, such as a gateway, serves."""

    def start(
        self, worker: str, model: int | None, options: Sequence[str], ports: Sequence[int]
    ) -> None:
        """Start the process of a worker.

        Parameters
        ----------
        worker : str
        model : int or None
            Number of the model, None where it is named among the options of all.
        options : sequence of str
            Besides those of all workers.
        ports : sequence of int
            That it had before, if it did: it takes them again if it can.
        """

    def stop(self, worker: str) -> None:
        """Ask the process of a worker to end; nothing if there is none."""

    def dismiss(self, machine: str) -> None:
        """Let a machine end, after all its workers or with them."""

    def runs(self, worker: str, pid: int) -> bool:
        """Tell whether this is the process of a worker, as far as is known."""

    def tell(self, to: bytes, frame: bytes) -> None:
        """Send a message to a worker, by its name, or to who has sent one."""

    def poll(self, seconds: float) -> list[Event]:
        """Return what has happened; wait so long for it, or until the wake-up is nudged."""

    def follow(self, table: wire.FleetTable, live: Sequence[str]) -> None:
        """Let gateways know a table, and the endpoints of the ROUTERs of the workers that serve."""

    def show(self, status: Mapping[str, Any]) -> None:
        """Let clients find a fleet that is ready, with this status."""

    def use_model(self, number: int, content: bytes) -> None:
        """Let machines have a model, in the file ``model_name(number)`` of their folders."""

    def stop_all(self) -> bool:
        """End all processes, and wait for them; tell whether each ended well."""

    def close(self) -> None:
        """End all processes that are left, and free everything."""


def model_name(number: int) -> str:
    """Return the name of the file of a model in a machine's folder; the first is number 0."""
    return f"model-{number}.safetensors"
