"""Fault injection: kills a worker, its publisher and their connection under load, in rounds."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from streamlstm.client.client import Client

from . import processes
from .proxy import Proxy
from .publisher import TIMEOUT, model
from .verification import RecordReader, Verifier

KINDS = ("worker", "publisher", "connection", "all")
HASTY_FRACTION = 0.25  # of the rounds, which do not wait for the recovery from the one before
SILENT_FRACTION = 0.3  # of the cuts, which neither end of the connection notices
CUT_BYTES = 40_000  # maximum number of bytes until a connection is cut
COMMITS_MS = (5, 20, 100)  # commit intervals of a worker; each start draws one


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
    streams : int
        Final number of streams; a few start at a time.
    seed : int
        Seed of the kinds and times of the kills, and of the observations.
    longest : float
        Maximum seconds of undisturbed work before a kill.

    Attributes
    ----------
    rounds : list of Round
    verifier : Verifier
    """

    def __init__(self, folder: Path, streams: int, seed: int, longest: float) -> None:
        self._folder, self._streams, self._seed, self._longest = folder, streams, seed, longest
        self._random = random.Random(seed)
        self._model = folder / "model.safetensors"
        network = model()
        network.save(self._model)
        self.verifier = Verifier(network, streams, seed)
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
            self._kinds = list(KINDS)
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
        records, self._records = np.concatenate(self._records), []
        with Client(self._worker.endpoints["router"], timeout=TIMEOUT) as client:
            return self.verifier.verify(records, client)

    def _kill(self, kind: str) -> None:
        kills: dict[str, Callable[[], None]] = {
            "worker": self._kill_worker,
            "publisher": self._kill_publisher,
            "connection": self._cut,
        }
        if kind != "all":
            kills[kind]()
            return
        for name in self._random.sample(sorted(kills), len(kills)):
            kills[name]()
            time.sleep(self._random.choice((0.0, self._random.uniform(0, 0.05))))

    def _kill_worker(self) -> None:
        if self._worker is not None:
            if not self._worker.alive():
                raise ViolationError(f"the worker ended by itself:\n{self._worker.stderr()}")
            self._worker.kill()
            self._worker, self._proxy.target = None, None

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
        options = ["--store", f"lmdb:{self._folder / 'store'}"]
        options += ["--commit-ms", str(self._random.choice(COMMITS_MS))]
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._publisher is not None:
            self._publisher.kill()
        if self._worker is not None:
            self._worker.kill()
        self._proxy.close()
