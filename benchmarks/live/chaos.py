"""Fault injection: kills a worker and what it works with under load, in rounds.

That is its publisher, the connection between them, and a Redis that is its store. Some workers have
room for a part of the streams only, so that others come and go; and now and then the model changes.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import zmq

from streamlstm import wire
from streamlstm.client.client import Client

from . import processes
from .proxy import Proxy
from .publisher import TIMEOUT, model
from .redis_server import RedisServer
from .verification import RecordReader, Verifier

KINDS = ("worker", "publisher", "connection", "model", "all")
STORES = ("lmdb", "redis")
STORE_KIND = "store"  # one more kind, where the store is a process that can be killed
HASTY_FRACTION = 0.25  # of the rounds, which do not wait for the recovery from the one before
SILENT_FRACTION = 0.3  # of the cuts, which neither end of the connection notices
CUT_BYTES = 40_000  # maximum number of bytes until a connection is cut
COMMITS_MS = (5, 20, 100)  # commit intervals of a worker; each start draws one
FEW_SLOTS = 64  # a worker that has not room for all streams has slots for a quarter, these at least
RELOAD_SECONDS = 0.03  # after which a worker is killed that changes its model, at most


class ViolationError(Exception):
    """State or a prediction was lost, mixed up or applied twice, or a process did not recover."""


class Round(NamedTuple):
    """A round of fault injection."""

    kind: str
    recovery: float | None  # seconds from the kill to the next prediction; None in a hasty round


class Publisher:
    """The process of benchmarks/live/publisher.py."""

    def __init__(self, endpoint: str, journal: Path, streams: int, seed: int) -> None:
        self._stderr = journal.with_suffix(".stderr")
        command = [sys.executable, "-m", "benchmarks.live.publisher", endpoint, str(journal)]
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*command, str(streams), str(seed)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        self.reader = RecordReader(self._process.stdout.fileno())

    def check(self) -> None:
        """Raise ViolationError if it has ended by itself."""
        if self._process.poll() is not None:
            raise ViolationError(f"the publisher ended by itself:\n{self._stderr.read_text()}")

    def signal(self, number: int) -> None:
        """Send it a signal that does not end it."""
        self.check()
        self._process.send_signal(number)

    def end(self, number: int) -> Any:
        """Send it a signal, and return its records after its end."""
        self.check()
        self._process.send_signal(number)
        try:
            status = self._process.wait(2 * TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ViolationError(
                f"the publisher did not end:\n{self._stderr.read_text()}"
            ) from None
        finally:
            records = self.reader.end()
            assert self._process.stdout is not None
            self._process.stdout.close()
        if number == signal.SIGTERM and status != 0:
            raise ViolationError(f"the publisher ended with {status}:\n{self._stderr.read_text()}")
        return records

    def kill(self) -> Any:
        """Kill it with SIGKILL, and return its records."""
        self._process.kill()
        self._process.wait()
        records = self.reader.end()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return records


class ChaosRun:
    """A worker with a store, its publisher with a journal, and a proxy between them.

    Parameters
    ----------
    folder : Path
        Folder of the store, the journal and the model.
    store : {"lmdb", "redis"}
        Where the worker keeps its streams.
    streams : int
        Final number of streams; a few start at a time.
    seed : int
        Seed of the kinds and times of the kills, and of the observations.
    longest : float
        Maximum seconds of undisturbed work before a kill.

    Attributes
    ----------
    kinds : tuple of str
        What may happen in a round.
    rounds : list of Round
    verifier : Verifier
    """

    def __init__(self, folder: Path, store: str, streams: int, seed: int, longest: float) -> None:
        self._folder, self._streams, self._seed, self._longest = folder, streams, seed, longest
        self._random = random.Random(seed)
        self._model, self._variant = folder / "model.safetensors", 0
        model().save(self._model)
        self._redis = RedisServer(folder) if store == "redis" else None
        self.kinds: tuple[str, ...] = KINDS if self._redis is None else (*KINDS, STORE_KIND)
        self.verifier = Verifier(model(), streams, seed)
        self.rounds: list[Round] = []
        self._replayed = 0
        self._records: list[Any] = []
        self._kinds: list[str] = []
        self._proxy = Proxy(None)
        self._worker: processes.Process | None = None
        self._publisher: Publisher | None = None

    @property
    def replayed(self) -> int:
        """Observations that were sent again."""
        now = self._publisher.reader.replayed if self._publisher else 0
        return self._replayed + now

    @property
    def cuts(self) -> int:
        """Number of cuts of the connection."""
        return self._proxy.cuts

    def round(self) -> Round:
        """Let the processes work, kill some, and restart them.

        Raises
        ------
        ViolationError
            If no predictions follow, or a process ends that was not killed.
        """
        if not self._kinds:  # equally many of each kind
            self._kinds = list(self.kinds)
            self._random.shuffle(self._kinds)
        kind = self._kinds.pop()
        waits = self._random.random() >= HASTY_FRACTION
        if self._worker is None:
            self._start_worker()
        if self._publisher is None:
            self._start_publisher()
        if waits:
            self._wait_for_predictions()
        time.sleep(self._random.uniform(0, self._longest if waits else 0.2))
        assert self._publisher is not None
        self._publisher.check()
        start = time.monotonic()
        self._kill(kind)
        self._restart()
        recovery = None
        if waits:
            self._wait_for_predictions()
            recovery = time.monotonic() - start
        self.rounds.append(Round(kind, recovery))
        return self.rounds[-1]

    def verify(self) -> list[str]:
        """Let the publisher flush and end, and compare everything; return the violations."""
        if self._publisher is None or self._worker is None:
            return []
        publisher, self._publisher = self._publisher, None
        self._wait_until(lambda: publisher.reader.delivered > 0, publisher)
        self._collect(publisher, publisher.end(signal.SIGTERM))
        self._bring_model_back()
        records, self._records = np.concatenate(self._records), []
        with self._client() as client:
            return self.verifier.verify(records, client)

    def _bring_model_back(self) -> None:
        """Let the worker have the first variant, since exported states name the model."""
        if self._variant:
            self._change_model()

    def _kill(self, kind: str) -> None:
        kills = self._kills()
        if self._redis is not None:
            kills[STORE_KIND] = self._kill_store
        if kind == "all":
            del kills["model"]  # it needs a worker that is alive
        else:
            kills[kind]()
            return
        for name in self._random.sample(sorted(kills), len(kills)):
            kills[name]()
            time.sleep(self._random.choice((0.0, self._random.uniform(0, 0.05))))

    def _kills(self) -> dict[str, Callable[[], None]]:
        """Return what there is to kill, without the store."""
        return {
            "worker": self._kill_worker,
            "publisher": self._kill_publisher,
            "connection": self._cut,
            "model": self._disturb_model,
        }

    def _kill_worker(self) -> None:
        if self._worker is not None:
            if not self._worker.alive():
                raise ViolationError(f"the worker ended by itself:\n{self._worker.stderr()}")
            self._worker.kill()
            self._worker, self._proxy.target = None, None

    def _kill_store(self) -> None:
        """Kill the store; for a moment there is none."""
        assert self._redis is not None
        self._redis.kill()
        time.sleep(self._random.uniform(0, 0.3))
        self._redis.start()

    def _replace_model(self) -> None:
        """Replace the model file, atomically, by its other variant."""
        self._variant = 1 - self._variant
        fresh = self._folder / "fresh.safetensors"
        model(self._variant).save(fresh)
        os.replace(fresh, self._model)

    def _disturb_model(self) -> None:
        """Let the model change, and in half of the cases kill the worker meanwhile."""
        if self._random.random() < 0.5:
            self._change_model()
        else:
            self._kill_changing_model()

    def _change_model(self) -> None:
        """Let the worker change to the other variant of the model."""
        assert self._worker is not None
        self._replace_model()
        self._reload()

    def _reload(self) -> None:
        """Let the worker take the model that is in the file."""
        with self._client() as client:
            client.reload()

    def _client(self) -> Client:
        """Return a client of the worker."""
        assert self._worker is not None
        return Client(self._worker.endpoints["router"], timeout=TIMEOUT)

    def _kill_changing_model(self) -> None:
        """Kill the worker while it changes its model."""
        assert self._worker is not None
        self._replace_model()
        with processes.Sockets() as sockets:
            dealer = sockets.connect(zmq.DEALER, self._worker.endpoints["router"])
            dealer.send(wire.encode(wire.Reload(False)))
            time.sleep(self._random.uniform(0, RELOAD_SECONDS))
            self._kill_worker()

    def _kill_publisher(self) -> None:
        if self._publisher is not None:
            publisher, self._publisher = self._publisher, None
            self._collect(publisher, publisher.end(signal.SIGKILL))

    def _collect(self, publisher: Publisher, records: Any) -> None:
        self._records.append(records)
        self._replayed += publisher.reader.replayed

    def _cut(self) -> None:
        """Cut in the middle of a message, or at once without traffic; or make it silent."""
        if self._random.random() < SILENT_FRACTION:
            self._proxy.swallow()
            return
        before = self._proxy.cuts
        self._proxy.cut_after(self._random.randrange(CUT_BYTES))
        deadline = time.monotonic() + 0.1
        while self._proxy.cuts == before and time.monotonic() < deadline:
            time.sleep(0.001)
        if self._proxy.cuts == before:
            self._proxy.cut()

    def _restart(self) -> None:
        """Restart what was killed, in random order."""
        starts = [self._start_worker, self._start_publisher]
        if self._random.random() < 0.5:
            starts.reverse()
        for start in starts:
            start()

    def _start_worker(self) -> None:
        if self._worker is not None:
            return
        place = f"lmdb:{self._folder / 'store'}" if self._redis is None else self._redis.url
        # It may have been killed after its model file was replaced and before it changed.
        options = ["--store", place, "--other-model", "keep"]
        options += ["--commit-ms", str(self._random.choice(COMMITS_MS))]
        if self._random.random() < 0.5:
            slots = max(self._streams // 4, min(FEW_SLOTS, self._streams))
            options += ["--capacity", str(slots), "--when-full", "evict-idle"]
        options += ["--preload"] if self._random.random() < 0.5 else []
        self._worker = processes.worker(self._model, *options)
        self._proxy.target = self._worker.endpoints["router"]

    def _start_publisher(self) -> None:
        if self._publisher is None:
            journal = self._folder / "publisher.journal"
            self._publisher = Publisher(self._proxy.endpoint, journal, self._streams, self._seed)

    def _wait_for_predictions(self) -> None:
        """Wait for a new prediction."""
        publisher = self._publisher
        assert publisher is not None
        before = publisher.reader.delivered
        self._wait_until(lambda: publisher.reader.delivered > before, publisher)

    def _wait_until(self, condition: Callable[[], bool], publisher: Publisher) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            publisher.check()
            if time.monotonic() > deadline:
                raise ViolationError(f"no prediction came for {TIMEOUT:g} s")
            time.sleep(0.002)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._publisher is not None:
            self._publisher.kill()
        if self._worker is not None:
            self._worker.kill()
        if self._redis is not None and self._redis.alive():
            self._redis.kill()
        self._proxy.close()
