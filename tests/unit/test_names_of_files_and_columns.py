"""Names that cannot be meant are refused with those that can; sequences are told apart."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import streamlstm as sl
from streamlstm.cli import app
from streamlstm.errors import DataError
from streamlstm.learn.report.page import check_report

QUICK = {"epochs": 1, "hidden": 4, "window": 8}


def frame(sequences: int = 0) -> dict[str, np.ndarray]:
    n = np.arange(300)
    columns = {"time": 1.7e9 + 60.0 * n, "value": np.sin(n / 5)}
    if sequences:
        columns["run"] = n // (300 // sequences)
    return columns


@pytest.mark.parametrize("name", ["report.pdf", "report", "report.html.gz"])
def test_a_report_is_html_and_its_name_says_so(name: str, tmp_path: Path) -> None:
    check_report("report.HTML")
    path = tmp_path / name
    with pytest.raises(DataError, match=r"ends in \.html or \.htm"):
        check_report(path)
    trained = sl.train(frame(), target="value", **QUICK)
    with pytest.raises(DataError, match=r"ends in \.html or \.htm"):
        trained.evaluation.report(path)
    data, out = tmp_path / "data.csv", tmp_path / "model.safetensors"
    data.write_text("value\n" + "1\n2\n" * 50)
    done = CliRunner().invoke(
        app, ["train", str(data), "--target", "value", "--out", str(out), "--report", str(path)]
    )
    assert isinstance(done.exception, DataError) or "ends in .html" in done.stderr
    assert not path.exists()
    assert not out.exists()


def test_a_target_that_is_the_time_is_told_so() -> None:
    with pytest.raises(DataError, match=r"'time' is the time of each row.*columns are 'value'"):
        sl.train(frame(), target="time", **QUICK)
    with pytest.raises(DataError, match="'run' is the name of the series of each row"):
        sl.train(frame(3), target="run", stream_column="run", **QUICK)


def test_sequences_are_told_apart_in_prediction_as_in_training() -> None:
    model = sl.train(frame(30), target="value", sequence_column="run", **QUICK).model
    data = frame(30)
    named = model.predict(data, stream_column="run")
    assert np.array_equal(model.predict(data)["value"], named["value"])
    first = {name: cells[10:20] for name, cells in data.items() if name != "run"}
    assert np.array_equal(model.predict(first)["value"], named["value"][10:20])
    assert len(sl.evaluate(model, data).groups) == 30
