"""How times are written: what is understood, and what is asked for by naming the option."""

import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streamlstm.data.cells.time_pattern import convert_pattern
from streamlstm.data.cells.times import recognise_times
from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table
from streamlstm.data.table import Table
from streamlstm.errors import DataError


def read(text: str, **options: Any) -> Table:
    return read_table(io.StringIO(text), ReadOptions(**options))


def column(cells: list[str], name: str = "time", **options: Any) -> Table:
    return read(f"{name};v\n" + "".join(f"{c};{n}.5\n" for n, c in enumerate(cells)), **options)


def shown(table: Table) -> list[str]:
    assert table.time is not None
    return [f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M:%S}" for t in table.time]


UNDERSTOOD = [
    ("20230101", "20230102", "2023-01-01 00:00:00"),
    ("202301011230", "202301011330", "2023-01-01 12:30:00"),
    ("1700000000", "1700000060", "2023-11-14 22:13:20"),
    ("1700000000000", "1700000060000", "2023-11-14 22:13:20"),
    ("1700000000000000", "1700000060000000", "2023-11-14 22:13:20"),
    ("1700000000000000000", "1700000060000000000", "2023-11-14 22:13:20"),
    ("45000.5", "45000.541666667", "2023-03-15 12:00:00"),
    ("31.10.2025 00:00", "31.10.2025 01:00", "2025-10-31 00:00:00"),
    ("31.10.2025 00:00:30,5", "31.10.2025 01:00:30,5", "2025-10-31 00:00:30"),
    ("10/31/2025 1:00 PM", "10/31/2025 2:00 PM", "2025-10-31 13:00:00"),
    ("10/31/2025 12:00 AM", "10/31/2025 12:00 PM", "2025-10-31 00:00:00"),
    ("Jan 1 2000", "Feb 1 2000", "2000-01-01 00:00:00"),
    ("Jan-1-1995", "Jan-2-1995", "1995-01-01 00:00:00"),
    ("1 January 2000 06:30", "1 January 2000 07:30", "2000-01-01 06:30:00"),
    ("Mon, Jan 3 2000", "Tue, Jan 4 2000", "2000-01-03 00:00:00"),
    ("03-Okt-25", "04-Okt-25", "2025-10-03 00:00:00"),
    ("2025-10", "2025-11", "2025-10-01 00:00:00"),
    ("10/2025", "11/2025", "2025-10-01 00:00:00"),
    ("2025-1-9 5:00", "2025-1-9 15:00", "2025-01-09 05:00:00"),
    ("2025-01-01 23:00", "2025-01-01 24:00", "2025-01-01 23:00:00"),
    ("2025-01-01T00:00:00+01:00", "2025-01-01T01:00:00+01:00", "2024-12-31 23:00:00"),
    ("2025-01-01 00:00:00 UTC", "2025-01-01 01:00:00 UTC", "2025-01-01 00:00:00"),
]


@pytest.mark.parametrize(("first", "second", "meant"), UNDERSTOOD)
def test_times_are_recognised(first: str, second: str, meant: str) -> None:
    table = column([first, second])
    assert shown(table)[0] == meant
    assert table.time is not None
    assert table.time[1] > table.time[0]
    assert table.names == ("v",)
    assert list(table.stamps or ()) == [first, second]


@pytest.mark.parametrize(("first", "second", "meant"), UNDERSTOOD)
def test_the_format_reads_single_cells_as_the_column(first: str, second: str, meant: str) -> None:
    (time_format,) = recognise_times([first, second]).formats
    table = column([first, second])
    assert table.time is not None
    assert [time_format.parse(cell) for cell in (first, second)] == table.time.tolist()
    assert time_format.parse("soon") is None
    assert time_format.parse("") is None


@pytest.mark.parametrize("cell", ["31.10.2025 00:00", "Jan 1 2000", "2025-10"])
def test_times_are_found_under_any_name(cell: str) -> None:
    assert column([cell], name="when").time_column == "when"


def test_what_is_understood_is_said() -> None:
    def said(*cells: str) -> str:
        return " ".join(note.text for note in column(list(cells)).notes)

    assert "milliseconds since 1970" in said("1700000000000")
    assert "spreadsheets" in said("45000.5", "45001.5")
    assert "dates such as 20230131" in said("20230101")
    assert "hours such as 2023013112" in said("2023010100", "2023010101", "2023010123")
    assert said("2023010100", "2023010160") == ""  # seconds, for no hour is 60
    assert "%d.%m.%Y %H:%M" in said("31.10.2025 00:00")
    assert said("2025-10-31 00:00") == said("1700000000") == said("1", "2") == ""


