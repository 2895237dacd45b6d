"""Files of all kinds: encodings, delimiters, what is no row, and other formats than CSV."""

import gzip
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table
from streamlstm.data.table import Table
from streamlstm.errors import DataError

TEXT = "größe;Zeit;v\n1,5;2025-01-01;2\n2,5;2025-01-02;3\n"


def read(source: str | bytes | Path, **options: Any) -> Table:
    if isinstance(source, str):
        return read_table(io.StringIO(source), ReadOptions(**options))
    if isinstance(source, bytes):
        return read_table(io.BytesIO(source), ReadOptions(**options))
    return read_table(source, ReadOptions(**options))


def said(table: Table) -> str:
    return "; ".join(note.text for note in table.notes)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"]
)
def test_the_encoding_is_recognised(encoding: str, packed: bool, tmp_path: Path) -> None:
    data = TEXT.encode(encoding)
    path = tmp_path / "data.csv"
    path.write_bytes(gzip.compress(data) if packed else data)
    table = read(path)
    assert table.names == ("größe", "v")
    assert table.time_column == "Zeit"
    assert table.values.tolist() == [[1.5, 2], [2.5, 3]]
    assert ("not UTF-8" in said(table)) == (not encoding.startswith("utf-8"))


def test_an_encoding_that_shows_late_in_the_file() -> None:
    rows = b"".join(b"%d;1.5;north\n" % n for n in range(100_000)) + "7;1.5;süd\n".encode("cp1252")
    table = read(b"time;v;place\n" + rows, columns=("v",), stream_column="place")
    assert list(table.streams or ())[-1] == "süd"


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_ends_of_lines(delimiter: str, ends: str) -> None:
    text = "time,a b,c\n1,2.5,x\n2,3.5,y\n".replace(",", delimiter).replace("\n", ends)
    table = read(text.encode())
    assert table.values.tolist() == [[2.5], [3.5]]
    assert table.lines.tolist() == [2, 3]


def test_a_delimiter_inside_names_and_numbers_is_none() -> None:
    table = read("time;temperature, °C;flow, l\n1;2,5;3,25\n2;3,5;4,25\n")
    assert table.names == ("temperature, °C", "flow, l")
    assert table.values.tolist() == [[2.5, 3.25], [3.5, 4.25]]


def test_an_index_without_a_name_is_left_out_or_the_time() -> None:
    counted = read(",time,v\n0,10,1.5\n1,20,2.5\n")
    assert counted.names == ("v",)
    assert "counts rows" in said(counted)
    timed = read(",v\n2025-01-01,1.5\n2025-01-02,2.5\n")
    assert timed.time is not None
    assert timed.names == ("v",)
    numbered = read(",v\n7,1.5\n3,2.5\n")
    assert numbered.names == ("index", "v")


def test_the_first_line_of_a_spreadsheet_tells_the_delimiter() -> None:
    table = read("sep=;\r\ntime;v\r\n1;2,5\r\n2;3,5\r\n")
    assert table.values.tolist() == [[2.5], [3.5]]
    assert table.lines.tolist() == [3, 4]


def test_a_first_row_of_numbers_is_no_row_of_units() -> None:
    with pytest.raises(DataError, match=r":2: column 'v': expected a number, got '\(5\)'"):
        read("v\n(5)\n6\n")


def test_a_delimiter_at_the_end_of_every_line() -> None:
    assert read("time,v,\n1,2,\n2,3,\n").names == ("v",)


def test_repeated_headers_are_passed_over_and_counted() -> None:
    table = read("time,v\n1,2\n2,3\ntime,v\n3,4\ntime,v\n4,x\n".replace("x", "5"))
    assert table.values[:, 0].tolist() == [2, 3, 4, 5]
    assert table.lines.tolist() == [2, 3, 5, 7]
    assert "repeated 2 times" in said(table)


