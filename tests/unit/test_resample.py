"""Resampling, against a loop that does the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamlstm.data.options import ReadOptions
from streamlstm.data.order import put_in_order
from streamlstm.data.read import read_table
from streamlstm.data.resample import parse_resampling, resample
from streamlstm.data.table import Table
from streamlstm.errors import DataError

from .tables import make_table, notes

NAN = float("nan")
HOW = {
    "mean": np.mean,
    "last": lambda v: v[-1],
    "min": np.min,
    "max": np.max,
    "sum": np.sum,
    "median": np.median,
}


def expected(table: Table, stream: str, step: float, how: str) -> tuple[list[float], list[float]]:
    """Return times and values of a stream's only column, interval by interval."""
    rows = table.groups()[stream]
    assert table.time is not None
    time, values = table.time[rows], table.values[rows, 0]
    bins = np.floor(time / step).astype(int)
    made = []
    for k in range(bins[0], bins[-1] + 1):
        inside = values[bins == k]
        inside = inside[~np.isnan(inside)]
        made.append(float(HOW[how](inside)) if len(inside) else NAN)
    return [k * step for k in range(bins[0], bins[-1] + 1)], made


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("streams", [None, 4])
@pytest.mark.parametrize("holes", [False, True])
def test_resampling_is_what_a_loop_does(how: str, streams: int | None, holes: bool) -> None:
    random = np.random.default_rng(5)
    time = np.cumsum(random.exponential(20, 400)) + 1.7e9
    time[200:] += 1000 * holes
    values = random.standard_normal(400)
    values[random.random(400) < 0.2 * holes] = NAN
    ids = None if streams is None else [f"s{k}" for k in random.integers(streams, size=400)]
    table = make_table(time, ids, v=values)
    made = resample(table, f"1min {how}")
    assert made.time is not None
    for stream, rows in made.groups().items():
        times, numbers = expected(table, stream, 60, how)
        assert made.time[rows].tolist() == times
        np.testing.assert_allclose(made.values[rows, 0], numbers)
    assert len(made) == sum(len(rows) for rows in made.groups().values())


def test_an_empty_interval_is_missing_and_counted() -> None:
    table = make_table([0, 10, 65, 200], v=[1, 3, 5, 7])
    made = resample(table, "1 min mean")
    assert made.time is not None
    assert made.time.tolist() == [0, 60, 120, 180]
    np.testing.assert_array_equal(made.values[:, 0], [2, 5, NAN, 7])
    assert made.lines.tolist() == [2, 4, 4, 5]
    assert notes(made) == [
        "time: resampled: 4 rows, each the mean of 1 min of 4 readings, 1 of them without a "
        "reading and missing"
    ]
    with pytest.raises(DataError, match=r":4: .*from 1970-01-01T00:02:00 on, got none .*--fill"):
        resample(table, "1 min mean", missing=False)
    assert len(resample(table, "5min last", missing=False)) == 1


@pytest.mark.parametrize(
    ("stamps", "zone", "expected"),
    [
        (["27.10.2024 02:10", "27.10.2024 02:50"], "Europe/Berlin", "27.10.2024 02:30"),
        (["2024-01-01T00:10Z", "2024-01-01T00:50Z"], None, "2024-01-01T00:30:00Z"),
        (["2024-01-01 00:10", "2024-01-01 00:50"], "Asia/Tokyo", "2024-01-01 00:30:00"),
        (["1700000000000", "1700002000000"], None, "1700002000000"),
    ],
)
def test_times_are_written_as_in_the_source(
    stamps: list[str], zone: str | None, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "data.csv"
    path.write_text(f"time,v\n{stamps[0]},1\n{stamps[1]},3\n")
    resampling = "1000s mean" if stamps[0].isdigit() else "30min mean"
    made = read_table(path, ReadOptions(timezone=zone, resample=resampling, missing=True))
    assert (made.stamps or [])[-1] == expected


def test_intervals_of_very_unequal_numbers() -> None:
    time = np.concatenate([np.linspace(0, 59, 2000), 60.0 * np.arange(1, 50)])
    values = np.random.default_rng(2).standard_normal(len(time))
    table = make_table(time, v=values)
    made = resample(table, "1min median")
    np.testing.assert_allclose(made.values[:, 0], expected(table, "", 60, "median")[1])


def test_rows_of_one_time_are_resampled() -> None:
    table = make_table([60, 60, 0, 60], v=[1, 2, 3, 6])
    made = resample(put_in_order(table, sort=True, repeated_times=True), "1min mean")
    assert made.values[:, 0].tolist() == [3, 3]


@pytest.mark.parametrize("text", ["", "1min", "mean", "1min average", "0s mean", "1 parsec mean"])
def test_what_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="such as '1min mean'"):
        parse_resampling(text)


def test_what_cannot_be_resampled_is_refused() -> None:
    with pytest.raises(DataError, match="--time-column"):
        resample(make_table(None, v=[1]), "1min mean")
    with pytest.raises(DataError, match="would be 1,700,000,001 for the 2 that there are"):
        resample(make_table([0, 1.7e9], v=[1, 2]), "1s mean")
