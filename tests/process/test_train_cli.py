"""`streamlstm train` and `streamlstm predict` in real processes, with real files."""

import csv
import gzip
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamlstm import Engine, Model

from ..conftest import SHARED_DATA
from .terminal import shown_in_terminal
from .training_commands import QUICK, refused, run, write_wave


@pytest.fixture(scope="module")
def wave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wave(tmp_path_factory.mktemp("data") / "wave.csv")


@pytest.fixture(scope="module")
def trained(wave: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    model = wave.with_name("model.safetensors")
    done = run("train", wave, "--target", "value", "--input", "value", "--out", model, *QUICK)
    assert done.returncode == 0, done.stderr
    return model, done


def test_train_writes_a_model_and_reports(
    trained: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    path, done = trained
    assert "loss" in done.stderr
    assert "validation" in done.stderr
    assert "left at most" in done.stderr
    assert re.search("^validation [▁▂▃▄▅▆▇█]{4} ", done.stderr, re.MULTILINE)  # learning curve
    assert "\x1b" not in done.stdout + done.stderr  # a pipe gets no colours
    for baseline in ("persistence", "season of 20"):
        assert baseline in done.stdout
    model = Model.load(path)
    assert (model.inputs, model.outputs, model.horizon) == (("value",), ("value",), 1)
    (score,) = json.loads(model.metadata["scores"])
    assert score["values"] == 80
    assert f"{score['model']:.5g}" in done.stdout
    assert json.loads(model.metadata["settings"])["hidden_sizes"] == [8]


def test_the_same_command_gives_the_same_model(
    wave: Path, trained: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    again = wave.with_name("again.safetensors")
    options = ["--target", "value", "--input", "value", "--out", again, *QUICK]
    assert run("train", wave, *options).returncode == 0
    assert Model.load(again).fingerprint == Model.load(trained[0]).fingerprint


SCORES = ["score", "p_value", "alarm"]
BOUNDS = [f"value_{side}_{level}" for level in (50, 90) for side in ("low", "high")]
COLUMNS = ["value", *BOUNDS, *SCORES]


def test_predict_gives_a_row_for_each_row(
    wave: Path, trained: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    done = run("predict", trained[0], wave)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert list(rows[0]) == ["time", "time@+1", *COLUMNS]
    assert [row["time@+1"] for row in rows[:-1]] == [row["time"] for row in rows[1:]]
    with wave.open() as file:
        observed = list(csv.DictReader(file))
    assert [row["time"] for row in rows] == [row["time"] for row in observed]
    engine = Engine(Model.load(trained[0]))
    for row, seen in zip(rows, observed, strict=True):
        assert np.float32(row["value"]) == engine.step("s", [float(seen["value"])])[0]


def test_many_series_horizons_and_targets(tmp_path: Path) -> None:
    data = write_wave(tmp_path / "pumps.csv", 200, ("north", "south"))
    model, out = tmp_path / "pumps.safetensors", tmp_path / "out.csv"
    options = ["--target", "value", "--target", "other", "--stream-column", "pump"]
    more = ["--horizon", "3", "--layers", "2", "--dropout", "0.1", "--season", "40"]
    done = run("train", data, *options, *more, "--out", model, *QUICK)
    assert done.returncode == 0, done.stderr
    assert "season of 40" in done.stdout
    loaded = Model.load(model)
    assert (loaded.outputs, loaded.horizon, len(loaded.layers)) == (("value", "other"), 3, 3)
    done = run("predict", model, data, "--stream-column", "pump", "--out", out)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"wrote {out} (400 predictions)" in done.stderr
    with out.open() as file:
        rows = list(csv.DictReader(file))
    sides = [f"{side}_{level}" for level in (50, 90) for side in ("low", "high")]
    bounds = [f"{name}_{side}" for side in sides for name in ("value", "other")]
    assert list(rows[0]) == ["time", "pump", "time@+3", "value", "other", *bounds, *SCORES]
    assert [row["pump"] for row in rows[:3]] == ["north", "south", "north"]
    engine = Engine(loaded)
    with data.open() as file:
        for row, seen in zip(rows, csv.DictReader(file), strict=True):
            y = engine.step(seen["pump"], [float(seen["value"]), float(seen["other"])])
            np.testing.assert_allclose(
                [float(row["value"]), float(row["other"])], y, rtol=1e-5, atol=1e-5
            )


def test_predict_compresses_what_is_named_gz(
    wave: Path, trained: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    plain, packed = tmp_path / "p.csv", tmp_path / "p.csv.gz"
    for out in (plain, packed):
        done = run("predict", trained[0], wave, "--out", out)
        assert done.returncode == 0, done.stderr
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()


def test_predict_reads_from_a_pipe(
    wave: Path, trained: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    done = run("predict", trained[0], "-", stdin="value\n10\n11\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == ",".join(COLUMNS)
    assert len(done.stdout.splitlines()) == 3


def test_a_window_longer_than_the_series_is_shortened(tmp_path: Path, wave: Path) -> None:
    out = tmp_path / "model.safetensors"
    few = ["--hidden", "4", "--epochs", "1", "--window", "100000"]
    done = run("train", wave, "--target", "value", "--out", out, *few)
    assert done.returncode == 0, done.stderr
    assert "window 100000: shortened to 279, the longest stretch to train on" in done.stderr
    assert "all epochs done after 1 epoch, " in done.stderr
    assert json.loads(Model.load(out).metadata["settings"])["window"] == 279


def test_a_sweep_says_what_was_tried_and_what_a_guess_would_have_cost(
    tmp_path: Path, wave: Path
) -> None:
    out = tmp_path / "model.safetensors"
    options = ["--hidden", "8", "--epochs", "6", "--sweep", "3", "--processes", "2"]
    done = run("train", wave, "--target", "value", "--out", out, *options)
    assert done.returncode == 0, done.stderr
    assert "sweep, round 1/1" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    header, *tried = done.stdout.splitlines()[:4]
    assert header.split()[0] == "#"
    assert header.split()[-3:] == ["epochs", "seconds", "validation"]
    assert "hidden" not in header  # it was given
    assert sorted(line.split()[0] for line in tried) == ["1", "2", "3"]
    errors = [float(line.split()[-1]) for line in tried]
    assert errors == sorted(errors)
    assert "a guess would have cost" in done.stdout
    kept = json.loads(Model.load(out).metadata["sweep"])
    assert [round(trial["validation"], 4) for trial in kept["tried"]] == errors
    assert json.loads(Model.load(out).metadata["training"])["epochs"] == 6


@pytest.mark.parametrize(
    "signals", [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143)]
)
def test_a_signal_keeps_the_best_model(tmp_path: Path, signals: tuple[int, str, int]) -> None:
    number, name, status = signals
    data, out = write_wave(tmp_path / "wave.csv", 4000), tmp_path / "model.safetensors"
    command = [sys.executable, "-m", "streamlstm", "train", str(data), "--target", "value"]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--epochs", "100000", "--hidden", "32"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith("epoch 1/"):
            break
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    said += stderr
    assert process.returncode == status, said
    assert "Traceback" not in said
    assert f"stopped by {name}" in said
    assert f"wrote {out}" in stdout
    assert json.loads(Model.load(out).metadata["training"])["ended"] == "interrupted"


def test_a_terminal_gets_a_bar(wave: Path) -> None:
    command = [sys.executable, "-m", "streamlstm", "train", str(wave), "--target", "value"]
    out = str(wave.with_name("bar.safetensors"))
    shown = shown_in_terminal([*command, *QUICK, "--out", out], "stderr")
    assert "━" in shown.decode()
    assert b"validation" in shown
    assert b"left at most" in shown


if SHARED_DATA.is_dir():  # left out elsewhere, as the head of the run says

    @pytest.mark.parametrize(
        ("file", "target", "below"),
        [
            ("nab/data/realKnownCause/nyc_taxi.csv", "value", {"persistence": 0.8}),
            ("ett/ETTh1.csv", "OT", {"persistence": 1.05, "seasonal": 1.0}),
        ],
    )
    def test_public_series_in_a_few_epochs(
        tmp_path: Path, file: str, target: str, below: dict[str, float]
    ) -> None:
        """A short training; docs/training.md has the figures of the whole one."""
        out = tmp_path / "model.safetensors"
        done = run("train", SHARED_DATA / file, "--target", target, "--out", out, "--epochs", "8")
        assert done.returncode == 0, done.stderr
        (score,) = json.loads(Model.load(out).metadata["scores"])
        for baseline, share in below.items():
            assert score["model"] < share * score[baseline]


def test_train_has_other_cells(wave: Path, tmp_path: Path) -> None:
    model = tmp_path / "gru.safetensors"
    options = ["--cell", "gru", "--layers", "2", "--layer-norm", "--residual", *QUICK]
    done = run("train", wave, "--target", "value", "--input", "value", "--out", model, *options)
    assert done.returncode == 0, done.stderr
    assert "training GRU(8) x GRU(8)" in done.stderr
    kinds = [layer.kind for layer in Model.load(model).layers]
    assert kinds == ["gru", "layer_norm", "gru", "dense", "layer_norm", "dense"]


def test_train_predicts_quantiles(wave: Path, tmp_path: Path) -> None:
    model = tmp_path / "quantiles.safetensors"
    asked = ("train", wave, "--target", "value", "--input", "value", "--out", model)
    done = run(*asked, "--quantiles", "0.05,0.5,0.975", *QUICK)
    assert done.returncode == 0, done.stderr
    assert "value_q97.5: " in done.stdout
    assert Model.load(model).outputs == ("value_q5", "value_q50", "value_q97.5")
    header = run("predict", model, wave, "--actual").stdout.split("\n")[0].split(",")
    assert [name for name in header if "_actual" in name] == ["value_actual"]
    assert "with 0.5 among them" in refused(*asked, "--quantiles", "0.1,0.9")


def test_several_horizons_each_get_an_output(wave: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "m.safetensors", tmp_path / "out.csv"
    horizons = ["--horizon", "1..2", "--horizon", "6"]
    done = run("train", wave, "--target", "value", *horizons, "--out", model, *QUICK)
    assert done.returncode == 0, done.stderr
    assert "(1, 2 and 6 steps ahead)" in done.stdout
    assert Model.load(model).horizons == (1, 2, 6)
    done = run("predict", model, wave, "--actual", "--out", out)
    assert done.returncode == 0, done.stderr
    with out.open() as file:
        rows = list(csv.DictReader(file))
    with wave.open() as file:
        observed = [row["value"] for row in csv.DictReader(file)]
    for steps in (1, 2, 6):
        came = [row[f"value@+{steps}_actual"] for row in rows]
        assert [float(x) for x in came[:-steps]] == list(map(float, observed[steps:]))
        assert came[-steps:] == [""] * steps
        assert rows[0][f"time@+{steps}"] == rows[steps]["time"]
    done = run("train", wave, "--target", "value", "--horizon", "3..1", "--out", model)
    assert "expected steps from 1" in done.stderr


def test_train_tells_classes_and_predict_writes_their_probabilities(tmp_path: Path) -> None:
    rows = [
        f"{run},{t},{(run % 2) * 2 + t % 3 / 10},{'ab'[run % 2]}"
        for run in range(60)
        for t in range(8)
    ]
    data, model = tmp_path / "runs.csv", tmp_path / "classes.safetensors"
    data.write_text("run,t,x,kind\n" + "\n".join(rows))
    asked = ("--classify", "kind", "--sequence-column", "run", "--input", "x")
    done = run("train", data, *asked, "--out", model, *QUICK)
    assert done.returncode == 0, done.stderr
    assert re.search(r"accuracy on 96 rows: \d", done.stdout)
    assert "is \\ told" in done.stdout
    assert "sequences that are right: " in done.stdout
    done = run("predict", model, data, "--actual", "--out", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out.csv").open() as file:
        told = list(csv.DictReader(file))
    assert [row["run"] for row in told] == [line.partition(",")[0] for line in rows]
    assert [row["kind_actual"] for row in told] == [line[-1] for line in rows]
    for row in told:
        assert row["kind_told"] == max("ab", key=lambda name: float(row[name]))
    written = tmp_path / "scores.json"
    done = run("evaluate", model, data, "--test-only", "--json", written)
    assert done.returncode == 0, done.stderr
    assert "the classes of 96 rows scored" in done.stdout
    assert "is \\ told" in done.stdout
    assert "the worst of 12 series" not in done.stdout  # 12 sequences are shown one by one
    assert json.loads(written.read_text())["classes"]["rows"] == 96
    later = tmp_path / "later.safetensors"
    done = run("train", data, *asked, "--from", model, "--out", later, "--epochs", "1")
    assert done.returncode == 0, done.stderr
    assert Model.load(later).outputs == ("a", "b")
    assert all(float(row["a"]) + float(row["b"]) == pytest.approx(1, abs=1e-4) for row in told)
    assert "one of these; got 2" in refused("train", data, "--target", "x", *asked)