@pytest.mark.parametrize("mark", ["/", ".", "-"])
def test_day_and_month_that_may_be_either_are_refused_with_both(mark: str) -> None:
    cells = [mark.join(parts) for parts in (("01", "02", "2025"), ("02", "02", "2025"))]
    with pytest.raises(DataError, match=r":2: column 'time': .*2025-02-01 \(--time-format") as said:
        column(cells)
    assert f"2025-01-02 (--time-format '%m{mark}%d{mark}%Y')" in str(said.value)
    assert shown(column(cells, time_format=f"%d{mark}%m{mark}%Y"))[0].startswith("2025-02-01")
    assert shown(column(cells, time_format=f"%m{mark}%d{mark}%Y"))[0].startswith("2025-01-02")


def test_dates_without_a_century_are_no_times_of_day() -> None:
    with pytest.raises(DataError, match=r"'01.02.03' can be read as 2003-02-01 .* or 2001-02-03"):
        column(["01.02.03", "02.02.03"])


def test_versions_are_no_dates() -> None:
    table = column(["1.2.10", "1.2.11"], name="version")
    assert (table.time, table.text) == (None, ("version",))


def test_one_cell_of_the_whole_column_decides() -> None:
    cells = [f"{day:02}/01/2025" for day in range(1, 14)]
    assert shown(column(cells))[1].startswith("2025-01-02")


def test_the_unit_can_be_named() -> None:
    assert shown(column(["45000", "45060"], time_unit="s"))[0] == "1970-01-01 12:30:00"
    assert shown(column(["1", "2"], time_unit="days"))[0] == "1970-01-02 00:00:00"
    with pytest.raises(DataError, match=r"--time-unit weeks: expected one of s, ms"):
        column(["1"], time_unit="weeks")
    with pytest.raises(DataError, match=r"--time-format '%Q': expected .*%d.*, got '%Q'"):
        column(["1"], time_format="%Q")


def test_a_cell_that_is_no_time_is_named() -> None:
    with pytest.raises(DataError, match=r":3: column 'time': .*%d\.%m\.%Y.*, got 'soon'"):
        column(["31.10.2025", "soon", "01.11.2025"])
    with pytest.raises(DataError, match=r":3: column 'time': expected a time .*'31.02.2025'"):
        column(["31.01.2025", "31.02.2025", "01.11.2025"])


def test_local_times_over_the_end_of_daylight_saving() -> None:
    cells = ["2025-10-26 01:00", "2025-10-26 02:00", "2025-10-26 02:00", "2025-10-26 03:00"]
    with pytest.raises(DataError, match=r":4: .*'2025-10-26 02:00'.* --timezone Europe/Berlin"):
        column(cells)
    table = column(cells, timezone="Europe/Berlin")
    assert table.time is not None
    assert np.diff(table.time).tolist() == [3600] * 3
    assert shown(table)[0] == "2025-10-25 23:00:00"
    assert any("2 rows in hours that come twice" in note.text for note in table.notes)


def test_the_repeated_hour_of_interleaved_streams_and_of_newest_first() -> None:
    minutes = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    rows = [f"26.10.2025 {m};{s};1.5" for m in minutes for s in "ab"]
    table = read("time;s;v\n" + "\n".join(rows), stream_column="s", timezone="Europe/Berlin")
    assert table.time is not None
    for found in table.groups().values():
        assert np.diff(table.time[found]).tolist() == [1800] * 5


def test_the_hour_that_is_left_out_is_refused() -> None:
    cells = ["2025-03-30 01:30", "2025-03-30 02:30", "2025-03-30 03:30"]
    with pytest.raises(DataError, match=r":3: .*'2025-03-30 02:30' does not exist in Europe/Ber"):
        column(cells, timezone="Europe/Berlin")
    assert len(column(cells, timezone="Etc/GMT-1")) == 3
    with pytest.raises(DataError, match="--timezone Berlin: expected the name of a time zone"):
        column(cells, timezone="Berlin")


def test_a_zone_in_the_cells_goes_before_that_of_the_option() -> None:
    cells = ["2025-10-26T02:00:00+02:00", "2025-10-26T02:00:00+01:00"]
    table = column(cells, timezone="America/New_York")
    assert shown(table) == ["2025-10-26 00:00:00", "2025-10-26 01:00:00"]


