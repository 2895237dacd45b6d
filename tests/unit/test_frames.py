"""Frames, arrays and dicts: read by name as files are, and answered in kind."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import streamlstm as sl
from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table
from streamlstm.errors import DataError
from streamlstm.learn.trained import Trained

N = 240
TIMES = pd.date_range("2024-05-01", periods=N, freq="h")
LEVEL = 10 + np.sin(np.arange(N) / 3)
FLOW = np.arange(N) % 7 + 0.5
FRAME = pd.DataFrame({"flow": FLOW, "level": LEVEL}, index=TIMES)


def kinds(path: Path) -> dict[str, Any]:
    """Return the same table in every kind."""
    FRAME.to_csv(path / "frame.csv", index_label="time")
    long = FRAME.reset_index(names="time")
    return {
        "path": path / "frame.csv",
        "pandas": FRAME,
        "pandas, times in a column": long,
        "polars": pl.from_pandas(long),
        "lazy polars": pl.from_pandas(long).lazy(),
        "arrow": pa.Table.from_pandas(long, preserve_index=False),
        "dict": {"time": TIMES.to_numpy(), "flow": FLOW, "level": list(LEVEL)},
        "records": long.to_records(index=False),
    }


@pytest.fixture(scope="module")
def trained() -> Trained:
    return sl.train(FRAME, target="level", hidden=6, epochs=2, window=16)


def test_every_kind_is_read_alike(tmp_path: Path) -> None:
    for kind, source in kinds(tmp_path).items():
        table = read_table(source, ReadOptions())
        assert table.names == ("flow", "level"), kind
        assert np.allclose(table.select(["level"])[:, 0], LEVEL, atol=1e-12), kind
        assert table.time is not None, kind
        assert (table.time == TIMES.to_numpy().astype("datetime64[s]").astype(float)).all(), kind


def test_every_kind_trains_the_same_model(tmp_path: Path, trained: Trained) -> None:
    for kind, source in kinds(tmp_path).items():
        if kind != "path":  # a file has fewer digits
            made = sl.train(source, target="level", hidden=6, epochs=2, window=16)
            assert made.model.fingerprint == trained.model.fingerprint, kind


def test_pandas_is_answered_with_its_index(trained: Trained) -> None:
    made = trained.predict(FRAME)
    assert isinstance(made, pd.DataFrame)
    assert made.index.equals(FRAME.index)
    assert made.columns[0] == "level"
    assert len(FRAME.join(made.add_suffix(" forecast"))) == N
    odd = FRAME.set_axis([f"row {n}" for n in range(N)])
    assert list(trained.predict(odd).index) == list(odd.index)


def test_every_kind_is_answered_in_kind(tmp_path: Path, trained: Trained) -> None:
    expected = trained.predict(FRAME)["level"].to_numpy()
    made = {kind: trained.predict(source) for kind, source in kinds(tmp_path).items()}
    assert isinstance(made["polars"], pl.DataFrame)
    assert isinstance(made["arrow"], pa.Table)
    assert list(made["dict"])[:2] == ["time", "level"]
    for kind, table in made.items():
        column = table[:, 0] if kind == "records" else np.asarray(table["level"])
        assert np.allclose(column, expected, atol=1e-4), kind
    array = trained.predict(FRAME.to_numpy())
    assert array.shape == (N, 1)
    assert np.allclose(array[:, 0], expected, atol=1e-4)


def test_columns_are_matched_by_name(trained: Trained) -> None:
    swapped = FRAME[["level", "flow"]].assign(other=1.0)
    assert np.array_equal(trained.predict(swapped), trained.predict(FRAME), equal_nan=True)
    with pytest.raises(DataError, match="expected a column 'flow'"):
        trained.predict(FRAME[["level"]])
    with pytest.raises(DataError, match=r"expected \[rows, 2\] with the inputs flow, level"):
        trained.predict(FRAME.to_numpy()[:, :1])


def test_streams_of_a_frame_are_kept_apart(trained: Trained) -> None:
    both = pd.concat([FRAME.assign(pump="b"), FRAME.assign(pump="a")]).sort_index(kind="stable")
    made = trained.predict(both, stream_column="pump")
    alone = trained.predict(FRAME)["level"].to_numpy()
    for pump in ("a", "b"):
        assert np.allclose(made["level"][both["pump"] == pump], alone, atol=1e-5)


def test_categories_periods_and_series_are_understood() -> None:
    series = pd.Series(LEVEL, index=TIMES.to_period("h"))
    table = read_table(series, ReadOptions())
    assert (table.names, table.time_column) == (("value",), "time")
    frame = FRAME.assign(pump=pd.Categorical(["a", "b"] * (N // 2)))
    streams = read_table(frame, ReadOptions(stream_column="pump")).streams
    assert streams is not None
    assert list(streams)[:3] == ["a", "b", "a"]
    assert read_table(pl.Series([1.0, 2.0]), ReadOptions()).names == ("value",)
    assert read_table(np.ones((3, 2)), ReadOptions()).names == ("x0", "x1")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"a": [1.0, 2.0], "b": [1.0]}, "columns of one length"),
        (np.ones((2, 2, 2)), r"expected \[rows\] or \[rows, columns\]"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "different names, got 'a' twice"),
        (pd.DataFrame({"a": [1.0, "x", object()]}), "at least one numeric column"),
    ],
)
def test_what_is_no_table_is_refused(source: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(source, ReadOptions())
