"""Rows in the order of time, each once; what is said of the times between them."""

from __future__ import annotations

import numpy as np
import pytest

from streamlstm.data.durations import in_words, parse_duration, rounded
from streamlstm.data.order import put_in_order
from streamlstm.data.spacing import check_spacing, usual_spacing
from streamlstm.errors import DataError

from .tables import make_table, notes

RNG = np.random.default_rng(4)


def test_a_table_in_order_is_left_as_it_is() -> None:
    for streams in (None, ["a", "b", "a", "b"]):
        table = make_table([1, 1.5, 2, 3], streams, v=[1, 2, 3, 4])
        assert put_in_order(table) is table
    same_times = make_table([1, 1, 2, 2], ["a", "b", "a", "b"], v=[1, 2, 3, 4])
    assert put_in_order(same_times) is same_times
    untimed = make_table(None, v=[2, 1])
    assert put_in_order(untimed) is untimed


def test_rows_in_no_order_are_refused_and_sorted_where_asked() -> None:
    table = make_table([10, 30, 20, 40, 25], v=[1, 3, 2, 4, 2.5])
    with pytest.raises(DataError) as refused:
        put_in_order(table)
    assert str(refused.value) == (
        "x.csv:4: column 'time': expected a time later than on line 3, got an earlier time (as on "
        "1 more line); where a clock was set back, name its zone with --timezone; else --sort puts "
        "the rows in the order of time"
    )
    done = put_in_order(table, sort=True)
    assert done.time is not None
    assert done.time.tolist() == [10, 20, 25, 30, 40]
    assert done.values[:, 0].tolist() == [1, 2, 2.5, 3, 4]
    assert done.lines.tolist() == [2, 4, 6, 3, 5]
    assert notes(done) == ["time: sorted by time, which went back 2 times from row to row"]


def test_a_long_way_back_is_no_clock() -> None:
    with pytest.raises(DataError, match="an earlier time; --sort puts the rows"):
        put_in_order(make_table([1e5, 2e5, 1, 3e5], v=[1, 2, 3, 4]))


def test_rows_of_streams_are_ordered_each_for_itself() -> None:
    table = make_table([5, 1, 6, 2, 3], ["a", "b", "a", "b", "a"], v=[1, 2, 3, 4, 5])
    with pytest.raises(DataError, match=r"x.csv:6: .* later than on line 4 of stream 'a'"):
        put_in_order(table)
    done = put_in_order(table, sort=True)
    assert {s: done.values[rows, 0].tolist() for s, rows in done.groups().items()} == {
        "a": [5, 1, 3],
        "b": [2, 4],
    }


def test_the_newest_row_first_is_an_order() -> None:
    table = make_table([4, 3, 3, 2, 1], v=[40, 30, 30, 20, 10])
    done = put_in_order(table)
    assert done.values[:, 0].tolist() == [10, 20, 30, 40]
    assert notes(done) == [
        "None: 1 row is there twice (the first on line 4): read once",
        "time: the newest row is first: read in the order of time",
    ]
    many = make_table([4, 9, 3, 8, 2, 7], ["a", "b"] * 3, v=range(6))
    assert put_in_order(many).values[:, 0].tolist() == [4, 2, 0, 5, 3, 1]
    with pytest.raises(DataError, match="--sort"):  # of two rows nobody knows
        put_in_order(make_table([2, 1], v=[1, 2]))


def test_rows_that_are_there_twice_are_read_once() -> None:
    nan = np.nan
    table = make_table(
        [1, 2, 3, 2, 3, 4, 4], v=[10, nan, 30, nan, 30, 40, 40], w=[1, 2, 3, 2, 3, 4, 4]
    )  # an export that overlaps the one before, appended: without its copies it is in order
    done = put_in_order(table)
    assert done.lines.tolist() == [2, 3, 4, 7]
    assert notes(done) == ["None: 3 rows are there twice (the first on line 5): read once"]


def test_conflicting_rows_are_refused_with_both_lines() -> None:
    table = make_table([1, 2, 3, 2], v=[1, 2, 3, 9], machine=[1, 1, 1, 2])
    with pytest.raises(DataError) as refused:
        put_in_order(table, sort=True)
    assert str(refused.value) == (
        "x.csv:5: column 'time': expected one row of a time, got other values than on line 3 at "
        "the same time; where the file holds several series, name the column that tells them apart "
        "with --stream-column (perhaps 'machine'); where a clock was set back, name its zone with "
        "--timezone; where several readings share a time, combine them with --resample '1s mean'"
    )
    with pytest.raises(DataError, match=r"line 2 of stream 'a' at the same time \(2 such rows\)"):
        put_in_order(make_table([1, 1, 1], ["a"] * 3, v=[1, 2, 3]))
    done = put_in_order(table, sort=True, repeated_times=True)
    assert done.values[:, 0].tolist() == [1, 2, 9, 3]