JOINED = [
    ("Date,Time,v\n2025-10-31,13:00,1\n2025-10-31,14:00,2\n", "2025-10-31 13:00:00"),
    ("Datum;Uhrzeit;v\n31.10.2025;13:00:30;1,5\n31.10.2025;14:00:30;2,5\n", "2025-10-31 13:00:30"),
    ("date,time,v\n10/31/2025,1:00 PM,1\n10/31/2025,2:00 PM,2\n", "2025-10-31 13:00:00"),
    ("date,hour,v\n2025-10-31,0,1\n2025-10-31,1,2\n", "2025-10-31 00:00:00"),
    ("year,month,v\n2025,1,1\n2025,2,2\n", "2025-01-01 00:00:00"),
    ("year,month,day,hour,v\n2025,1,9,5,1\n2025,1,9,6,2\n", "2025-01-09 05:00:00"),
]


@pytest.mark.parametrize(("text", "meant"), JOINED)
def test_a_time_in_several_columns_is_joined_and_said(text: str, meant: str) -> None:
    table = read(text)
    assert shown(table)[0] == meant
    assert table.names == ("v",)
    assert any("joined from" in note.text for note in table.notes)


def test_columns_to_join_can_be_named() -> None:
    table = read("v,d,t\n1,31.10.2025,13:00\n2,31.10.2025,14:00\n", time_columns=("d", "t"))
    assert shown(table) == ["2025-10-31 13:00:00", "2025-10-31 14:00:00"]
    assert table.time_column == "d t"


@pytest.mark.parametrize(
    ("pattern", "shape"),
    [
        ("%d.%m.%Y %H:%M", "{:02}.{:02}.{:04} {:02}:{:02}"),
        ("%Y%m%d", "{2:04}{1:02}{0:02}"),
        ("%m/%d/%y, %H:%M:%S", "{1:02}/{0:02}/{3:02}, {3:02}:{4:02}:{4:02}"),
    ],
)
def test_times_of_one_width_are_read_as_those_of_any_width(pattern: str, shape: str) -> None:
    """Valid or not: 31 February, month 13, 24:00 and 24:01, second 60, a letter among digits."""
    rng = np.random.default_rng(4)
    parts = rng.integers([0, 0, 1890, 0, 0], [33, 14, 2110, 26, 62], (3000, 5))
    cells = [shape.format(*row) for row in parts.tolist()]
    at_once = convert_pattern(pa.array(cells), pattern)
    one_by_one = convert_pattern(pa.array([*cells, "no time"]), pattern)[:-1]
    assert at_once.equals(one_by_one)
    assert 100 < at_once.null_count < 2999
    cells[7] = cells[7].replace("0", "O").replace("1", "l").replace("2", "Z")
    assert not convert_pattern(pa.chunked_array([cells[:5], cells[5:]]), pattern)[7].is_valid
    assert len(convert_pattern(pa.chunked_array([], pa.string()), pattern)) == 0


def test_many_times_are_read_as_few() -> None:
    """Of a long column a sample tells most, but one cell may be read in two ways, or be none."""
    same = ["05.05.2024 00:00"] * 30_000
    assert recognise_times(same).formats == recognise_times(same[:2]).formats
    same[1] = "06.05.2024 00:00"
    reading = recognise_times(pa.chunked_array([same[:9_000], same[9_000:]]))
    assert {f.notation for f in reading.formats} == {"%d.%m.%Y %H:%M", "%m.%d.%Y %H:%M"}
    assert reading.example == same[1]
    days = [f"{1 + n % 28:02}.05.2024 00:00" for n in range(30_000)]
    reading = recognise_times(days)
    assert [f.notation for f in reading.formats] == ["%d.%m.%Y %H:%M"]
    assert reading.seconds.equals(reading.formats[0].convert(pa.array(days)))
    days[1] = "soon"
    assert recognise_times(days).formats == reading.formats
    assert recognise_times(days).seconds is None


@pytest.mark.parametrize(
    ("header", "first", "second"),
    [
        ("date,hhmm", "2024-05-01,0930", "2024-05-01,1000"),
        ("Date,Time", "20240501,930", "20240501,1000"),
        ("time,date", "093000,2024/05/01", "100000,2024/05/01"),
        ("HHMM,day_of_reading", "0930,1 May 2024", "1000,1 May 2024"),
    ],
)
def test_a_time_of_day_without_colons_beside_a_date(header: str, first: str, second: str) -> None:
    table = read_table(io.StringIO(f"{header},v\n{first},1\n{second},2\n"), ReadOptions())
    assert table.time is not None
    start = datetime(2024, 5, 1, 9, 30, tzinfo=UTC).timestamp()
    assert table.time.tolist() == [start, start + 1800]
    assert table.names == ("v",)


def test_seconds_beside_a_date_are_no_time_of_day() -> None:
    table = read_table(io.StringIO("date,time,v\n2024-05-01,0,1\n2024-05-01,60,2\n"), ReadOptions())
    assert table.time is not None
    assert table.time.tolist() == [0, 60]
