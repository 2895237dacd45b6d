"""Fault injection in a fleet: kills, stalls, moves and changes of size under load, in rounds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamlstm import wire
from streamlstm.client.client import Client
from streamlstm.errors import BadValueError, StreamLSTMError

from .chaos import COMMITS_MS, FEW_SLOTS, STORE_KIND, ChaosRun, Publisher, ViolationError
from .fleet import Fleet
from .publisher import TIMEOUT

KINDS = ("worker", "supervisor", "publisher", "stall", "moves", "scale", "model", "all")
MOST_WORKERS = 4
STALL_SECONDS = 0.5  # for which a worker is stopped, at most
MOVES = 20  # of single partitions in a round, at most


class FleetChaosRun(ChaosRun):
    """A fleet with a store, and its publisher with a journal. Parameters as of ChaosRun."""

    def __init__(self, folder: Path, store: str, streams: int, seed: int, longest: float) -> None:
        super().__init__(folder, store, streams, seed, longest)
        self.kinds = KINDS if self._redis is None else (*KINDS, STORE_KIND)
        self._file = folder / "fleet.json"
        self._size = 2

    @property
    def _fleet(self) -> Fleet:
        assert isinstance(self._worker, Fleet)
        return self._worker

    def _kills(self) -> dict[str, Callable[[], None]]:
        return {
            "worker": self._kill_one,
            "supervisor": self._kill_worker,
            "publisher": self._kill_publisher,
            "stall": self._stall_one,
            "moves": self._move_some,
            "scale": self._scale,
            "model": self._disturb_model,
        }

    def _status(self) -> list[dict[str, Any]]:
        """Return the workers that run."""
        if self._worker is None:
            return []
        if not self._worker.alive():
            raise ViolationError(f"the fleet ended by itself:\n{self._worker.stderr()}")
        return [each for each in self._fleet.ask("status")["workers"] if each["pid"]]

    def _signal_one(self, number: int) -> int | None:
        running = self._status()
        if not running:
            return None
        pid: int = self._random.choice(running)["pid"]
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def _kill_one(self) -> None:
        self._signal_one(signal.SIGKILL)

    def _stall_one(self) -> None:
        """Stop a worker for a while, which is no death."""
        pid = self._signal_one(signal.SIGSTOP)
        if pid is not None:
            time.sleep(self._random.uniform(0, STALL_SECONDS))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _move_some(self) -> None:
        for _ in range(self._random.randrange(1, MOVES)):
            running = self._status()
            if not running:
                return
            name = self._random.choice(running)["name"]
            with suppress(BadValueError):  # on its way, or that worker starts
                self._fleet.ask("move", self._random.randrange(wire.PARTITIONS), name)

    def _scale(self) -> None:
        if self._status():
            self._size = self._random.randrange(1, MOST_WORKERS + 1)
            self._fleet.ask("scale", self._size)

    def _reload(self) -> None:
        """Let all workers change, again until they have."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                return super()._reload()
            except StreamLSTMError:  # one has ended meanwhile, perhaps the one that was asked
                if time.monotonic() > deadline:
                    raise

    def _kill_changing_model(self) -> None:
        """Kill a worker, or the supervisor, right after all have changed their model."""
        self._change_model()
        self._random.choice((self._kill_one, self._kill_worker))()

    def _start_worker(self) -> None:
        if self._worker is not None:
            return
        place = f"lmdb:{self._folder / 'store'}" if self._redis is None else self._redis.url
        options = ["--store", place, "--other-model", "keep"]
        options += ["--commit-ms", str(self._random.choice(COMMITS_MS))]
        if self._random.random() < 0.5:
            slots = max(self._streams // 4, min(FEW_SLOTS, self._streams))
            options += ["--capacity", str(slots * self._size), "--when-full", "evict-idle"]
        options += ["--preload"] if self._random.random() < 0.5 else []
        self._worker = Fleet(self._model, self._size, *options, file=self._file)

    def _start_publisher(self) -> None:
        if self._publisher is None:
            journal = self._folder / "publisher.journal"
            self._publisher = Publisher(str(self._file), journal, self._streams, self._seed)

    def _client(self) -> Client:
        return Client(endpoints=self._file, timeout=TIMEOUT)

    def __exit__(self, *exception: object) -> None:
        if self._worker is not None:  # its workers would go on writing for a moment
            self._worker.stop()
            self._worker = None
        super().__exit__(*exception)
