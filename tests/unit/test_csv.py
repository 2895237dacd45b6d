"""CSV reading: what is read, and what each mistake in a file is answered with."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table
from streamlstm.data.table import Table
from streamlstm.errors import DataError


def table(text: str, time_column: str | None = None, **options: Any) -> Table:
    times = (time_column,) if time_column else ()
    options["columns"] = tuple(options.get("columns", ()))
    return read_table(io.StringIO(text), ReadOptions(times, **options))


def test_reads_time_and_numbers() -> None:
    read = table("timestamp,a,b\n2024-01-01 00:00:00,1,2.5\n2024-01-01 00:30:00,-3e2,4\n")
    assert read.names == ("a", "b")
    assert read.time_column == "timestamp"
    assert read.values.dtype == np.float64
    assert read.values.tolist() == [[1, 2.5], [-300, 4]]
    assert read.time is not None
    assert read.time.tolist() == [1704067200, 1704069000]
    assert list(read.stamps or ()) == ["2024-01-01 00:00:00", "2024-01-01 00:30:00"]
    assert read.lines.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("header", "cell", "seconds"),
    [
        ("time", "1704067200.5", 1704067200.5),
        ("Date", "2024-01-01", 1704067200),
        ("ts", "2024-01-01T01:00:00+01:00", 1704067200),
        ("DATETIME", "2024/01/01 00:00", 1704067200),
        ("when", "2024-01-01T00:00:00Z", 1704067200),
    ],
)
def test_finds_the_time_column(header: str, cell: str, seconds: float) -> None:
    read = table(f"a,{header}\n1,{cell}\n")
    assert read.names == ("a",)
    assert read.time is not None
    assert read.time.tolist() == [seconds]


def test_a_file_needs_no_time_column() -> None:
    read = table("a,b\n1,2\n")
    assert read.time is None
    assert read.names == ("a", "b")


def test_a_column_asked_for_is_not_taken_for_the_time() -> None:
    assert table("time,a\n1,2\n1,3\n", columns=["time"]).names == ("time",)


def test_streams_are_grouped_in_order() -> None:
    read = table("time,pump,v\n1,a,10\n1,b,20\n2,b,21\n2,a,11\n", stream_column="pump")
    assert {name: read.values[rows, 0].tolist() for name, rows in read.groups().items()} == {
        "a": [10, 11],
        "b": [20, 21],
    }


def test_text_columns_are_left_out_unless_asked_for() -> None:
    text = "a,place\n1,north\n2,south\n"
    assert table(text).names == ("a",)
    assert table(text).text == ("place",)
    with pytest.raises(DataError, match=r"'place' holds text.*'a'"):
        table(text).select(["place"])
    with pytest.raises(DataError, match=r":2: column 'place': expected a number, got 'north'"):
        table(text, columns=["place"])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_is_that_of_the_header(delimiter: str) -> None:
    text = "a,b\n1,2\n".replace(",", delimiter)
    assert table(text).values.tolist() == [[1, 2]]


def test_reads_gzip_byte_order_marks_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress('\ufeff"a","b"\r\n\r\n1,"2"\r\n'.encode()))
    read = read_table(path)
    assert read.names == ("a", "b")
    assert read.values.tolist() == [[1, 2]]
    assert read.lines.tolist() == [3]


BAD = [
    ("", "the file is empty"),
    ("\n\n", "the file is empty"),
    ("time,v\n", "at least one row after the header"),
    ("1,2\n3,4\n", ":1: expected a header"),
    ("v,v\n1,2\n", "'v' occurs twice"),
    ("a,\n1,2\n", ":1: expected a name for column 2"),
    ("time,v\n1,2\n2,abc\n", r":3: column 'v': expected a number, got 'abc'"),
    ("time,v\n1,2\n\n3,abc\n", r":4: column 'v': expected a number, got 'abc'"),
    ("time,v\n1,2\n2,\n", r":3: column 'v': expected a number, got an empty cell \(a gap\)"),
    ("time,v\n1,2\n2,NaN\n", r":3: column 'v': expected a number, got 'NaN' \(a gap\)"),
    ("time,v\n1,2\n2,inf\n", r":3: column 'v': expected a number that fits float32 .*got 'inf'"),
    ("time,v\n1,2\n2,1e39\n", r":3: column 'v': expected a number that fits float32 .*got '1e39'"),
    ("time,v\n1,2\n1,3\n", r":3: column 'time': .* other values than on line 2 at the same time"),
    ("time,v\n2,2\n1,3\n", r":3: column 'time': .* later than on line 2, got an earlier time"),
    ("time,v\n1,2\nsoon,3\n", r":3: column 'time': expected a time .*, got 'soon'"),
    ("time,v\n1,2\n,3\n", r":3: column 'time': expected a time .*, got an empty cell"),
    ("time,v\n1,2\n2,3,4\n", r":3: expected 2 cells as in the header, got 3"),
    ("time,v\n1,2\n2\n", r":3: expected 2 cells as in the header, got 1"),
    ('time,v\n1,2\n2,"3\n', r":3: expected a row of CSV"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_files_are_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(text)


@pytest.mark.parametrize("option", ["time_column", "stream_column"])
def test_missing_columns_are_named_beside_those_there_are(option: str) -> None:
    with pytest.raises(DataError, match="expected a column 'x'; the columns are 'a', 'b'"):
        table("a,b\n1,2\n", **{option: "x"})
    with pytest.raises(DataError, match="expected a column 'x'; the columns are 'a', 'b'"):
        table("a,b\n1,2\n", columns=["a", "x"])


def test_equal_times_are_refused_within_a_stream_only() -> None:
    text = "time,s,v\n1,a,1\n1,b,1\n2,a,1\n2,a,2\n"
    message = r":5: column 'time': .* other values than on line 4 of stream 'a' at the same time"
    with pytest.raises(DataError, match=message):
        table(text, stream_column="s")


def test_a_row_without_a_stream_is_refused() -> None:
    with pytest.raises(DataError, match=":3: column 's': expected the name of a stream"):
        table("s,v\na,1\n,2\n", stream_column="s")


def test_missing_rows_are_found_where_rows_are_evenly_spaced() -> None:
    regular = "time,v\n" + "".join(f"{60 * k},1\n" for k in range(50) if k != 20)
    with pytest.raises(
        DataError, match=r":22: column 'time': expected a row every 1 min, got none"
    ):
        table(regular, allow_gaps=False)
    assert len(table(regular)) == 49
    events = "time,v\n" + "".join(f"{k * k},1\n" for k in range(50))
    assert len(table(events, allow_gaps=False)) == 50


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv: cannot be read: No such file"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path)
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 500)[:-20])
    with pytest.raises(DataError, match="gzip"):
        read_table(broken)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("1e39", "expected a number that fits float32 .*'1e39'"),
        ("-inf", "expected a number that fits float32 .*'-inf'"),
        ("1_000", "expected a number, got '1_000'"),
        ("\u0661\u0662", "expected a number, got '\u0661\u0662'"),
    ],
)
def test_numbers_that_others_read_otherwise_are_refused(cell: str, said: str) -> None:
    for text in (f"a;b\n1;2\n1;{cell}\n", f"a;b\n1;{cell}\n2;2\n"):
        line = 3 if text.endswith(f"{cell}\n") else 2
        with pytest.raises(DataError, match=f":{line}: column 'b': {said}"):
            table(text)


def test_a_missing_column_among_thousands_lists_a_few() -> None:
    header = ",".join(f"c{n}" for n in range(3000))
    cells = ",".join("1" * 3000)
    with pytest.raises(DataError, match=r"'c0', .*'c19' and 2,980 more$"):
        table(f"{header}\n{cells}\n", columns=["value"])


def test_standard_input_that_is_closed_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(DataError, match="standard input, but it is closed"):
        read_table("-")


def test_missing_cells_are_nan_where_they_may_be() -> None:
    text = "time,a,b\n1,1.5,2\n2,,3\n3,NA,null\n4,4,\n"
    read = table(text, missing=True)
    assert np.array_equal(
        read.values, [[1.5, 2], [np.nan, 3], [np.nan, np.nan], [4, np.nan]], equal_nan=True
    )
    with pytest.raises(DataError, match=r"expected a number, got 'x'"):
        table(text.replace("1.5", "x"), missing=True)
    with pytest.raises(DataError, match="an empty cell"):
        table(text)
