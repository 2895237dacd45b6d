"""Fault injection in a fleet on Ray: machines that are lost or hang, a head that is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from streamlstm.client.client import Client
from streamlstm.errors import StreamLSTMError

from .chaos import COMMITS_MS, STORE_KIND, Publisher, Round, ViolationError
from .fleet_chaos import LOOK_SECONDS, FleetChaosRun
from .publisher import TIMEOUT
from .ray_fleet import RayFleet
from .ray_machines import RayMachines

MACHINES = 3
HANG_SECONDS = 6.0  # for which a machine is stopped, at most: leases end before
AWAY_SECONDS = 3.0  # for which the head is away, at most


class RayChaosRun(FleetChaosRun):
    """A fleet on three machines with a worker each, and one Redis. Parameters as of ChaosRun."""

    def __init__(self, folder: Path, store: str, streams: int, seed: int, longest: float) -> None:
        if store != "redis":
            raise SystemExit("--ray: machines need a store that all reach: --store redis")
        super().__init__(folder, store, streams, seed, longest)
        self._lost: list[str] = []  # machines that were killed, and are back with the next round
        self._cluster = RayMachines(cpus=1, outlives=True)
        self._cluster.add(MACHINES)

    def _kills(self) -> dict[str, Callable[[], None]]:
        return {
            "machine": self._kill_machine,
            "hang": self._hang_machine,
            "head": self._kill_head,
            "agent": self._kill_agent,
            "worker": self._kill_one,
            "publisher": self._kill_publisher,
            "connection": self._cut,
            "moves": self._move_some,
            "scale": self._scale,
            "model": self._change_model,
            STORE_KIND: self._kill_store,
        }

    def round(self) -> Round:
        """Bring back machines that were lost, and go on as with one machine."""
        while self._lost:
            self._cluster.restart(self._lost.pop())
        return super().round()

    def _wait_until(self, condition: Callable[[], bool], publisher: Publisher) -> None:
        try:
            super()._wait_until(condition, publisher)
        except ViolationError as error:
            logs = [f"{a}:\n{m.log()}" for a, m in self._cluster.machines.items()]
            raise ViolationError("\n".join([str(error), *logs])) from None

    # --- machines ---

    def _one(self) -> str:
        return self._random.choice(sorted(self._cluster.machines))

    def _kill_machine(self) -> None:
        """Kill a machine with all that is on it."""
        self._lost.append(machine := self._one())
        self._cluster.kill(machine)

    def _hang_machine(self) -> None:
        """Stop a machine for a while; perhaps the others have given it up when it wakes."""
        machine = self._cluster.machines[self._one()]
        machine.stop()
        time.sleep(self._random.uniform(0, HANG_SECONDS))
        machine.wake()

    def _kill_head(self) -> None:
        self._cluster.restart_head(self._random.uniform(0, AWAY_SECONDS))

    def _kill_agent(self) -> None:
        if self._worker is not None:
            self._signal(signal.SIGKILL, [agent["pid"] for agent in self._fleet.agents()])

    def _signal_one(self, number: int) -> int | None:
        return self._signal(number, [worker["pid"] for worker in self._running()])

    def _signal(self, number: int, pids: list[int]) -> int | None:
        """Send a signal to one of some processes, if it is still on one of the machines."""
        there = {pid for each in self._cluster.machines.values() for pid in each.processes()}
        if not (mine := sorted(there.intersection(pids))):
            return None
        pid = self._random.choice(mine)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    # --- the fleet ---

    @property
    def _fleet(self) -> Any:
        return self._worker

    def _ask(self) -> dict[str, Any]:
        """Return the status: of an agent that answers, perhaps not at once."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                found: dict[str, Any] = self._fleet.ask("status")
                return found
            except StreamLSTMError as error:
                if time.monotonic() > deadline:
                    raise ViolationError(f"no agent answers: {error}") from None
                self._look_again()

    def _look_again(self) -> None:
        """Let the endpoints file have what is there now, if Ray's head is."""
        with suppress(RuntimeError):
            self._fleet.status()
        time.sleep(LOOK_SECONDS)

    def _look_until_seen(self) -> None:
        """Let the endpoints file have what is there now, for whoever begins with it."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                self._fleet.status()
                return
            except RuntimeError as error:
                if time.monotonic() > deadline:
                    raise ViolationError(f"no agent answers: {error}") from None
                time.sleep(LOOK_SECONDS)

    def _move_some(self) -> None:
        with suppress(StreamLSTMError):  # the agent that was asked has ended
            super()._move_some()

    def _scale(self) -> None:
        with suppress(StreamLSTMError):
            super()._scale()

    def _reload(self) -> None:
        """Send the machines the model, again until all workers have it."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                self._fleet.command("reload")
                return
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_SECONDS)

    def _start_worker(self) -> None:
        if self._worker is None:
            options = ["--other-model", "keep", "--router", "tcp://*:*"]
            options += ["--commit-ms", str(self._random.choice(COMMITS_MS))]
            assert self._redis is not None
            started = RayFleet(
                self._cluster, self._model, MACHINES, 1, self._redis.url, self._file, *options
            )
            self._worker = cast(Any, started)

    def _start_publisher(self) -> None:
        if self._publisher is None:
            self._look_until_seen()
            journal = self._folder / "publisher.journal"
            self._publisher = Publisher(str(self._file), journal, self._streams, self._seed)

    def _client(self) -> Client:
        self._look_until_seen()
        return super()._client()

    def __exit__(self, *exception: object) -> None:
        self._worker = None  # it ends with its cluster
        self._cluster.close()
        super().__exit__(*exception)
