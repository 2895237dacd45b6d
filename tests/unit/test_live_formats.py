"""Live rows are understood as whole tables are: decimal commas, units, times of many notations."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from streamlstm.data.live.problems import Problem
from streamlstm.data.live.rows import LiveRow, iterate_rows
from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table
from streamlstm.errors import DataError

NAN = float("nan")


class Source:
    """The same rows as a pipe and as a file."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.path = kind, folder / "x.csv"

    def __call__(self, text: str, **options: object) -> tuple[list[LiveRow], list[Problem]]:
        self.path.write_text(text)
        problems: list[Problem] = []
        source = io.StringIO(text) if self.kind == "pipe" else self.path
        given = ReadOptions(**options)  # type: ignore[arg-type]
        return list(iterate_rows(source, problems.append, given)), problems


@pytest.fixture(params=["pipe", "file"])
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return Source(request.param, tmp_path)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,5", "2,25", "-3"], [1.5, 2.25, -3]),
        (["59", "60", "59,5", "1.059,5"], [59, 60, 59.5, NAN]),
        (["1.234.567,8", "12,5", "1.000"], [1234567.8, 12.5, 1000]),
        (["1,234,567.8", "12.5"], [1234567.8, 12.5]),
        (["1 234,5", "12,5"], [1234.5, 12.5]),
        (["21.5 °C", "22.25 °C", "-3 °C"], [21.5, 22.25, -3]),
        (["21,5 °C", "22,25 °C"], [21.5, 22.25]),
        (["12 %", "13 %", "12.5 %"], [12, 13, 12.5]),
        (["2.041", "-0.5", "3"], [2.041, -0.5, 3]),
        (["1e3", "-2.5E-2"], [1000, -0.025]),
    ],
)
def test_numbers(read: Source, cells: list[str], values: list[float]) -> None:
    rows, problems = read("a;b\n" + "".join(f"{cell};1\n" for cell in cells), columns=("a",))
    found = [float(row.values[0]) for row in rows]
    if read.kind == "pipe" or not np.isnan(values).any():
        assert found == [v for v in values if v == v]
        assert len(problems) == int(np.isnan(values).sum())
    else:  # a whole file shows the mark between thousands too
        assert found == [59, 60, 59.5, 1059.5]


def test_what_can_be_read_in_two_ways_is_refused_at_the_start(read: Source) -> None:
    text = "a;b\n15,000;1\n16,000;2\n"
    with pytest.raises(DataError, match=r":2: column 'a': '15,000' can be read in two ways: .*"):
        read(text, columns=("a",))
    for mark, value in ((",", 15), (".", 15000)):
        rows, _ = read(text, columns=("a",), decimal=mark)
        assert rows[0].values.tolist() == [value]


def test_another_unit_or_mark_is_a_bad_cell(read: Source) -> None:
    rows, problems = read("a;b\n21,5 °C;1\n70,5 °F;2\n22,5 °C;3\n22.75 °C;4\n", columns=("a",))
    assert [float(row.values[0]) for row in rows] == [21.5, 22.5]
    assert "like others in this column" in problems[0].text
    assert [p.line for p in problems] == [3, 5]


