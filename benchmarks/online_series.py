"""Series and trained networks of the benchmark of the online stage.

A network is trained once, by the defaults of `streamlstm train` but for the linear part beside it,
on the first half of its series (the next tenth stops it early), and kept in a folder.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamlstm.learn import cells
from streamlstm.learn.build import build_model
from streamlstm.learn.dataset import Dataset, Split
from streamlstm.learn.fit import fit
from streamlstm.learn.settings import Settings
from streamlstm.network.model import Model

TRAIN, VALIDATION = 0.5, 0.1
_NAB, _ETT = "nab/data", "ett/ETTh1.csv"
# Name: file below the folder of data, target, steps of a day and, where it is not long, of a week.
SERIES = {
    "taxi": (f"{_NAB}/realKnownCause/nyc_taxi.csv", "value", (48, 336)),
    "machine": (
        f"{_NAB}/realKnownCause/machine_temperature_system_failure.csv",
        "value",
        (288,),
    ),
    "ETTh1 OT": (_ETT, "OT", (24, 168)),
    "ambient": (
        f"{_NAB}/realKnownCause/ambient_temperature_system_failure.csv",
        "value",
        (24, 168),
    ),
    "AAPL": (f"{_NAB}/realTweets/Twitter_volume_AAPL.csv", "value", (288,)),
    "ETTh1 HUFL": (_ETT, "HUFL", (24, 168)),
    "ETTh1 LULL": (_ETT, "LULL", (24, 168)),
}
CHOSEN_ON = ("taxi", "machine", "ETTh1 OT")  # settings were chosen on these, not on the others


@dataclass(frozen=True)
class Series:
    """One series: its name, inputs float32[n, F] with their names, target and seasons in steps."""

    name: str
    values: NDArray[np.float32]
    inputs: tuple[str, ...]
    target: str
    seasons: tuple[int, ...]

    @property
    def y(self) -> NDArray[np.float32]:
        """The target's values, float32[n]."""
        return np.ascontiguousarray(self.values[:, self.inputs.index(self.target)])


def load(folder: Path) -> list[Series]:
    """Read those of the series that are in a folder."""
    return [
        Series(name, *_read(folder / path), target, seasons)
        for name, (path, target, seasons) in SERIES.items()
        if (folder / path).exists()
    ]


def _read(path: Path) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return the cells of a file without its first column, the time, and their names.

    The time of one of NAB's files goes back once, which `read_table` refuses.
    """
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return np.array([row[1:] for row in rows], np.float32), tuple(header[1:])


def network(series: Series, horizon: int, hidden: int, cache: Path) -> Model:
    """Return the trained network of a series, from the cache if it is there."""
    name = f"{series.name.replace(' ', '-')}-{horizon}-{hidden}.safetensors"
    if (cache / name).exists():
        return Model.load(cache / name)
    cells.compile_kernels()
    place = [series.inputs.index(series.target)]
    every = range(len(series.inputs))
    split = Split(TRAIN, VALIDATION)
    data = Dataset([(series.name, series.values)], every, place, horizon, split)
    fitted = fit(data, Settings(hidden_sizes=(hidden,)))
    model = build_model(fitted.network, data, series.inputs, [series.target])
    cache.mkdir(parents=True, exist_ok=True)
    model.save(cache / name)
    return model