@pytest.mark.parametrize("streams", [1, 3, 300])
def test_sorting_is_what_python_sorts(streams: int) -> None:
    n = 2000
    time = RNG.permutation(n).astype(float)
    ids = [f"s{k}" for k in RNG.integers(streams, size=n)]
    done = put_in_order(make_table(time, ids, v=time), sort=True)
    for stream, rows in done.groups().items():
        expected = sorted(t for t, s in zip(time, ids, strict=True) if s == stream)
        assert done.values[rows, 0].tolist() == expected


def test_even_rows_are_not_worth_a_word() -> None:
    table = make_table(np.arange(100) * 60.0, v=range(100))
    assert check_spacing(table, allow_gaps=False) is table
    untimed = make_table(None, v=range(100))
    assert check_spacing(untimed) is untimed


def test_about_even_rows_are_told() -> None:
    time = np.cumsum(RNG.integers(58, 63, size=500)).astype(float)
    assert notes(check_spacing(make_table(time, v=time), allow_gaps=False)) == [
        "time: a row every 58 to 62 s: taken as even; --resample '1min mean' makes it so"
    ]


def test_irregular_rows_are_told() -> None:
    time = np.cumsum(RNG.exponential(60, size=500)) + 1
    (said,) = notes(check_spacing(make_table(time, v=time), allow_gaps=False))
    assert said.startswith("time: rows come at irregular times, most of them ")
    assert "--resample" in said


def test_gaps_are_refused_or_told() -> None:
    time = np.delete(np.arange(200) * 3600.0, [50, 51, 120])
    table = make_table(time, v=time)
    with pytest.raises(DataError) as refused:
        check_spacing(table, allow_gaps=False)
    assert str(refused.value) == (
        "x.csv:52: column 'time': expected a row every 1 h, got none for 3 h (2 gaps); --resample "
        "'1h mean' makes the missing rows missing values, --allow-gaps continues as if none were "
        "missing"
    )
    assert notes(check_spacing(table)) == [
        "time: 2 gaps between rows every 1 h, the longest of 3 h before line 52: the rows around "
        "them count as consecutive"
    ]
    saving = make_table(np.delete(np.arange(200) * 3600.0, 50), v=range(199))
    with pytest.raises(DataError, match="where clocks change, --timezone"):
        check_spacing(saving, allow_gaps=False)


def test_a_stream_begins_when_it_likes() -> None:
    time = np.concatenate([np.arange(50) * 60.0, 1e6 + np.arange(50) * 60.0])
    table = make_table(time, ["a"] * 50 + ["b"] * 50, v=time)
    assert check_spacing(table, allow_gaps=False) is table


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1min", 60), ("15 min", 900), ("90s", 90), ("1.5h", 5400), ("d", 86400), ("250ms", 0.25)]
    + [(bad, None) for bad in ("", "0s", "-1s", "1", "1 fortnight", ".s", "1min mean")],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "words", "near"),
    [
        (60, "1 min", "1min"),
        (61.5, "61.5 s", "1min"),
        (58, "58 s", "1min"),
        (0.25, "250 ms", "200ms"),
        (3600, "1 h", "1h"),
        (5000, "83.33 min", "1h"),
        (86400, "1 d", "1d"),
        (900, "15 min", "15min"),
    ],
)
def test_durations_in_words(seconds: float, words: str, near: str) -> None:
    assert in_words(seconds) == words
    assert rounded(seconds) == near
    assert parse_duration(near) is not None


def test_the_usual_spacing_is_the_median_of_those_that_advance() -> None:
    time = [0.0, 60, 120, 120, 100, 160, 1e6]
    assert usual_spacing(make_table(time, v=time)) == 60
    two = make_table([0.0, 60, 120, 1000, 1060], ["a", "a", "a", "b", "b"], v=[1.0] * 5)
    assert usual_spacing(two) == 60
    assert usual_spacing(make_table([5.0], v=[1.0])) is None
    assert usual_spacing(make_table(None, v=[1.0, 2.0])) is None
