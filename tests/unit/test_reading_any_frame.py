"""Any frame of pandas, written by ``to_csv`` in any locale's settings, is read back or refused."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table
from streamlstm.errors import DataError

DATES = (
    *("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M", "%Y%m%d %H:%M"),
    *("%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%d-%b-%Y %H:%M"),
    *("%b %d %Y %H:%M", "%d. %B %Y %H:%M", "%d.%m.%y %H:%M", "%a %d %b %Y %H:%M"),
)
MARKS = ((".", ""), (".", ","), (".", " "), (".", "'"), (",", ""), (",", "."), (",", "\u202f"))
NAMES = ("größe", "flow", "temperature, °C", "Druck (bar)")


@dataclass
class Written:
    """A frame, and how it was written."""

    frame: pd.DataFrame
    data: bytes
    options: dict[str, Any]


@st.composite
def written(draw: st.DrawFn) -> Written:
    rows = draw(st.integers(2, 30))
    step = draw(st.sampled_from(["15min", "1h", "1D"]))
    year, day = draw(st.integers(1995, 2035)), draw(st.integers(0, 360))
    start = pd.Timestamp(f"{year}-01-01") + pd.Timedelta(days=day)
    frame = pd.DataFrame({"time": pd.date_range(start, periods=rows, freq=step)})
    decimal, thousands = draw(st.sampled_from(MARKS))
    digits = draw(st.integers(0, 5))
    size = draw(st.sampled_from([1.0, 50.0, 20_000.0, 3e6]))
    shown = frame.copy()
    missing = draw(st.sampled_from(["", "NA", "null", "-", "?", "-999", "nan"]))
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)):
        number = st.one_of(st.floats(-size, size), st.just(np.nan))
        values = np.array(draw(st.lists(number, min_size=rows, max_size=rows)))
        text = [f"{v:_.{digits}f}" for v in values]
        frame[name] = [float(cell.replace("_", "")) for cell in text]
        text = [
            cell.replace(".", "D").replace("_", thousands).replace("D", decimal) for cell in text
        ]
        shown[name] = [None if np.isnan(v) else cell for v, cell in zip(values, text, strict=True)]
    if draw(st.booleans()):
        shown["place"] = "süd"
    shown = shown[draw(st.permutations(list(shown.columns)))]
    file = io.StringIO()
    shown.to_csv(
        file,
        sep=draw(st.sampled_from(",;\t|")),
        date_format=draw(st.sampled_from(DATES)),
        na_rep=missing,
        index=draw(st.booleans()),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
    )
    encodings = ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"]
    if thousands != "\u202f":
        encodings.append("cp1252")
    data = file.getvalue().encode(draw(st.sampled_from(encodings)))
    return Written(frame, data, {"missing_values": (missing,) if missing == "-999" else ()})


def check(case: Written) -> None:
    columns = [name for name in case.frame if name != "time"]
    try:
        table = read_table(io.BytesIO(case.data), ReadOptions(missing=True, **case.options))
    except DataError as error:
        said = str(error)
        if "numeric column" in said:
            assert case.frame[columns].isna().all(axis=None)
        else:
            assert "--decimal" in said or "--time-format" in said, said
        return
    assert table.time_column == "time"
    assert table.time is not None
    expected = (case.frame["time"] - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    assert table.time.tolist() == expected.tolist()
    for name in columns:
        if name in table.names:
            values = table.select([name])[:, 0]
            assert np.array_equal(values, case.frame[name].to_numpy(), equal_nan=True), name
        else:
            assert case.frame[name].isna().all(), name
    assert set(table.names) <= set(columns)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(written())
def test_a_written_frame_is_read_back_or_refused_by_the_name_of_an_option(case: Written) -> None:
    check(case)


@pytest.mark.exhaustive
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(written())
def test_hundreds_of_written_frames(case: Written) -> None:
    check(case)
