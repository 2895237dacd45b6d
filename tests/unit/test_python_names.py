"""In Python errors name parameters where those of a command name options."""

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import DataError
from streamlstm.learn.python_names import with_parameters


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("say which (--decimal ,)", "say which (decimal=',')"),
        ("a point (--decimal .) or", "a point (decimal='.') or"),
        ("--sort puts the rows", "sort=True puts the rows"),
        ("--allow-gaps continues", "allow_gaps=True continues"),
        ("with --resample '1min mean'; or", "with resample='1min mean'; or"),
        ("(--time-format '%d.%m.%Y %H:%M') or", "(time_format='%d.%m.%Y %H:%M') or"),
        ("--timezone Europe/Berlin, and", "timezone='Europe/Berlin', and"),
        ("--timezone names the zone", "timezone names the zone"),
        ("values with --fill", "values with fill"),
        ("--missing-value -999 makes", "missing_values=('-999',) makes"),
        ("--difference total takes", "difference='total' takes"),
        ("column with --time-column", "column with time_column"),
        ("`streamlstm online --fill last` adds", "`streamlstm online --fill last` adds"),
        ("a -- b", "a -- b"),
    ],
)
def test_options_become_parameters(message: str, expected: str) -> None:
    assert with_parameters(message) == expected


def test_what_reads_a_table_names_parameters() -> None:
    n = np.arange(200)
    data = {"time": np.where(n % 7 == 3, n - 5.0, n), "value": np.sin(n)}
    model = sl.detector(["value"])
    for read in (
        lambda: sl.train(data, target="value"),
        lambda: sl.predict(model, data),
        lambda: sl.evaluate(model, data),
    ):
        with pytest.raises(DataError) as caught:
            read()
        assert "--" not in str(caught.value)
        assert "sort=True" in str(caught.value) or "resample=" in str(caught.value)
    data = {"time": 60.0 * n, "value": np.where(n == 9, np.nan, 0.1 * n)}
    with pytest.raises(DataError, match=r"\bfill\b") as caught:
        sl.train(data, target="value")
    assert "--fill" not in str(caught.value)


def test_tables_are_read_by_the_names_that_train_takes() -> None:
    n = np.arange(200.0)
    data = {"when": 60 * n, "again": 60 * n, "value": np.sin(n)}
    model = sl.detector(["value"])
    kept = [sl.predict(model, data, time_column="when", missing_values="-999")["score"]]
    kept += [sl.predict(model, data, time_columns=("when",))["score"]]
    np.testing.assert_array_equal(*kept)
    assert sl.evaluate(model, data, time_column="when").table.time_column == "when"
    for read in (sl.predict, sl.evaluate):
        with pytest.raises(DataError, match="no option 'time_colum'; the options are"):
            read(model, data, time_colum="when")
