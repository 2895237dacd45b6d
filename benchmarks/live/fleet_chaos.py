"""Fault injection in a fleet: kills, stalls, moves and changes of size under load, in rounds.

So are its store, its gateway and connections. The publisher goes to the workers, or to the gateway
through the proxy; which of both is drawn at each start.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from streamlstm import wire
from streamlstm.client.client import Client
from streamlstm.errors import BadValueError, StreamLSTMError
from streamlstm.serving.stores.redis_namespace import RedisNamespace

from .chaos import COMMITS_MS, FEW_SLOTS, STORE_KIND, ChaosRun, Publisher, ViolationError
from .fleet import Fleet
from .full_disk import full_disk
from .publisher import TIMEOUT

MOST_WORKERS = 4
STALL_SECONDS = 0.5  # for which a worker is stopped, at most
MOVES = 20  # of single partitions in a round, at most
RELOAD_SECONDS = 0.3  # after which something is killed while all change their model, at most
TROUBLE_SECONDS = 3.0  # for which a store does not work, at most: leases in Redis end before
SETTLE_SECONDS = 10.0  # for which a store that is to be deleted waits for a fleet to be settled
LOOK_SECONDS = 0.05  # between two looks at whether something is so by now


class FleetChaosRun(ChaosRun):
    """A fleet with a store, and its publisher with a journal. Parameters as of ChaosRun."""

    def __init__(self, folder: Path, store: str, streams: int, seed: int, longest: float) -> None:
        super().__init__(folder, store, streams, seed, longest)
        self.kinds = (*self._kills(), "all")
        self._file, self._store = folder / "fleet.json", folder / "store"
        self._size = 2
        self._trouble: threading.Thread | None = None
        self._direct, self._cuts = True, 0
        self._interrupted = False  # a change of the model: which one runs is not known

    @property
    def _fleet(self) -> Fleet:
        assert isinstance(self._worker, Fleet)
        return self._worker

    @property
    def cuts(self) -> int:
        """Number of cuts of connections."""
        return self._cuts + super().cuts

    def _kills(self) -> dict[str, Callable[[], None]]:
        return {
            "worker": self._kill_one,
            "supervisor": self._kill_worker,
            "gateway": self._kill_gateway,
            "publisher": self._kill_publisher,
            "connection": self._cut,
            "stall": self._stall_one,
            "moves": self._move_some,
            "scale": self._scale,
            "model": self._disturb_model,
            STORE_KIND: self._kill_store,
        }

    # --- processes and connections ---

    def _ask(self) -> dict[str, Any]:
        """Return the status."""
        if not self._fleet.alive():
            raise ViolationError(f"the fleet ended by itself:\n{self._fleet.stderr()}")
        return self._fleet.ask("status")

    def _running(self) -> list[dict[str, Any]]:
        """Return the workers that run."""
        if self._worker is None:
            return []
        return [each for each in self._ask()["workers"] if each["pid"]]

    def _signal_one(self, number: int) -> int | None:
        running = self._running()
        if not running:
            return None
        pid: int = self._random.choice(running)["pid"]
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def _kill_one(self) -> None:
        self._signal_one(signal.SIGKILL)

    def _kill_gateway(self) -> None:
        if self._worker is not None and (pid := self._fleet.gateway()["pid"]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _stall_one(self) -> None:
        """Stop a worker for a while, which is no death."""
        pid = self._signal_one(signal.SIGSTOP)
        if pid is not None:
            time.sleep(self._random.uniform(0, STALL_SECONDS))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _cut(self) -> None:
        """Cut connections of the publisher: some of those to workers, or those to the gateway."""
        if self._publisher is None or not self._direct:
            super()._cut()
        else:
            self._cuts += 1
            self._publisher.signal(signal.SIGURG)

    # --- what a person asks for ---

    def _move_some(self) -> None:
        for _ in range(self._random.randrange(1, MOVES)):
            running = self._running()
            if not running:
                return
            name = self._random.choice(running)["name"]
            with suppress(BadValueError):  # on its way, or that worker starts
                self._fleet.ask("move", self._random.randrange(wire.PARTITIONS), name)

    def _scale(self) -> None:
        if self._running():
            self._size = self._random.randrange(1, MOST_WORKERS + 1)
            with suppress(BadValueError):  # the model is being changed
                self._fleet.ask("scale", self._size)

    def _reload(self) -> None:
        """Let all workers change, again until they have."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                super()._reload()
                self._interrupted = False
                return
            except StreamLSTMError:  # one has ended meanwhile, perhaps the one that was asked
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_SECONDS)

    def _kill_changing_model(self) -> None:
        """Kill something while all change their model, or right after that."""
        self._replace_model()
        if self._random.random() < 0.3:
            self._reload()
        else:
            self._interrupted = True
            with suppress(BadValueError):  # another change is under way
                self._fleet.ask("reload", False, self._random.random() < 0.5)
            time.sleep(self._random.uniform(0, RELOAD_SECONDS))
        self._random.choice((self._kill_one, self._kill_worker))()

    def _bring_model_back(self) -> None:
        if self._interrupted:
            self._variant = 1
        super()._bring_model_back()

    # --- the store ---

    def _kill_store(self) -> None:
        """Let the store fail for a while, in which other things happen."""
        seconds = self._random.uniform(0, self._random.choice((0.3, TROUBLE_SECONDS)))
        kinds = ["full", "deleted"] if self._redis is None else ["killed", "stopped", "emptied"]
        kind = self._random.choice(kinds)
        if (kind == "deleted" and self._delete_store()) or (kind == "emptied" and self._empty()):
            return
        fail = {"killed": self._redis_killed, "stopped": self._redis_stopped}
        call = fail.get(kind, self._disk_full if self._redis is None else self._redis_killed)
        self._trouble = threading.Thread(target=call, args=(seconds,))
        self._trouble.start()

    def _redis_killed(self, seconds: float) -> None:
        assert self._redis is not None
        self._redis.kill()
        time.sleep(seconds)
        self._redis.start()

    def _redis_stopped(self, seconds: float) -> None:
        assert self._redis is not None
        self._redis.pause()
        time.sleep(seconds)
        self._redis.resume()

    def _disk_full(self, seconds: float) -> None:
        if (fleet := self._worker) is not None:
            with full_disk(fleet.pid):
                time.sleep(seconds)

    def _delete_store(self) -> bool:
        """Delete the store, and wait until the workers have written it again.

        Only while no folder of a worker that has ended is read: nobody has that in memory.
        """
        if self._worker is None:
            return False
        if not self._until(lambda: bool(self._ask()["settled"]), SETTLE_SECONDS):
            return False
        files = [self._store / "table.json"]
        for worker in self._running():  # one that has left has an empty folder
            files += self._store.glob(f"worker-{worker['name']}.*/data.mdb")
        shutil.rmtree(self._store.rename(self._folder / "gone"))  # the workers write meanwhile
        if not self._until(lambda: all(file.exists() for file in files)):
            raise ViolationError(f"the store was not written again:\n{self._fleet.stderr()}")
        return True

    def _empty(self) -> bool:
        """Let Redis lose everything, and wait until the workers have written it again.

        Only while they have all streams in memory: nobody else has them then.
        """
        if self._worker is None or self._redis is None:
            return False
        with (
            closing(RedisNamespace(self._redis.url, "")) as space,
            space.client(TIMEOUT) as server,
        ):

            def stored() -> int:
                return int(server.hlen(space.streams)) - 1

            def in_memory() -> int:
                return sum(each["streams"] or 0 for each in self._ask()["workers"])

            if not self._until(
                lambda: bool(self._ask()["settled"]) and in_memory() == stored() > 0, SETTLE_SECONDS
            ):
                return False
            count = stored()
            server.flushall()
            if not self._until(lambda: stored() >= count):
                raise ViolationError(f"Redis was not written again:\n{self._fleet.stderr()}")
        return True

    def _until(self, holds: Callable[[], bool], seconds: float = TIMEOUT) -> bool:
        """Wait until something holds; return False if it does not within some seconds."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    # --- starts ---

    def _restart(self) -> None:
        if self._trouble is not None:
            self._trouble.join()
            self._trouble = None
        super()._restart()

    def _start_worker(self) -> None:
        if self._worker is None:
            place = f"lmdb:{self._store}" if self._redis is None else self._redis.url
            options = ["--store", place, "--other-model", "keep"]
            options += ["--commit-ms", str(self._random.choice(COMMITS_MS))]
            options += ["--gateway", "tcp://127.0.0.1:*"]
            if self._random.random() < 0.5:
                slots = max(self._streams // 4, min(FEW_SLOTS, self._streams))
                options += ["--capacity", str(slots * self._size), "--when-full", "evict-idle"]
            options += ["--preload"] if self._random.random() < 0.5 else []
            self._worker = Fleet(self._model, self._size, *options, file=self._file)
            self._proxy.target = self._fleet.gateway()["router"]

    def _start_publisher(self) -> None:
        if self._publisher is None:
            self._direct = self._random.random() < 0.5
            where = str(self._file) if self._direct else self._proxy.endpoint
            journal = self._folder / "publisher.journal"
            self._publisher = Publisher(where, journal, self._streams, self._seed)

    def _client(self) -> Client:
        return Client(endpoints=self._file, timeout=TIMEOUT)

    def __exit__(self, *exception: object) -> None:
        if self._trouble is not None:
            self._trouble.join()
        if self._worker is not None:  # its workers would go on writing for a moment
            self._worker.stop()
            self._worker = None
        super().__exit__(*exception)
