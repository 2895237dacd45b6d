"""The processes of a sweep: each trains one trial at a time, with one thread of BLAS."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from ...errors import StreamLSTMError

_PACKAGES = Path(__file__).resolve().parents[3]  # where streamlstm is imported from


class Report(NamedTuple):
    """What a process said of its job.

    Attributes
    ----------
    job : int
        The number of the job.
    said : dict of str to object
        ``ready``; ``epochs`` so far; at the end ``done``, the epochs, with ``validation``,
        ``seconds`` and ``settled``, or ``failed`` with a sentence, ``killed`` where it has ended.
    """

    job: int
    said: dict[str, Any]


class _Process:
    """One process: jobs in, reports out, both as lines of JSON."""

    def __init__(self, folder: Path) -> None:
        variables = dict(os.environ)
        for library in ("OPENBLAS", "MKL", "BLIS", "OMP"):
            variables[f"{library}_NUM_THREADS"] = "1"
        paths = [str(_PACKAGES), variables.get("PYTHONPATH", "")]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streamlstm.learn.sweep.worker", str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=variables,
                bufsize=0,
            )
        except OSError as error:
            raise StreamLSTMError(
                f"sweep: expected to start a process of {sys.executable}: {error.strerror}"
            ) from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._jobs, self.reports = self._process.stdin, self._process.stdout
        self._rest = b""
        self.ended = False

    def give(self, job: dict[str, Any]) -> None:
        """Give it a job; where it has just ended, the end of its reports will say so."""
        with suppress(BrokenPipeError):
            self._jobs.write(json.dumps(job).encode() + b"\n")

    def hear(self) -> list[dict[str, Any]]:
        """Return its reports that have come; where it has ended, that its job failed."""
        received = os.read(self.reports.fileno(), 65_536)
        if not received:
            self.ended = True
            status = self._process.wait()
            return [{"failed": f"its process ended with status {status}", "killed": True}]
        *lines, self._rest = (self._rest + received).split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        """End it and close its pipes."""
        self._process.kill()
        self._process.wait()
        self._jobs.close()
        self.reports.close()


class Pool:
    """Processes that live as long as a ``with`` block; none outlives this one by long.

    They are started as programs of their own, not forked, and import nothing of the caller's, so
    that a notebook or a script without a guard can sweep.

    Parameters
    ----------
    folder : Path
        With the files that `worker` reads.
    size : int
        Number of processes.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self._running: dict[int, _Process] = {}
        self._idle: list[_Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self._idle, *self._running.values()]:
            process.end()

    def run(self, jobs: dict[int, dict[str, Any]]) -> Iterator[Report]:
        """Run jobs, in their order, and yield what is said of each until all have ended.

        Parameters
        ----------
        jobs : dict of int to dict
            What `worker.run_job` takes, by number.
        """
        waiting = list(jobs)
        with selectors.DefaultSelector() as selector:
            while waiting or self._running:
                while waiting and len(self._running) < self._size:
                    process = self._idle.pop() if self._idle else _Process(self._folder)
                    number = waiting.pop(0)
                    self._running[number] = process
                    process.give(jobs[number])
                    selector.register(process.reports, selectors.EVENT_READ, number)
                for key, _ in selector.select():
                    number = key.data
                    for said in self._running[number].hear():
                        if "done" in said or "failed" in said:
                            selector.unregister(key.fileobj)
                            self._release(number)
                        yield Report(number, said)

    def _release(self, number: int) -> None:
        process = self._running.pop(number)
        if process.ended:
            process.end()
        else:
            self._idle.append(process)
