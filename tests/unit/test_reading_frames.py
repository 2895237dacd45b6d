"""Tables in memory: columns go by their names, an index of times is the time."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table
from streamlstm.errors import DataError

TIMES = pd.date_range("2025-01-01", periods=3, freq="h")
SECONDS = [1735689600, 1735693200, 1735696800]


def columns() -> dict[str, Any]:
    return {"b": [1, 2, 3], "time": TIMES.to_numpy(), "a": [1.5, 2.5, 3.5]}


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        pl.DataFrame,
        lambda data: pl.DataFrame(data).lazy(),
        pa.table,
        lambda data: pa.RecordBatch.from_pydict(data),
        dict,
        lambda data: {name: np.asarray(values) for name, values in data.items()},
        lambda data: {name: pd.Series(values) for name, values in data.items()},
        lambda data: pd.DataFrame(data).set_index("time"),
        lambda data: pd.DataFrame(data).to_records(index=False),
    ],
)
def test_columns_go_by_name_in_any_order(make: Any) -> None:
    table = read_table(make(columns()), ReadOptions(columns=("a", "b")))
    assert table.values.tolist() == [[1.5, 1], [2.5, 2], [3.5, 3]]
    assert table.time is not None
    assert table.time.tolist() == SECONDS
    assert table.time_column == "time"
    with pytest.raises(DataError, match="expected a column 'c'; the columns are"):
        read_table(make(columns()), ReadOptions(columns=("c",)))


@pytest.mark.parametrize("name", ["flow", None])
def test_a_series_is_one_column(name: str | None) -> None:
    table = read_table(pd.Series([1.5, 2.5, 3.5], TIMES, name=name))
    assert table.names == (name or "value",)
    assert table.time is not None
    assert table.time.tolist() == SECONDS
    assert read_table(pl.Series("flow", [1, 2])).names == ("flow",)


def test_local_times_with_a_zone_are_known() -> None:
    berlin = pd.Series([1.5, 2.5, 3.5], TIMES.tz_localize("Europe/Berlin"))
    assert (read_table(berlin).time == np.array(SECONDS) - 3600).all()
    naive = pd.Series([1.5, 2.5, 3.5], TIMES)
    table = read_table(naive, ReadOptions(timezone="Europe/Berlin"))
    assert (table.time == np.array(SECONDS) - 3600).all()


def test_text_in_a_frame_is_understood_as_in_a_file() -> None:
    frame = pd.DataFrame({"when": ["31.10.2025 00:00", "31.10.2025 01:00"], "v": ["1,5", "2,5"]})
    table = read_table(frame)
    assert table.values.tolist() == [[1.5], [2.5]]
    assert table.time is not None
    assert table.time.tolist() == [1761868800, 1761872400]


def test_types_that_hold_numbers() -> None:
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None, 3], "Int64"),
            "c": pd.Categorical(["1.5", "2.5", "1.5"]),
            "f": np.array([1, 2, 3], np.float16),
            "t": [True, False, True],
            "o": [1, "x", 2.5],
            "d": pd.to_timedelta([1, 2, 3], unit="s"),
        }
    )
    table = read_table(frame, ReadOptions(missing=True, columns=("i", "c", "f", "t")))
    assert np.array_equal(
        table.values, [[1, 1.5, 1, 1], [np.nan, 2.5, 2, 0], [3, 1.5, 3, 1]], equal_nan=True
    )
    with pytest.raises(DataError, match=r"the DataFrame:1: column 'i': .*an empty cell"):
        read_table(frame, ReadOptions(columns=("i",)))
    with pytest.raises(DataError, match=r"the DataFrame:1: column 'o': expected a number, got 'x'"):
        read_table(frame, ReadOptions(columns=("o",)))


def test_an_array_has_the_names_that_are_asked_for() -> None:
    array = np.arange(6.0).reshape(3, 2)
    assert read_table(array).names == ("x0", "x1")
    assert read_table(array[:, 0]).names == ("value",)
    assert read_table(array, ReadOptions(columns=("a", "b"))).names == ("a", "b")
    with pytest.raises(DataError, match="expected 1 columns"):
        read_table(array, ReadOptions(columns=("a",)))
    with pytest.raises(DataError, match=r"got \[2, 2, 2\]"):
        read_table(np.zeros((2, 2, 2)))


def test_tables_that_are_none() -> None:
    with pytest.raises(DataError, match="at least one row"):
        read_table(pd.DataFrame({"v": []}))
    with pytest.raises(DataError, match="got none"):
        read_table({})
    with pytest.raises(DataError, match="one length"):
        read_table({"a": [1, 2], "b": [1]})
    with pytest.raises(DataError, match="different names, got 'a' twice"):
        read_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_values_are_not_rounded_to_float32() -> None:
    values = 1_700_000_000 + 10 * np.sin(np.arange(5) / 9)
    assert (read_table({"v": values}).values[:, 0] == values).all()


@pytest.mark.parametrize(
    ("array", "shown"),
    [
        (pa.array([[1], None, [3]]), "[1]"),
        (pa.array([{"a": 1}] * 3), "{'a': 1}"),
        (pa.array([1, 2, 3], pa.time32("s")), "00:00:01"),
        (pa.array([b"\xff", b"2", b"3"]), "xff"),
        (pa.array([(1, 2, 3)] * 3, pa.month_day_nano_interval()), "MonthDayNano"),
    ],
)
def test_columns_of_other_types_count_as_text(array: Any, shown: str) -> None:
    table = read_table(pa.table({"v": [1.0, 2.0, 3.0], "c": array}))
    assert table.names == ("v",)
    assert [(note.column, note.text) for note in table.notes] == [
        ("c", "holds text and is left out")
    ]
    with pytest.raises(DataError, match="expected a number, got") as refused:
        read_table(pa.table({"c": array}), ReadOptions(columns=("c",), missing=True))
    assert shown in str(refused.value)


def test_a_second_column_of_times_is_left_out_and_never_missing() -> None:
    frame = pd.DataFrame({"time": TIMES, "v": [1, 2, 3], "installed": TIMES})
    table = read_table(frame)
    assert table.names == ("v",)
    assert [note.text for note in table.notes] == ["holds times and is left out"]
    with pytest.raises(DataError, match="'installed': expected a number, got '2025-01-01 00"):
        read_table(frame, ReadOptions(columns=("installed",), missing=True))


def test_a_column_without_any_value_is_left_out_as_in_a_file() -> None:
    for empty in ([None] * 3, np.full(3, np.nan), pd.array([None] * 3, "Int64")):
        table = read_table(pd.DataFrame({"v": [1, 2, 3], "spare": empty}))
        assert table.names == ("v",)
        assert [note.text for note in table.notes] == ["is empty and is left out"]
        with pytest.raises(DataError, match="'spare': expected a number, got an empty cell"):
            read_table(
                pd.DataFrame({"v": [1, 2, 3], "spare": empty}), ReadOptions(columns=("spare",))
            )


def test_spans_of_time_are_seconds_and_an_index_of_them_is_the_time() -> None:
    spans = pd.to_timedelta([0, 1, 2], unit="min")
    table = read_table(pd.DataFrame({"v": [1, 2, 3], "age": spans}, index=spans))
    assert table.names == ("v", "age")
    assert table.values[:, 1].tolist() == [0, 60, 120]
    assert table.time is not None
    assert table.time.tolist() == [0, 60, 120]
