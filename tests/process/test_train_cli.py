"""`streamlstm train` and `streamlstm predict` in real processes, with real files."""

import csv
import gzip
import json
import math
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from streamlstm import Engine, Model
from streamlstm.cli import app

from ..conftest import SHARED_DATA

QUICK = ["--hidden", "8", "--epochs", "4", "--window", "16"]


def run(*arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlstm", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def refused(*arguments: object, stdin: str | None = None) -> str:
    """Run what must fail with one sentence, and return the sentence."""
    done = run(*arguments, stdin=stdin)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("streamlstm: ")
    return done.stderr


def write_wave(path: Path, n: int = 400, streams: tuple[str, ...] = ("one",)) -> Path:
    rows = [
        (60 * t, stream, 10 + 3 * math.sin(2 * math.pi * t / 20 + k), k + t % 7)
        for t in range(n)
        for k, stream in enumerate(streams)
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "pump", "value", "other"])
        writer.writerows(rows)
    return path


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
def test_predict_refuses_bad_files(
    case: str, tmp_path: Path, trained: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    text, message = BAD_FILES[case]
    data, out = tmp_path / "bad.csv", tmp_path / "out.csv"
    data.write_text(text)
    assert re.search(message, refused("predict", trained[0], data, "--out", out))
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


def test_predict_does_not_overwrite_its_inputs(
    tmp_path: Path, trained: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    data = write_wave(tmp_path / "wave.csv", 50)
    before = data.read_bytes(), trained[0].read_bytes()
    assert "the file with the data" in refused("predict", trained[0], data, "--out", data)
    assert "the file with the model" in refused("predict", trained[0], data, "--out", trained[0])
    assert (data.read_bytes(), trained[0].read_bytes()) == before


def test_only_regular_files_are_replaced(
    tmp_path: Path, wave: Path, trained: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "not a regular file" in refused("train", wave, "--target", "value", "--out", pipe)
    assert "not a regular file" in refused("predict", trained[0], wave, "--out", pipe)
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
    assert not list(tmp_path.iterdir())


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
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "streamlstm", "train", str(wave), "--target", "value"]
    process = subprocess.Popen(
        [*command, *QUICK, "--out", str(wave.with_name("bar.safetensors"))],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(60) == 0
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