def utc(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


FIRST, SECOND = utc(2025, 10, 31, 13), utc(2025, 11, 1, 1, 30)


@pytest.mark.parametrize(
    ("header", "cells", "times"),
    [
        ("when", ["31.10.2025 13:00", "01.11.2025 01:30"], [FIRST, SECOND]),
        ("time", ["10/31/2025 1:00 PM", "11/1/2025 1:30 AM"], [FIRST, SECOND]),
        ("time", ["2025-10-31T13:00:00Z", "2025-11-01T02:30:00+01:00"], [FIRST, SECOND]),
        ("Date;Time", ["2025-10-31;13:00", "2025-11-01;01:30"], [FIRST, SECOND]),
        ("date", ["20240101", "20240102"], [utc(2024, 1, 1), utc(2024, 1, 2)]),
        ("time", ["1704067200000", "1704067260000"], [1704067200, 1704067260]),
        ("time", ["1704067200", "1704067260.5"], [1704067200, 1704067260.5]),
    ],
)
def test_times(read: Source, header: str, cells: list[str], times: list[float]) -> None:
    text = f"{header};v\n" + "".join(f"{cell};{k}\n" for k, cell in enumerate(cells))
    rows, problems = read(text, columns=("v",))
    assert [row.time for row in rows] == times
    assert problems == []
    table = read_table(read.path, ReadOptions(columns=("v",)))
    assert table.time is not None
    assert table.time.tolist() == times


def test_a_date_with_two_readings_is_refused_until_somebody_says(
    read: Source, tmp_path: Path
) -> None:
    text = "time,v\n01/02/2024,1\n02/02/2024,2\n"
    with pytest.raises(DataError, match="--time-format"):
        read(text)
    rows, _ = read(text, time_format="%d/%m/%Y")
    assert rows[0].time == utc(2024, 2, 1)
    if read.kind == "file":  # whose other rows may say it
        rows, _ = read(text + "13/02/2024,3\n")
        assert rows[0].time == utc(2024, 2, 1)


def test_the_hour_that_comes_twice(read: Source) -> None:
    local = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    cells = [f"2025-10-26 {clock}" for clock in local]
    text = "time,id,v\n" + "".join(f"{cell},{s},1\n" for cell in cells for s in "ab")
    rows, problems = read(text, stream_column="id", timezone="Europe/Berlin")
    for stream in "ab":
        times = [row.time for row in rows if row.stream == stream]
        assert np.diff(times).tolist() == [1800] * 5  # type: ignore[arg-type]
        assert times[0] == utc(2025, 10, 25, 23, 30)
    assert problems == []
    spring = "time,v\n2025-03-30 01:30,1\n2025-03-30 02:30,2\n2025-03-30 03:30,3\n"
    rows, problems = read(spring, timezone="Europe/Berlin")
    assert [row.values[0] for row in rows] == [1, 3]
    assert [p.line for p in problems] == [3]


def test_the_first_rows_of_a_file_may_be_bad(tmp_path: Path) -> None:
    text = "time;v\n-;ERR\n31.10.2025 00:00;ERR\n1;2;3\n" + "".join(
        f"{day:02}.11.2025 00:00;{day},5\n" for day in range(1, 29)
    )
    rows, problems = Source("file", tmp_path)(text, columns=("v",))
    assert [float(row.values[0]) for row in rows] == [day + 0.5 for day in range(1, 29)]
    assert [p.line for p in problems] == [2, 3, 4]


def test_cells_that_mean_missing(read: Source) -> None:
    text = "a,b\n1,2\n-999,3\n-999.0,4\n-,5\n2,6\n"
    rows, _ = read(text, missing=True, missing_values=("-999",))
    assert np.array_equal([row.values[0] for row in rows], [1, NAN, NAN, NAN, 2], equal_nan=True)
    rows, problems = read(text, missing_values=("-999",))
    assert [row.values[0] for row in rows] == [1, 2]
    assert [p.line for p in problems] == [3, 4, 5]


def test_a_file_is_read_the_same_however_often(tmp_path: Path) -> None:
    """What a publisher relies on that starts again: the same rows, though more have come."""
    read = Source("file", tmp_path)
    lines = ["time;v\n"] + [
        f"{n};{n},5\n" if n % 3 else f"{n};ERR\n" for n in range(1_700_000_000, 1_700_000_400)
    ]
    whole, _ = read("".join(lines))
    for end in (50, 200):
        part, _ = read("".join(lines[:end]))
        assert [row.line for row in part] == [row.line for row in whole[: len(part)]]
        assert [row.values[0] for row in part] == [row.values[0] for row in whole[: len(part)]]


OBJECTS = """{"time": "2024-01-01 00:00", "v": 1.5, "on": true, "more": null}

{"v": 2, "time": "2024-01-01 00:01", "on": false}
{"time": "2024-01-01 00:02", "v": "ERR", "on": true}
not json
[1, 2]
{"time": "2024-01-01 00:03", "on": true, "v": 3.25, "new": 7}
"""


def test_objects_in_json(read: Source) -> None:
    rows, problems = read(OBJECTS, columns=("v", "on"))
    assert [row.values.tolist() for row in rows] == [[1.5, 1], [2, 0], [3.25, 1]]
    assert [row.line for row in rows] == [1, 3, 7]
    assert rows[0].time == utc(2024, 1, 1)
    assert [p.line for p in problems] == [4, 5, 6]
    assert problems[1].text.startswith("expected an object in JSON")


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_tables_in_binary(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    start = datetime(2024, 1, 1, tzinfo=UTC)
    times = [start + timedelta(minutes=n) for n in range(3)]
    table = pa.table({"time": times, "id": ["a", "b", "a"], "v": [1.1, None, 3.3]})
    if kind == "parquet":
        parquet.write_table(table, path)
    else:
        feather.write_feather(table, path)
    problems: list[Problem] = []
    options = ReadOptions(stream_column="id", columns=("v",))
    rows = list(iterate_rows(path, problems.append, options))
    assert [(row.stream, row.time) for row in rows] == [
        ("a", utc(2024, 1, 1)),
        ("a", utc(2024, 1, 1, 0, 2)),
    ]
    assert [row.values[0] for row in rows] == [1.1, 3.3]
    assert [p.text for p in problems] == [
        "column 'v': expected a number, got an empty cell (a gap)"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "time v w\n60 1.5 2\n120 2.5 3\n",
        "time^v^w\n60^1.5^2\n120^2.5^3\n",
        "date,hhmm,v,w\n1970-01-01,0001,1.5,2\n1970-01-01,0002,2.5,3\n",
    ],
)
def test_cells_apart_by_blanks_and_times_without_colons(read: Source, text: str) -> None:
    rows, problems = read(text)
    assert [row.time for row in rows] == [60, 120]
    assert [row.values.tolist() for row in rows] == [[1.5, 2], [2.5, 3]]
    assert not problems
