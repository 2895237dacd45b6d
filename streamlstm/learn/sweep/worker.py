"""A process of a sweep: trains what it is told to, and says how far it is.

    python -m streamlstm.learn.sweep.worker FOLDER

Reads jobs from standard input and writes reports to standard output, both as lines of JSON. The
folder, which is private to the sweep, has the data set and the checkpoint of each trial.
"""

from __future__ import annotations

import json
import pickle
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..cells import compile_kernels
from ..checkpoint import Checkpoint
from ..dataset import Dataset
from ..fit import fit
from ..settings import Settings

DATA, START = "dataset.pickle", "start.pickle"
_BETWEEN = 0.2  # seconds between two reports


def report(**said: Any) -> None:
    """Write a report; ends the process with BrokenPipeError where nobody reads any more."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


class _Progress:
    """Reports epochs, as a fraction in between, now and then."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, epochs: float) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _BETWEEN
            report(epochs=epochs)


def run_job(folder: Path, job: dict[str, Any], data: Dataset, start: Any) -> None:
    """Train one trial up to the epoch that the job names, from where it was left."""
    settings = dict(job["settings"])
    for name, value in settings.items():
        settings[name] = tuple(value) if isinstance(value, list) else value
    made = Settings(**settings)
    checkpoint = Checkpoint(folder / job["checkpoint"], data, made, start)
    compile_kernels(made.cell)
    try:
        fitted = fit(data, made, start=start, checkpoint=checkpoint, on_batch=_Progress())
    except DataError as error:
        report(failed=str(error))
        return
    last = fitted.history[-1]
    report(
        done=last.number,
        validation=fitted.best.validation,
        seconds=last.seconds,
        settled=fitted.ended == "settled",
    )


def main(folder: Path) -> None:
    """Run jobs until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent ends us
    with (folder / DATA).open("rb") as file:
        data = pickle.load(file)
    with (folder / START).open("rb") as file:
        start = pickle.load(file)
    np.seterr(all="ignore")  # a trial that diverges is reported as failed
    report(ready=True)
    for line in sys.stdin:
        run_job(folder, json.loads(line), data, start)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except BrokenPipeError:  # the sweep has ended
        sys.stderr.close()
