"""Suspicious columns are found; ordinary ones are left alone."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from streamlstm.data.checks import leave_out_useless
from streamlstm.data.table import Table
from streamlstm.learn.preparation import prepare

from ..conftest import SHARED_DATA
from .tables import make_table, notes

RNG = np.random.default_rng(11)
N = 600
T = 1.7e9 + 3600.0 * np.arange(N)
WALK = RNG.standard_normal(N).cumsum()
DAYS = np.floor(T / 86400)
CALENDAR = [int(str(np.datetime64(int(t), "s"))[:10].replace("-", "")) for t in T]


def left_out(table: Table, steps: int = 1) -> list[str]:
    done = leave_out_useless(table, ["y"], steps)
    assert len(done.notes) == len(table.names) - len(done.names)
    return notes(done)


LATER = np.append(WALK[1:], 0.0)
USELESS = [
    (np.full(N, 5.0), "is always 5"),
    (np.full(N, np.nan), "is always missing"),
    (LATER, "is 'y' one row later (a prediction would be given its answer)"),
    (np.where(np.arange(N) % 7, LATER, np.nan), "is 'y' one row later"),
    (np.append(0.0, WALK[:-1]), "is 'y' one row before, which the network remembers"),
    (np.arange(N), "counts the rows"),
    (5 + 2.0 * np.arange(N), "counts the rows"),
    (DAYS + 719163, "counts the time"),
    (DAYS + 25569, "counts the time"),
    (T / 86400 + 25569, "counts the time"),
    (T * 1000, "counts the rows"),
    (CALENDAR, "holds dates"),
    (1 + RNG.permutation(N), "holds ids"),
    (2.0**41 + RNG.integers(2**40, size=N), "holds ids"),
]


@pytest.mark.parametrize(("values", "said"), USELESS)
def test_a_column_that_cannot_help_is_left_out(values: np.ndarray, said: str) -> None:
    table = make_table(T, y=WALK, x=values, z=RNG.standard_normal(N))
    (note,) = left_out(table)
    assert note.startswith(f"x: {said}")
    assert note.endswith(": left out of the inputs; --input x takes it nevertheless")


def test_an_id_is_known_by_its_name_where_numbers_alone_do_not_tell() -> None:
    numbers = RNG.choice(10**9, size=N, replace=False)
    assert left_out(make_table(T, y=WALK, reading=numbers)) == []
    assert "holds ids" in left_out(make_table(T, y=WALK, event_id=numbers))[0]


def test_times_that_are_not_even_are_counted_too() -> None:
    time = np.cumsum(RNG.exponential(3600, N)) + 1.7e9
    for values in (time - 1.6e9, np.floor(time / 86400) + 693594, np.round(time * 1e3)):
        (said,) = left_out(make_table(time, y=WALK, x=values))
        assert said.startswith("x: counts the time")


def test_the_year_is_a_clock() -> None:
    years = np.repeat(np.arange(2000, 2060), 10)
    assert left_out(make_table(T, y=WALK, year=years))[0].startswith("year: is the year")


def test_a_leak_as_far_as_the_horizon() -> None:
    table = make_table(T, y=WALK, x=np.append(WALK[24:], np.zeros(24)))
    assert left_out(table, steps=12) == []
    assert left_out(table, steps=24)[0].startswith("x: is 'y' 24 rows later")


def test_streams_are_looked_at_each_for_itself() -> None:
    ids = [f"m{k % 3}" for k in range(N)]
    leak = np.append(WALK[3:], [0, 0, 0])  # the next row of the same stream
    machine, count = np.arange(N) % 3, np.arange(N) // 3
    said = left_out(make_table(T, ids, y=WALK, leak=leak, machine=machine, count=count))
    assert [line.split(":")[0] for line in said] == ["leak", "machine", "count"]
    assert "numbers the series" in said[1]


def test_a_target_that_never_changes_is_told_and_kept() -> None:
    table = leave_out_useless(make_table(T, y=np.full(N, 3.0), x=WALK), ["y"])
    assert table.names == ("y", "x")
    assert notes(table) == ["y: is always 3: there is nothing to predict"]


def test_training_leaves_them_out_unless_they_are_asked_for(tmp_path: Path) -> None:
    rows = [f"{t:.0f},{y:.4f},5,{k}" for k, (t, y) in enumerate(zip(T, WALK, strict=True))]
    data = tmp_path / "x.csv"
    data.write_text("\n".join(["time,y,always,row", *rows, ""]))
    prepared = prepare(data, {"target": ("y",)})
    assert prepared.inputs == ("y",)
    assert [note.column for note in prepared.table.notes] == ["always", "row"]
    asked = prepare(data, {"target": ("y",), "inputs": ("y", "row")})
    assert asked.inputs == ("y", "row")


def ordinary() -> dict[str, np.ndarray]:
    """Columns as sensors, shops and machines write them."""
    hour = np.arange(N) % 24
    switch = (np.sin(np.arange(N) / 40) > 0).astype(float)
    return {
        "hour": hour,
        "weekday": np.arange(N) // 24 % 7,
        "month": 1 + np.arange(N) // 50 % 12,
        "switch": switch,
        "not_switch": 1 - switch,
        "slow": np.floor(np.arange(N) / 100),
        "watts": RNG.integers(0, 10**6, size=N),
        "counter": np.cumsum(RNG.poisson(1500, N)) + 8.8e10,
        "energy": np.cumsum(RNG.exponential(1.0, N)),
        "temperature": np.round(20 + np.sin(2 * np.pi * np.arange(N) / 24), 1),
        "noise": RNG.standard_normal(N),
        "events": RNG.poisson(0.05, N),
        "trend": 0.01 * np.arange(N) + 0.1 * RNG.standard_normal(N),
        "walk": WALK + 1e-3 * RNG.standard_normal(N),
    }


@pytest.mark.parametrize("target", ["walk", "switch", "slow", "temperature", "events"])
def test_ordinary_columns_are_left_alone(target: str) -> None:
    table = make_table(T, **ordinary())
    done = leave_out_useless(table, [target], steps=24)
    assert done.names == table.names
    # Counters stay as they are, too; that their changes say more is only told.
    assert [note.column for note in done.notes] == ["counter", "energy"], notes(done)
    assert all("--difference" in note.text for note in done.notes)
    smooth = make_table(T, y=np.sin(np.arange(N) / 100), x=np.sin((np.arange(N) + 1.5) / 100))
    assert left_out(smooth) == []


def test_a_few_rows_say_nothing() -> None:
    table = make_table(range(10), y=range(10, 20), x=[3, 1, 4, 15, 9, 2, 6, 5, 35, 8])
    assert leave_out_useless(table, ["y"]) is table


if SHARED_DATA.is_dir():  # left out elsewhere, as the head of the run says

    def test_no_false_alarm_on_series_of_others() -> None:
        files = sorted(SHARED_DATA.glob("**/*.csv"))
        assert files
        for path in files:
            with path.open(newline="") as file:
                header, *rows = csv.reader(file)
            columns = zip(*[row[1:] for row in rows[:5000]], strict=True)
            values = {name: np.array(c, float) for name, c in zip(header[1:], columns, strict=True)}
            table = make_table([float(k) for k in range(min(len(rows), 5000))], **values)
            for target in table.names:
                done = leave_out_useless(table, [target], steps=24)
                constant = "flatline" in path.name
                assert done.notes == () or constant, (path.name, notes(done))
