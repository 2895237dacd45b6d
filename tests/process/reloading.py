"""Models to reload, and the workers that do."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Model, wire

from ..contract.models import random_model
from ..exhaustive import exhaustive, short
from .conftest import WorkerProcess

PLAIN = [LSTM(2, 9), Dense(9, 3)]
MODELS = [random_model(PLAIN, seed, scaled=True) for seed in range(12)]
OTHER = random_model([LSTM(3, 20), Dense(20, 1)])
ROUNDS = pytest.mark.parametrize("rounds", [short(2), exhaustive(4)])
LOOPS = pytest.mark.parametrize("options", [(), ("--loop", "python")], ids=["native", "python"])


class Deployment:
    """A model file that is replaced atomically, and the workers that were started with it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "model.safetensors"
        self.started: list[WorkerProcess] = []
        self.put(MODELS[0])

    def put(self, model: Model) -> None:
        model.save(self.folder / "new")
        os.replace(self.folder / "new", self.file)

    def start(self, *options: str) -> WorkerProcess:
        self.started.append(WorkerProcess(self.file, *options))
        return self.started[-1]

    def stop(self) -> None:
        for process in self.started:
            process.stop()


def x_of(seq: int) -> bytes:
    return wire.to_floats([np.sin(seq), np.cos(3 * seq)])
