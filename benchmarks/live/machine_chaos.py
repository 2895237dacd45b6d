"""Fault injection in a fleet on several machines: agents here, each with a name of its own.

A machine is lost when all its processes are stopped and then killed; so is the one that leads.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamlstm.client.client import Client
from streamlstm.errors import BadValueError, StreamLSTMError

from .chaos import COMMITS_MS, STORE_KIND, Publisher, ViolationError
from .fleet import Fleet
from .fleet_chaos import FleetChaosRun
from .publisher import TIMEOUT

MACHINES = 3
STANDSTILL_SECONDS = 5.0  # of a machine that wakes then, at most: leases run for 2
MOST_WORKERS = 6


class MachineChaosRun(FleetChaosRun):
    """Three machines with one store in Redis, and a publisher. Parameters as of ChaosRun."""

    def __init__(self, folder: Path, store: str, streams: int, seed: int, longest: float) -> None:
        if store != "redis":
            raise SystemExit("--machines: they need a store that all reach: --store redis")
        self._agents: dict[str, Fleet] = {}
        super().__init__(folder, store, streams, seed, longest)

    def _kills(self) -> dict[str, Callable[[], None]]:
        return {
            "worker": self._kill_one,
            "machine": self._lose_one,
            "leader": self._lose_leader,
            "standstill": self._stop_one,
            "publisher": self._kill_publisher,
            "moves": self._move_some,
            "scale": self._scale,
            "model": self._disturb_model,
            STORE_KIND: self._kill_store,
        }

    def _ask(self, *question: Any) -> dict[str, Any]:
        """Return the status, from the first machine that answers."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            for name, agent in self._agents.items():
                if not agent.alive():
                    raise ViolationError(f"machine {name} ended by itself:\n{agent.stderr()}")
            for agent in self._agents.values():
                try:
                    return agent.ask(*(question or ("status",)))
                except BadValueError:
                    raise
                except StreamLSTMError:  # another machine begins to lead
                    continue
            if time.monotonic() > deadline:
                raise ViolationError("no machine of the fleet answers")

    # --- machines ---

    def _pids(self, name: str) -> list[int]:
        agent = self._agents[name]
        mine = [each["pid"] for each in agent.workers().values() if each["machine"] == name]
        return [*(pid for pid in mine if pid), agent.pid]

    def _signal_all(self, name: str, number: int) -> None:
        for pid in self._pids(name):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _lose(self, name: str) -> None:
        self._signal_all(name, signal.SIGSTOP)
        self._signal_all(name, signal.SIGKILL)
        self._agents.pop(name).kill()
        self._worker = next(iter(self._agents.values()), None)

    def _lose_one(self) -> None:
        if self._agents:
            self._lose(self._random.choice(sorted(self._agents)))

    def _lose_leader(self) -> None:
        """Lose the machine that leads, as far as another one knows."""
        if self._agents:
            leader = self._random.choice(list(self._agents.values())).leader()
            if leader in self._agents:
                self._lose(leader)

    def _stop_one(self) -> None:
        """Let a machine stand still for a while, in which others have its streams, or not."""
        if self._agents:
            name = self._random.choice(sorted(self._agents))
            self._signal_all(name, signal.SIGSTOP)
            time.sleep(self._random.uniform(0, STANDSTILL_SECONDS))
            self._signal_all(name, signal.SIGCONT)

    def _kill_worker(self) -> None:
        self._lose_one()

    def _kill_changing_model(self) -> None:
        """Lose a machine right after all have changed their model: no other one may join."""
        self._change_model()
        self._lose_one()

    def _scale(self) -> None:
        if self._agents:
            with suppress(BadValueError):  # the model is being changed
                self._ask("scale", self._random.randrange(1, MOST_WORKERS + 1))

    # --- starts ---

    def _start_worker(self) -> None:
        assert self._redis is not None
        options = ["--join", "--store", self._redis.url, "--other-model", "keep"]
        options += ["--commit-ms", str(self._random.choice(COMMITS_MS))]
        for number in range(MACHINES):
            name = f"m{number}"
            if name not in self._agents:
                file = self._folder / f"{name}.json"
                file.unlink(missing_ok=True)
                self._agents[name] = Fleet(self._model, 1, *options, "--machine", name, file=file)
        self._worker = next(iter(self._agents.values()))

    def _restart(self) -> None:
        self._worker = None if len(self._agents) < MACHINES else self._worker
        super()._restart()

    def _start_publisher(self) -> None:
        if self._publisher is None:
            journal = self._folder / "publisher.journal"
            where = str(self._folder / "m0.json")  # which may not be there yet
            self._publisher = Publisher(where, journal, self._streams, self._seed)

    def _client(self) -> Client:
        return Client(endpoints=self._agents["m0"].file, timeout=TIMEOUT)

    def __exit__(self, *exception: object) -> None:
        if self._trouble is not None:
            self._trouble.join()
        for agent in self._agents.values():
            agent.stop()
        self._agents.clear()
        self._worker = None
        super().__exit__(*exception)