def test_comments_and_units_around_the_header() -> None:
    table = read("# from the plant\n# 2025\ntime,flow,t\n,m3/h,[°C]\n1,2.5,3\n2,3.5,4\n")
    assert table.values.tolist() == [[2.5, 3], [3.5, 4]]
    assert table.lines.tolist() == [5, 6]
    assert "2 lines of comments" in said(table)
    assert "flow in m3/h, t in [°C]" in said(table)
    saved = read("# time, v\n1.0,2.5\n2.0,3.5\n")
    assert saved.names == ("v",)


def test_lines_are_right_after_blank_lines_and_cells_of_several_lines() -> None:
    table = read('time,note,v\n\n1,"two\nlines",2.5\n\n2,one,3.5\n\n\n')
    assert table.lines.tolist() == [4, 6]
    with pytest.raises(DataError, match=r":6: column 'v'"):
        read('time,note,v\n\n1,"two\nlines",2.5\n\n2,one,x\n', columns=("v",))


def test_missing_cells_of_every_spelling() -> None:
    spelled = ["", " ", "NA", "N/A", "n/a", "-", "--", "null", "None", "NaN", "?", "#N/A"]
    table = read(
        "time,v\n0,1.5\n" + "".join(f"{n},{c}\n" for n, c in enumerate(spelled, 1)), missing=True
    )
    assert np.isnan(table.values[1:]).all()
    with pytest.raises(DataError, match=r":3: column 'v': .*'NA' \(a gap\)"):
        read("time,v\n0,1.5\n1,NA\n")


def test_other_values_mean_missing_where_that_is_said() -> None:
    table = read(
        "time,a,b\n0,1.5,2\n1,-999,3\n2,-999.0,off\n", missing=True, missing_values=("-999", "off")
    )
    assert np.isnan(table.values).tolist() == [[False, False], [True, False], [True, True]]
    with pytest.raises(DataError, match=r":3: column 'a': .*'-999' \(a gap\)"):
        read("time,a\n0,1.5\n1,-999\n", missing_values=("-999",))


def test_values_that_look_like_missing_ones_are_told() -> None:
    rows = "".join(f"{n},{-999 if n % 9 == 4 else 20 + n % 7}\n" for n in range(90))
    assert "-999 stands in 10 rows" in said(read("time,v\n" + rows))
    assert "--missing-value -999" in said(read("time,v\n" + rows))
    assert not said(read("time,v\n" + rows.replace("-999", "19")))


def test_an_empty_column_is_left_out() -> None:
    table = read("time,v,w\n1,2,\n2,3,\n")
    assert table.names == ("v",)
    assert "empty" in said(table)


@pytest.fixture
def frame() -> pd.DataFrame:
    times = pd.date_range("2025-01-01", periods=3, freq="h")
    return pd.DataFrame(
        {
            "time": times,
            "s": ["a", "b", "a"],
            "v": [1.5, None, 3.5],
            "n": [1, 2, 3],
            "ok": [True] * 3,
        }
    )


