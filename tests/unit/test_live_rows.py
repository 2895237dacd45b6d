"""Live rows: what is read of them, what is told, and that nothing good is lost."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from streamlstm import wire
from streamlstm.data.live.cells import Splitter
from streamlstm.data.live.problems import Kind, OnBad, Problem
from streamlstm.data.live.rows import MAX_STREAM_BYTES, LiveRow, iterate_rows
from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table
from streamlstm.errors import DataError


def read(
    text: str | Path, on_bad: OnBad = OnBad.SKIP, **options: object
) -> tuple[list[LiveRow], list[Problem]]:
    problems: list[Problem] = []
    source = io.StringIO(text) if isinstance(text, str) else text
    given = ReadOptions(**options)  # type: ignore[arg-type]
    return list(iterate_rows(source, problems.append, given, on_bad)), problems


def values(rows: list[LiveRow]) -> list[list[float]]:
    return [row.values.tolist() for row in rows]


GOOD = "time,a,b\n1,1,10\n2,2,20\n"
REST = "5,5,50\n6,6,60\n"
BAD_ROWS = [
    ("3,ERR,30\n", "column 'a': expected a number, got 'ERR'"),
    ("3,,30\n", "column 'a': expected a number, got an empty cell (a gap)"),
    ("3,NA,30\n", "column 'a': expected a number, got 'NA' (a gap)"),
    ("3,1e39,30\n", "column 'a': expected a number that fits float32 (up to 3.4e+38), got '1e39'"),
    ("3,inf,30\n", "column 'a': expected a number that fits float32 (up to 3.4e+38), got 'inf'"),
    ("3,1_000,30\n", "column 'a': expected a number, got '1_000'"),
    ("soon,3,30\n", "column 'time': expected a time"),
    (",3,30\n", "column 'time': expected a time"),
    ("3,3\n", "expected 3 cells as in the header, got 2"),
    ("3,3,30,300\n", "expected 3 cells as in the header, got 4"),
    ('3,"3,30\n', "expected a row of CSV: "),
    ('3,"3"x,30\n', "expected a row of CSV: "),
    ("==> b.csv <==\n", "expected 3 cells as in the header, got 1"),
    ("3,\0,30\n", "column 'a': expected a number, got '\\x00'"),
    ("3,30," + "x" * 200_000 + "\n", "expected a row of CSV: field larger"),
]


@pytest.mark.parametrize(("bad", "said"), BAD_ROWS)
def test_a_bad_row_costs_no_row_around_it(bad: str, said: str) -> None:
    rows, problems = read(GOOD + bad + REST)
    assert values(rows) == [[1, 10], [2, 20], [5, 50], [6, 60]]
    assert [row.line for row in rows] == [2, 3, 5, 6]
    assert [(p.kind, p.line) for p in problems] == [(Kind.SKIPPED, 4)]
    assert problems[0].text.startswith(said)
    with pytest.raises(DataError) as stopped:
        read(GOOD + bad + REST, OnBad.STOP)
    assert str(stopped.value).startswith(f"<stream>:4: {said}")


@pytest.mark.parametrize(("bad", "said"), BAD_ROWS)
def test_bad_cells_are_missing_values_where_they_are_filled(bad: str, said: str) -> None:
    rows, problems = read(GOOD + bad + REST, OnBad.FILL, missing=True)
    filled = said.startswith("column 'a'")
    assert len(rows) == 4 + filled
    if filled:
        assert np.array_equal(rows[2].values, [np.nan, 30], equal_nan=True)
    gap = said.endswith("(a gap)")  # a missing value as the model expects them: no problem
    kinds = [] if gap else [Kind.FILLED if filled else Kind.SKIPPED]
    assert [p.kind for p in problems] == kinds


def test_rows_before_a_stop_are_yielded() -> None:
    rows = iterate_rows(io.StringIO(GOOD + "3,ERR,30\n"), print, on_bad=OnBad.STOP)
    assert next(rows).line == 2
    assert next(rows).line == 3
    with pytest.raises(DataError, match="ERR"):
        next(rows)


def test_a_clock_that_steps_back_is_told_and_its_rows_are_kept() -> None:
    text = "time,id,v\n10,a,1\n11,b,2\n5,a,3\n6,a,4\n6,a,5\n12,b,6\n"
    rows, problems = read(text, stream_column="id")
    assert [row.values[0] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.time for row in rows] == [10, 11, 5, 6, 6, 12]
    assert [(p.kind, p.line) for p in problems] == [(Kind.CLOCK, 4), (Kind.CLOCK, 6)]
    assert problems[0].text == (
        "column 'time': expected a time later than 10 on line 2 of stream 'a', got 5, which is "
        "earlier"
    )
    assert problems[1].text.endswith("later than 6 on line 5 of stream 'a', got the same time")
    with pytest.raises(DataError, match=r":4: column 'time': .* got 5, .*--on-bad skip keeps"):
        read(text, OnBad.STOP, stream_column="id")


def test_a_repeated_header_is_passed_over_and_another_order_is_followed() -> None:
    text = "time,a,b\n1,1,10\n\ufefftime, a ,b\n2,2,20\nb,c,time,a\n30,x,3,3\n4,4,40\n"
    for on_bad in OnBad:
        options = {"columns": ("a", "b")}
        source = text if on_bad is not OnBad.STOP else text.removesuffix("4,4,40\n")
        rows, problems = read(source, on_bad, **options)
        assert values(rows) == [[1, 10], [2, 20], [3, 30]]
        assert [row.time for row in rows] == [1, 2, 3]
        headers = [p for p in problems if p.kind is Kind.HEADER]
        assert [p.line for p in headers] == [3, 5]
        assert "the columns are now 'b', 'c', 'time', 'a'" in headers[1].text
    assert values(read("a,b\na,b\n1,2\n")[0]) == [[1, 2]]


def test_quoted_cells_go_on_over_lines() -> None:
    text = 'note,a\n"one\ntwo ""x""\n",1\nplain,2\n"open,3\nplain,4\n"no end\n'
    rows, problems = read(text, columns=("a",))
    assert [(row.line, row.values[0]) for row in rows] == [(2, 1), (5, 2), (7, 4)]
    assert [p.line for p in problems] == [6, 8]
    lines = enumerate(["a,b\n", '"1\n', *["x\n"] * 200, "3,4\n"], start=1)
    rows_of = Splitter(iter(lines))
    found = []
    for row in rows_of:
        rows_of.width = 2
        found.append(row)
    assert found[-1].cells == ["3", "4"]
    assert len(found) == 203  # what was held came back line by line


def test_the_first_row_tells_the_columns_and_may_be_bad() -> None:
    rows, problems = read("when,place,a\nx\nERR,ERR,ERR\n2024-01-01,north,1\n2024-01-02,south,2\n")
    assert values(rows) == [[1], [2]]
    assert rows[0].time == 1704067200
    assert [p.line for p in problems] == [2, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("time,a\n", "at least one row after the header 'time', 'a', found none"),
        ("1,2\n3,4\n", ":1: expected a header"),
        ("x,v\n1,2\n", "expected a column 'a'; the columns are 'x', 'v'"),
        ("a,a\n1,2\n", ":1: column 'a' occurs twice"),
        ('"a\n', ":1: expected a row of CSV"),
        ("a,b\nERR,2\n1\n", r":2: column 'a': expected a number, got 'ERR' \(no row can be used\)"),
    ],
)
def test_what_cannot_begin_or_has_no_good_row_is_an_error(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(text, columns=("a",))


def test_a_stream_that_the_protocol_cannot_name_is_a_bad_cell() -> None:
    assert wire.MAX_ID_BYTES == MAX_STREAM_BYTES
    long = "ü" * 128
    text = f"id,a\na,1\n,2\n{long},3\na\0b,4\n{long[1:]},5\n"
    rows, problems = read(text, stream_column="id")
    assert [row.values[0] for row in rows] == [1, 5]
    assert [p.line for p in problems] == [3, 4, 5]
    assert "expected the name of a stream of at most 255 bytes" in problems[0].text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("id,größe\nhöhe,1\nb,2\n".encode(encoding))
    rows, problems = read(path, stream_column="id", columns=("größe",))
    assert [(row.stream, row.values[0]) for row in rows] == [("höhe", 1), ("b", 2)]
    assert problems == []


def test_bytes_that_are_no_text_cost_one_row(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a;b\n1;2\n\xff\xfe\x00\x81;3\n4;5\n")
    rows, problems = read(path)
    assert values(rows) == [[1, 2], [4, 5]]
    assert [p.line for p in problems] == [3]


def test_gzip(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\r\n1,2\r\n"))
    assert values(read(path)[0]) == [[1, 2]]
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 500)[:-20])
    with pytest.raises(DataError, match="gzip"):
        read(path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read(tmp_path / "nothing.csv")


def test_live_rows_are_what_a_whole_file_reads() -> None:
    text = "time,s,v,w\n1,a,1,2\n2,b,3,4\n3,a,5,6\n"
    rows, _ = read(text, stream_column="s", columns=("w", "v"))
    table = read_table(io.StringIO(text), ReadOptions(stream_column="s", columns=("w", "v")))
    assert values(rows) == table.values.tolist()
    assert [row.stream for row in rows] == list(table.streams or ())
    assert table.time is not None
    assert [row.time for row in rows] == table.time.tolist()


def test_a_row_is_there_before_the_next_one_comes() -> None:
    lines = iter(["a,b\n", "1,2\n"])

    class Live(io.StringIO):
        def readline(self, size: int | None = -1) -> str:
            try:
                return next(lines)
            except StopIteration:
                raise AssertionError("read ahead of the first row") from None

    assert next(iterate_rows(Live(), print)).values.tolist() == [1, 2]


def test_columns_of_a_pipe_are_those_with_numbers_or_gaps_in_the_first_row() -> None:
    rows, _ = read("time,place,a,,b\n1,north,1,7,\n2,south,2,8,3\n", missing=True)
    assert np.array_equal([row.values for row in rows], [[1, np.nan], [2, 3]], equal_nan=True)


def test_numbers_keep_their_digits() -> None:
    rows, _ = read("a,b\n1700000000.25,0.1\n")
    assert values(rows) == [[1700000000.25, 0.1]]
