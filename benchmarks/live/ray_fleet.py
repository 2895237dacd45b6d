"""A fleet on a Ray cluster of this computer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from streamlstm.errors import StreamLSTMError, WorkerTimeoutError
from streamlstm.fleet.question import ask

from .ray_machines import RayMachines

COMMAND_SECONDS = 400


class RayFleet:
    """`streamlstm fleet MODEL --ray`, ready; it is ended by :meth:`down`, or with the cluster.

    Parameters
    ----------
    cluster : RayMachines
    model : Path
    machines, workers : int
        How many machines, with how many workers each.
    store : str
    file : Path
        For the endpoints.
    *options : str
        Further ones.

    Attributes
    ----------
    cluster, model, store, file
        As given.
    """

    def __init__(
        self,
        cluster: RayMachines,
        model: Path,
        machines: int,
        workers: int,
        store: str,
        file: Path,
        *options: str,
    ) -> None:
        self.cluster, self.model, self.store, self.file = cluster, model, store, file
        self._environment = {**os.environ, **cluster.environment}
        self.command(
            *(str(model), "--ray", "auto", "--store", store, "--machines", str(machines)),
            *("--workers-per-machine", str(workers), "--threads", "1", *options),
        )

    def command(self, *arguments: str) -> str:
        """Run a command of the fleet; return what it prints.

        Raises
        ------
        RuntimeError
            If it fails; with what it says.
        """
        done = subprocess.run(
            [
                *(sys.executable, "-m", "streamlstm", "fleet", *arguments),
                *("--endpoints", str(self.file)),
            ],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"fleet {arguments[0]}: {done.stderr}")
        return done.stdout

    def status(self) -> dict[str, Any]:
        """Return the status, asked through Ray."""
        found: dict[str, Any] = json.loads(self.command("status", "--json"))
        return found

    def ask(self, *question: Any) -> dict[str, Any]:
        """Return the status after a question, asked of the first agent that answers, without Ray.

        Raises
        ------
        StreamLSTMError
            If none answers, or the fleet refuses.
        """
        said: StreamLSTMError = WorkerTimeoutError("no agent is there")
        for agent in self.agents():
            if agent["endpoints"] is None:  # it waits for a machine
                continue
            try:
                return ask(Path(agent["endpoints"]), *question)
            except StreamLSTMError as error:
                said = error
        raise said

    def agents(self) -> list[dict[str, Any]]:
        """Return the agents as they were at the last command."""
        found: list[dict[str, Any]] = json.loads(self.file.read_text())["agents"]
        return found

    def down(self) -> None:
        """End it."""
        self.command("down")
