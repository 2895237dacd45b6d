"""`streamlstm train` that is killed and continues, and that trains on from a model."""

import csv
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.engine.engine import Engine
from streamlstm.network.compatibility import compatibility_key

from .training_commands import refused, run

OPTIONS = ["--hidden", "8", "--layers", "2", "--dropout", "0.2", "--window", "16", "--seed", "3"]


def write_series(path: Path, n: int = 600, phase: float = 0.0) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "value"])
        writer.writerows((60 * t, 10 + 3 * math.sin(t / 3 + phase)) for t in range(n))
    return path


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_series(tmp_path_factory.mktemp("data") / "wave.csv")


@pytest.fixture(scope="module")
def first(series: Path) -> Path:
    model = series.with_name("first.safetensors")
    done = run("train", series, "--target", "value", "--out", model, *OPTIONS, "--epochs", "3")
    assert done.returncode == 0, done.stderr
    return model


def kill_at_a_checkpoint(command: list[str], checkpoint: Path) -> None:
    """Run a training and kill it as soon as its checkpoint is there and an epoch has followed."""
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch") and checkpoint.exists():
            break
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -9


def test_a_killed_training_continues_bit_for_bit(series: Path, tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    checkpoint = tmp_path / "training.checkpoint"
    train = ["train", str(series), "--target", "value", *OPTIONS, "--epochs", "60"]
    assert run(*train, "--out", whole).returncode == 0
    again = [*train, "--out", str(resumed), "--checkpoint", str(checkpoint)]
    kill_at_a_checkpoint([sys.executable, "-m", "streamlstm", *again], checkpoint)
    assert not resumed.exists()
    finished = json.loads(sl.Model.load(whole).metadata["training"])["epochs"]
    assert sweeps_in(checkpoint) < finished
    done = run(*again)
    assert done.returncode == 0, done.stderr
    assert f"continuing from {checkpoint}" in done.stderr
    ours, theirs = sl.Model.load(resumed), sl.Model.load(whole)
    assert (ours.fingerprint, ours.metadata) == (theirs.fingerprint, theirs.metadata)
    assert not checkpoint.exists()


def test_a_killed_sweep_continues_bit_for_bit(series: Path, tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    checkpoint = tmp_path / "training.checkpoint"
    train = ["train", str(series), "--target", "value", "--hidden", "8", "--seed", "3"]
    train += ["--epochs", "12", "--sweep", "5", "--processes", "1"]
    assert run(*train, "--out", whole).returncode == 0
    again = [*train, "--out", str(resumed), "--checkpoint", str(checkpoint)]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlstm", *again],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("sweep") and "best" in line:  # a trial has ended
            break
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -9
    done = run(*again)
    assert done.returncode == 0, done.stderr
    assert f"continuing from {checkpoint}" in done.stderr
    ours, theirs = sl.Model.load(resumed), sl.Model.load(whole)
    assert (ours.fingerprint, ours.metadata) == (theirs.fingerprint, theirs.metadata)
    assert [path.name for path in tmp_path.iterdir() if "checkpoint" in path.name] == []


def sweeps_in(checkpoint: Path) -> int:
    content = checkpoint.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    epochs: int = json.loads(header["__metadata__"]["numbers"])["history"][-1]["number"]
    return epochs


def test_a_checkpoint_of_another_training_is_refused(series: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "training.checkpoint"
    train = ["train", str(series), "--target", "value", *OPTIONS, "--epochs", "100000"]
    train += ["--out", str(tmp_path / "m"), "--checkpoint", str(checkpoint)]
    kill_at_a_checkpoint([sys.executable, "-m", "streamlstm", *train], checkpoint)
    other = write_series(tmp_path / "other.csv", phase=1)
    for data, options, reason in (
        (series, ["--rate", "0.01"], "rate was 0.006, now 0.01"),
        (other, [], "the data have changed"),
    ):
        done = run("train", data, *train[2:], *options)
        assert done.returncode == 1
        assert reason in done.stderr
    damaged = tmp_path / "damaged"
    damaged.write_bytes(checkpoint.read_bytes()[:-100])
    done = run(*train[:-1], damaged)
    assert done.returncode == 1
    assert "damaged or of another kind" in done.stderr
    assert "the file with the data" in refused(*train[:-1], series)


def test_a_model_is_trained_on_and_its_streams_continue(
    series: Path, first: Path, tmp_path: Path
) -> None:
    start, out = sl.Model.load(first), tmp_path / "second.safetensors"
    newer = write_series(tmp_path / "newer.csv", phase=0.5)
    done = run("train", newer, "--target", "value", "--from", first, "--out", out, "--epochs", "4")
    assert done.returncode == 0, done.stderr
    model = sl.Model.load(out)
    assert model.layers == start.layers
    assert model.input_scaling.mean == start.input_scaling.mean
    assert model.online == start.online
    assert compatibility_key(model) == compatibility_key(start)
    assert json.loads(model.metadata["settings"])["dropout"] == 0.2
    engine = Engine(start)
    engine.step("pump", [10.0])
    assert not engine.reload(model).anew


def test_what_does_not_fit_the_model_is_refused_by_name(series: Path, first: Path) -> None:
    train = ("train", series, "--target", "value", "--from", first, "--out", first)
    for options, reason in (
        (["--hidden", "16", "--layers", "2"], r"hidden size of layer 0 \(lstm\) is 8, .* 16;"),
        (["--layers", "1", "--hidden", "8"], "2 recurrent layers, the settings ask for 1;"),
        (["--horizon", "3"], "horizon.*1.*3"),
    ):
        done = run(*train, *options)
        assert done.returncode == 1
        assert str(first) in done.stderr
        assert re.search(reason, done.stderr), done.stderr


def test_where_nothing_gets_better_the_model_stays(series: Path, first: Path) -> None:
    out = first.with_name("kept.safetensors")
    options = ["--epochs", "2", "--rate", "0.9", "--from", str(first)]
    done = run("train", series, "--target", "value", "--out", out, *options)
    assert done.returncode == 0, done.stderr
    assert "kept the model that it began with" in done.stderr
    start, model = sl.Model.load(first), sl.Model.load(out)
    for mine, theirs in zip(model.weights, start.weights, strict=True):
        for name in mine:
            assert np.array_equal(mine[name], theirs[name])
