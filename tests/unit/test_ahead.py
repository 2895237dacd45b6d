"""The rows and times that forecasts speak of."""

from pathlib import Path

import numpy as np
import pytest

from streamlstm.data.ahead import rows_ahead, times_ahead
from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table
from streamlstm.data.table import Table


def table(stamps: list[str], time: list[float], streams: list[str] | None = None) -> Table:
    n = len(stamps)
    return Table(
        path="t",
        time=np.array(time, np.float64),
        names=("value",),
        values=np.arange(n, dtype=np.float64)[:, None],
        streams=streams,  # type: ignore[arg-type]
        lines=np.arange(n),
        stamps=stamps,  # type: ignore[arg-type]
        time_column="time",
        stream_column=None if streams is None else "s",
    )


def test_rows_are_of_the_same_stream() -> None:
    found = table(["0"] * 5, [0, 1, 2, 3, 4], ["a", "b", "a", "a", "b"])
    assert rows_ahead(found, 1).tolist() == [2, 4, 3, -1, -1]
    assert rows_ahead(found, 2).tolist() == [3, -1, -1, -1, -1]
    assert rows_ahead(found, 9).tolist() == [-1] * 5


def test_beyond_the_end_the_spacing_goes_on() -> None:
    hours = ["2024-01-01T22:00Z", "2024-01-01T23:00Z", "2024-01-02T00:00Z"]
    start = 1704146400.0
    found = table(hours, [start, start + 3600, start + 7200])
    assert list(times_ahead(found, 1)) == [hours[1], hours[2], "2024-01-02T01:00:00Z"]
    assert times_ahead(found, 4)[0] == "2024-01-02T02:00:00Z"
    plain = table(["2024-01-01 22:00", "2024-01-01 23:00"], [start, start + 3600])
    assert list(times_ahead(plain, 1)) == ["2024-01-01 23:00", "2024-01-02 00:00:00"]
    numbers = table(["1000", "2000", "3000"], [1.0, 2.0, 3.0])  # milliseconds
    assert list(times_ahead(numbers, 2)) == ["3000", "4000", "5000"]
    assert list(times_ahead(table(["x"], [0.0]), 1)) == [""]  # no spacing is known


@pytest.mark.parametrize(
    ("lines", "zone", "expected"),
    [
        # Local times: 12:00 of Berlin is 11:00 in UTC.
        ("13.11.2025 11:00,1\n13.11.2025 12:00,2", "Europe/Berlin", "13.11.2025 13:00"),
        ("2025-11-03 11:00,1\n2025-11-03 12:00,2", "Europe/Berlin", "2025-11-03 13:00:00"),
        ("2025-11-03T11:00Z,1\n2025-11-03T12:00Z,2", "Europe/Berlin", "2025-11-03T13:00:00Z"),
        # Over the end of daylight saving time.
        ("26.10.2025 01:00,1\n26.10.2025 02:30,2", "Europe/Berlin", "26.10.2025 03:00"),
        ("07/2025,1\n08/2025,2", None, "09/2025"),
        ("Oct 31 2025 1:00 PM,1\nOct 31 2025 2:00 PM,2", None, "2025-10-31 15:00:00"),  # not 03
    ],
)
def test_beyond_the_end_times_are_written_as_the_table_writes_them(
    lines: str, zone: str | None, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "plant.csv"
    path.write_text(f"time,value\n{lines}\n")
    found = read_table(path, ReadOptions(timezone=zone))
    assert times_ahead(found, 1)[1] == expected
