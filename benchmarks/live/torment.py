"""Rounds in which a worker, its publisher and the connection between them are killed under load."""

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
from .source import PATIENCE, model
from .witness import Collector, Judge

KINDS = ("worker", "publisher", "connection", "all")
HASTY = 0.25  # of the rounds: those that do not wait until the one before has been got over with
SILENT = 0.3  # of the connections that are cut: those of which neither end hears
CUT_BYTES = 40_000  # that pass until a connection is cut, at most
COMMITS_MS = (5, 20, 100)  # between two commits of a worker; each start draws one


class Fault(Exception):  # noqa: N818 - it is what is looked for
    """Something was lost, mixed up, applied twice, or did not come back."""


class Round(NamedTuple):
    """What a round was."""

    kind: str
    back: float | None  # seconds from the kill to the next prediction; None where nobody waited


class Publisher:
    """The process of benchmarks/live/source.py."""

    def __init__(self, endpoint: str, journal: Path, streams: int, seed: int) -> None:
        self._said = journal.with_suffix(".stderr")
        command = [sys.executable, "-m", "benchmarks.live.source", endpoint, str(journal)]
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [*command, str(streams), str(seed)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        self.collector = Collector(self._process.stdout.fileno())

    def check(self) -> None:
        """Raise if it has ended by itself."""
        if self._process.poll() is not None:
            raise Fault(f"the publisher ended by itself:\n{self._said.read_text()}")

    def end(self, number: int) -> Any:
        """Send it a signal; return what it told until its end."""
        self.check()
        self._process.send_signal(number)
        try:
            status = self._process.wait(2 * PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise Fault(f"the publisher did not end:\n{self._said.read_text()}") from None
        finally:
            told = self.collector.end()
            assert self._process.stdout is not None
            self._process.stdout.close()
        if number == signal.SIGTERM and status != 0:
            raise Fault(f"the publisher ended with {status}:\n{self._said.read_text()}")
        return told

    def kill(self) -> Any:
        """End it with SIGKILL, now, whatever it does; return what it told."""
        self._process.kill()
        self._process.wait()
        told = self.collector.end()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return told


class Torment:
    """A worker with a store, its publisher with a journal, and a proxy between them.

    Parameters
    ----------
    folder : Path
        Where store, journal and model are.
    streams : int
        How many there are in the end; a few begin at a time.
    seed : int
        Of the kinds and moments of the kills, and of the observations.
    longest : float
        Seconds of undisturbed work before a kill, at most.

    Attributes
    ----------
    rounds : list of Round
    judge : Judge
    """

    def __init__(self, folder: Path, streams: int, seed: int, longest: float) -> None:
        self._folder, self._streams, self._seed, self._longest = folder, streams, seed, longest
        self._random = random.Random(seed)
        self._model = folder / "model.safetensors"
        network = model()
        network.save(self._model)
        self.judge = Judge(network, streams, seed)
        self.rounds: list[Round] = []
        self._replayed = 0
        self._told: list[Any] = []
        self._kinds: list[str] = []
        self._proxy = Proxy(None)
        self._worker: processes.Process | None = None
        self._publisher: Publisher | None = None
        self._waited = True

    @property
    def replayed(self) -> int:
        """Observations that were sent again."""
        now = self._publisher.collector.replayed if self._publisher else 0
        return self._replayed + now

    @property
    def cuts(self) -> int:
        """How often the connection was cut."""
        return self._proxy.cuts

    def round(self) -> Round:
        """Let them work for a moment, kill, start again.

        Raises
        ------
        Fault
            If predictions do not come again, or a process ends that was not killed.
        """
        if not self._kinds:  # as many of each
            self._kinds = list(KINDS)
            self._random.shuffle(self._kinds)
        kind = self._kinds.pop()
        waits = self._random.random() >= HASTY
        if self._worker is None:
            self._start_worker()
        if self._publisher is None:
            self._start_publisher()
        if waits:
            self._until_predictions()
        time.sleep(self._random.uniform(0, self._longest if waits else 0.2))
        assert self._publisher is not None
        self._publisher.check()
        start = time.monotonic()
        self._kill(kind)
        self._restart()
        back = None
        if waits:
            self._until_predictions()
            back = time.monotonic() - start
        self.rounds.append(Round(kind, back))
        return self.rounds[-1]

    def look(self) -> list[str]:
        """Let the publisher end in peace, and judge; return what is wrong."""
        if self._publisher is None or self._worker is None:
            return []
        publisher, self._publisher = self._publisher, None
        self._until(lambda: publisher.collector.delivered > 0, publisher)
        self._took(publisher, publisher.end(signal.SIGTERM))
        told, self._told = np.concatenate(self._told), []
        with Client(self._worker.endpoints["router"], timeout=PATIENCE) as client:
            return self.judge.judge(told, client)

    def _kill(self, kind: str) -> None:
        kills: dict[str, Callable[[], None]] = {
            "worker": self._kill_worker,
            "publisher": self._kill_publisher,
            "connection": self._cut,
        }
        if kind != "all":
            kills[kind]()
            return
        for one in self._random.sample(sorted(kills), len(kills)):
            kills[one]()
            time.sleep(self._random.choice((0.0, self._random.uniform(0, 0.05))))

    def _kill_worker(self) -> None:
        if self._worker is not None:
            if not self._worker.alive():
                raise Fault(f"the worker ended by itself:\n{self._worker.said()}")
            self._worker.kill()
            self._worker, self._proxy.target = None, None

    def _kill_publisher(self) -> None:
        if self._publisher is not None:
            publisher, self._publisher = self._publisher, None
            self._took(publisher, publisher.end(signal.SIGKILL))

    def _took(self, publisher: Publisher, told: Any) -> None:
        self._told.append(told)
        self._replayed += publisher.collector.replayed

    def _cut(self) -> None:
        """Cut in the middle of a message, or at once where nothing flows; or let it fall silent."""
        if self._random.random() < SILENT:
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
        """Start what was killed, the one or the other first."""
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

    def _until_predictions(self) -> None:
        """Wait for a prediction that is none of before."""
        publisher = self._publisher
        assert publisher is not None
        before = publisher.collector.delivered
        self._until(lambda: publisher.collector.delivered > before, publisher)

    def _until(self, come: Callable[[], bool], publisher: Publisher) -> None:
        deadline = time.monotonic() + PATIENCE
        while not come():
            publisher.check()
            if time.monotonic() > deadline:
                raise Fault(f"no prediction came for {PATIENCE:g} s")
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
