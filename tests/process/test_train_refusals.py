"""What `streamlstm train` and `streamlstm predict` refuse, in real processes with real files."""

import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamlstm import LSTM, Dense, Model
from streamlstm.cli import app

from ..contract.models import random_model
from .training_commands import QUICK, refused, run, write_wave


@pytest.fixture
def wave(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    return write_wave(folder / "wave.csv")


@pytest.fixture
def model(wave: Path) -> Path:
    network = random_model([LSTM(1, 4), Dense(4, 1)])
    path = wave.with_name("model.safetensors")
    Model(network.layers, network.weights, inputs=["value"], outputs=["value"]).save(path)
    return path


LONG = "".join(f"{60 * t},{t % 5}\n" for t in range(200))
BAD_FILES = {
    "empty": ("", "bad.csv: the file is empty"),
    "gap in a cell": ("time,value\n" + LONG + "12000,\n", "bad.csv:202: column 'value': .*a gap"),
    "gap in time": (
        "time,value\n" + LONG.replace("\n600,0\n", "\n"),
        "bad.csv:12: column 'time': expected a row every 1 min, got none for 2 min",
    ),
    "text": ("time,value\n" + LONG + "12000,high\n", "bad.csv:202: column 'value': .*'high'"),
    "missing column": ("time,level\n" + LONG, "bad.csv: expected a column 'value'; .* 'level'"),
    "equal times": ("time,value\n" + LONG + "11940,1\n", "bad.csv:202: .*the same time"),
    "too short": ("time,value\n0,1\n60,2\n", "bad.csv: expected at least 32 values"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_train_refuses_bad_files(case: str, tmp_path: Path) -> None:
    text, message = BAD_FILES[case]
    data, out = tmp_path / "bad.csv", tmp_path / "model.safetensors"
    data.write_text(text)
    said = refused("train", data, "--target", "value", "--out", out, *QUICK)
    assert re.search(message, said)
    assert not out.exists()


@pytest.mark.parametrize("case", ["empty", "gap in a cell", "missing column"])
def test_predict_refuses_bad_files(case: str, tmp_path: Path, model: Path) -> None:
    text, message = BAD_FILES[case]
    data, out = tmp_path / "bad.csv", tmp_path / "out.csv"
    data.write_text(text)
    assert re.search(message, refused("predict", model, data, "--out", out))
    assert not out.exists()


def test_other_errors_are_reported_before_training(tmp_path: Path, wave: Path) -> None:
    train = ("train", wave, "--target", "value", *QUICK, "--out")
    assert "cannot be read" in refused(
        "train", tmp_path / "no.csv", "--target", "v", "--out", tmp_path / "m"
    )
    assert "there is no directory" in refused(*train, tmp_path / "nowhere" / "m")
    assert "this is a directory" in refused(*train, tmp_path)
    assert "the file with the data" in refused(*train, wave)
    assert "given twice" in refused(*train, tmp_path / "m", "--target", "value")
    assert "fractions" in refused(*train, tmp_path / "m", "--train-fraction", "0.95")
    assert "season 999" in refused(*train, tmp_path / "m", "--season", "999")


def test_predict_does_not_overwrite_its_inputs(tmp_path: Path, model: Path) -> None:
    data = write_wave(tmp_path / "wave.csv", 50)
    before = data.read_bytes(), model.read_bytes()
    assert "the file with the data" in refused("predict", model, data, "--out", data)
    assert "the file with the model" in refused("predict", model, data, "--out", model)
    assert (data.read_bytes(), model.read_bytes()) == before


def test_only_regular_files_are_replaced(tmp_path: Path, wave: Path, model: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "not a regular file" in refused("train", wave, "--target", "value", "--out", pipe)
    assert "not a regular file" in refused("predict", model, wave, "--out", pipe)
    assert "cannot be written" in refused("train", wave, "--target", "value", "--out", "/proc/x")
    assert pipe.is_fifo()


def test_predict_refuses_what_is_not_a_model(wave: Path) -> None:
    assert str(wave) in refused("predict", wave, wave)


def test_missing_options_are_usage_errors(wave: Path) -> None:
    done = run("train", wave)
    assert done.returncode == 2
    assert "--target" in done.stderr


def test_options_have_bounds(wave: Path, tmp_path: Path) -> None:
    for option, value in (
        ("--shift", "inf"), ("--shift", "nan"), ("--rate", "1e9"), ("--rate", "nan"),
        ("--delta", "inf"), ("--hidden", "1000000000"), ("--layers", "1000"),
    ):  # fmt: skip
        done = CliRunner().invoke(
            app,
            ["train", str(wave), "--target", "value", "--out", str(tmp_path / "m"), option, value],
        )
        assert done.exit_code == 2, option
        assert option in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["given"]