@pytest.mark.parametrize("kind", ["parquet", "feather", "jsonl", "json", "csv", "jsonl.gz"])
def test_formats_are_told_by_their_content(kind: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "data"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "feather":
        frame.to_feather(path)
    elif kind == "csv":
        frame.to_csv(path, index=False)
    else:
        data = frame.to_json(orient="records", lines="jsonl" in kind, date_format="iso").encode()
        path.write_bytes(gzip.compress(data) if kind.endswith("gz") else data)
    table = read(path, stream_column="s", columns=("n", "v"), missing=True)
    assert np.array_equal(table.values, [[1, 1.5], [2, np.nan], [3, 3.5]], equal_nan=True)
    assert list(table.streams or ()) == ["a", "b", "a"]
    assert table.time is not None
    assert table.time.tolist() == [1735689600, 1735693200, 1735696800]
    assert (table.stamps or [""])[0].startswith("2025-01-01")
    with pytest.raises(DataError, match=r"data:\d: column 'v': expected a number, got an empty"):
        read(path, columns=("v",))


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    for data, said in (
        (b"PK\x03\x04" + b"\0" * 50, "save the sheet as CSV"),
        (b"\x00\x01\x02\x03" * 50, "bytes that are none"),
        (b"PAR1 but not more", "cannot be read"),
        (b'{"a": 1}\n{"a": }\n', "expected an object in JSON on each line"),
    ):
        path = tmp_path / "file"
        path.write_bytes(data)
        with pytest.raises(DataError, match=said):
            read(path)
    with pytest.raises(DataError, match=r"expected a file, a frame .*got int"):
        read_table(3)


def test_a_command_that_returns_freed_memory_reads_without_pandas(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("time,v\n2025-01-01,1.5\n2025-01-02,2.5\n")
    program = (
        "import sys; from streamlstm.data.memory import return_freed_memory as f; f(); "
        "from streamlstm.data.read import read_table; "
        f"assert read_table({str(path)!r}).values.tolist() == [[1.5], [2.5]]; "
        "assert 'pandas' not in sys.modules; import pandas"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("before", "lines"),
    [("Station: Hamburg\nSensor: 7\n\n", 3), ("Export;2024;1,5\n", 1)],
)
def test_texts_before_the_header_are_passed_over(before: str, lines: int) -> None:
    rows = [f"2025-01-0{n};{n},5" for n in range(1, 7)]
    table = read("\n".join([before + "Zeit;v", *rows, ""]))
    assert table.values[:, 0].tolist() == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert table.lines.tolist() == list(range(lines + 2, lines + 8))
    assert f"{'a line' if lines == 1 else f'{lines} lines'} before the header" in said(table)
    spreadsheet = "t;x\n20,00 °C;1\n21,50 °C;2\n20,25 °C;3\n20,75 °C;4\n"
    assert read(spreadsheet).names == ("t", "x")
    for ragged in ("a,b\n1,2,3\n1,2,3\n1,2,3\n", "a,b\n1,2\n1,2,3\n1,2\n1,2\n1,2\n"):
        with pytest.raises(DataError, match=r":[23]: expected 2 cells as in the header, got 3"):
            read(ragged)


def test_a_word_for_missing_is_named_with_its_option() -> None:
    with pytest.raises(DataError, match=r"--missing-value 'No Data' makes such cells missing"):
        read("t,v\n1,2.5\n2,No Data\n3,2.5\n")


@pytest.mark.parametrize(
    "text",
    [
        "time v w\n1 1.5 2\n2 2.5 3\n3 3.5 4\n",
        "  time      v    w\n     1    1.5    2\n     2    2.5    3\n    3    3.5    4  \n",
        "# time v w\n1 1.5 2\n2 2.5 3\n3 3.5 4\n",
        "time^v^w\n1^1.5^2\n2^2.5^3\n3^3.5^4\n",
        "time~v~w\n1~1.5~2\n2~2.5~3\n3~3.5~4\n",
        " time | v | w\n------+---+---\n 1 | 1.5 | 2\n 2 | 2.5 | 3\n 3 | 3.5 | 4\n(3 rows)\n",
        "time,v,w\n1,1.5,2\n2,2.5,3\n# paused\n3,3.5,4\n\n3 rows selected.\nEnd of file\n",
        'time,v,w\n1,1.5,2\n2,"2.5",3\n3,3.5,4\n,,\n,,\n',
    ],
)
def test_tables_of_other_programs(text: str) -> None:
    table = read(text)
    assert table.names == ("v", "w")
    assert table.time is not None
    assert table.time.tolist() == [1, 2, 3]
    assert table.values.tolist() == [[1.5, 2], [2.5, 3], [3.5, 4]]
    lines = text.split("\n")
    assert all(
        lines[line - 1].split()[0].startswith(f"{n}") for n, line in enumerate(table.lines, 1)
    )


def test_lines_without_a_row_are_said_and_others_refused() -> None:
    table = read("a,b\n1,2\n# x\n3,4\nthat is all\n")
    assert "2 lines without a row passed over, the first is line 3: '# x'" in said(table)
    assert "2 empty rows at the end" in said(read("a,b\n1,2\n,\n,\n"))
    with pytest.raises(DataError, match=":3: expected 2 cells as in the header, got 1"):
        read("a,b\n1,2\n3\n4,5\nthat is all\n")
    with pytest.raises(DataError, match=":3: expected 2 cells as in the header, got 1"):
        read("a,b\n1,2\n3")  # cut off
