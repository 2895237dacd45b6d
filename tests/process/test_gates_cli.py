"""`streamlstm gates` in real processes, with real files and pictures."""

import csv
import math
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from streamlstm import GRU, LSTM, RNN, Dense, Embedding, Engine, Model
from streamlstm.network.layers import Layer

from ..contract.models import random_model
from ..exhaustive import exhaustive
from .terminal import shown_in_terminal

needs_matplotlib = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="needs matplotlib: make test"
)
ROOT = Path(__file__).resolve().parents[2]
ROWS = 60


def run(*arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "streamlstm", "gates", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    # Whoever comes first on a machine compiles, and tells so.
    lines = done.stderr.splitlines(keepends=True)
    done.stderr = "".join(line for line in lines if not line.startswith("compiling "))
    return done


def refused(*arguments: object) -> str:
    """Run what must fail with one sentence, and return the sentence."""
    done = run(*arguments)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("streamlstm: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def named(layers: list[Layer], inputs: list[str], outputs: list[str], horizon: int = 1) -> Model:
    model = random_model(layers)
    return Model(model.layers, model.weights, inputs=inputs, outputs=outputs, horizon=horizon)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two inputs, and a file of two pumps with time stamps."""
    folder = tmp_path_factory.mktemp("gates")
    layers: list[Layer] = [LSTM(2, 9), GRU(9, 7), Dense(7, 1)]
    named(layers, ["value", "flow"], ["value"]).save(folder / "model.safetensors")
    with (folder / "pumps.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "pump", "value", "flow"])
        for t in range(ROWS):
            for k, pump in enumerate(("north", "south")):
                stamp = f"2024-05-31 {12 + t // 60:02}:{t % 60:02}:00"
                writer.writerow([stamp, pump, round(20 + 3 * math.sin(t / 5 + k), 3), t % 7 + k])
    return folder


@pytest.fixture
def asked(folder: Path) -> tuple[Path, Path, str, str]:
    """Model and data, and how to ask for one pump."""
    return folder / "model.safetensors", folder / "pumps.csv", "--stream-column", "pump"


def observed(folder: Path, pump: str) -> list[list[float]]:
    with (folder / "pumps.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["pump"] == pump]
    return [[float(row["value"]), float(row["flow"])] for row in rows]


@needs_matplotlib
@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        ("png", b"\x89PNG"),
        ("svg", b"<?xml"),
        exhaustive("pdf", b"%PDF"),
    ],
)
def test_a_picture_in_every_format(
    suffix: str, start: bytes, asked: tuple[object, ...], tmp_path: Path
) -> None:
    out = tmp_path / f"gates.{suffix}"
    done = run(*asked, "--stream", "north", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wrote {out}: {ROWS} rows\n"
    assert done.stderr == ""
    assert out.read_bytes().startswith(start)
    assert out.stat().st_size > 10_000


@needs_matplotlib
def test_the_words_of_a_picture(asked: tuple[object, ...], tmp_path: Path) -> None:
    """An .svg with text as text tells what a person can read in it."""
    out = tmp_path / "gates.svg"
    assert run(*asked, "--stream", "south", "--out", out).returncode == 0
    # matplotlib leaves each text as a comment beside its outline
    words = out.read_text()
    for text in (
        "south of pumps.csv, seen by model.safetensors",
        "value",
        "predicted 1 step before",
        "flow",
        "layer 0, LSTM(2, 9)",
        "forget gate",
        "input gate",
        "output gate",
        "candidate",
        "cell",
        "hidden",
        "layer 1, GRU(9, 7)",
        "reset gate",
        "update gate",
        "time (UTC)",
    ):
        assert f"<!-- {text} -->" in words, text


def test_the_numbers_are_those_of_explain(
    folder: Path, asked: tuple[object, ...], tmp_path: Path
) -> None:
    out = tmp_path / "numbers.csv"
    done = run(*asked, "--stream", "south", "--csv", out, "--from", 11, "--to", "2024-05-31T12:39")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wrote {out}: 30 rows\n"
    assert list(tmp_path.iterdir()) == [out]  # --csv alone draws nothing
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(11, 41))
    assert rows[0]["time"] == "2024-05-31 12:10:00"
    engine = Engine(Model.load(folder / "model.safetensors"), 1)
    for n, x in enumerate(observed(folder, "south")[:40]):
        explained = engine.explain("s", x)
        y = engine.step("s", x)
        if n < 10:
            continue
        row = rows[n - 10]
        assert np.float32(row["value"]) == np.float32(x[0])
        assert np.float32(row["predicted value"]) == y[0]
        for k in (0, 1):
            for name, values in explained.layers[k].values.items():
                came = [np.float32(row[f"layer {k} {name} {unit}"]) for unit in range(len(values))]
                assert came == values.tolist()
    assert len(rows[0]) == 2 + 2 + 1 + 6 * 9 + 4 * 7


def test_layers_units_and_the_last_rows(asked: tuple[object, ...], tmp_path: Path) -> None:
    out = tmp_path / "numbers.csv"
    chosen = ("--layer", 1, "--units", "5,0-2", "--last", 4)
    assert run(*asked, "--stream", "north", "--csv", out, *chosen).returncode == 0
    header, *rows = out.read_text().splitlines()
    assert len(rows) == 4
    assert rows[-1].startswith(f"{ROWS},")
    units = [name for name in header.split(",") if name.startswith("layer 1 reset_gate")]
    assert units == [f"layer 1 reset_gate {unit}" for unit in (5, 0, 1, 2)]
    assert "layer 0" not in header


@needs_matplotlib
@pytest.mark.parametrize(
    ("layers", "options"),
    [
        exhaustive([LSTM(1, 2), Dense(2, 1)], ()),
        ([RNN(1, 150), LSTM(150, 12, projection_size=5), Dense(5, 9, "softmax")], ()),
        exhaustive([LSTM(1, 6, coupled=True), Dense(6, 1)], ("--last", "1")),
        ([Embedding(1, 7, 4), GRU(4, 12), Dense(12, 7, "log_softmax")], ("--units", "3")),
        exhaustive([LSTM(1, 9, gate_activation="relu"), Dense(9, 1)], ("--layer", "1")),
    ],
)
def test_networks_of_all_kinds_from_a_pipe(
    layers: list[Layer], options: tuple[str, ...], tmp_path: Path
) -> None:
    model, out = tmp_path / "model.safetensors", tmp_path / "gates.png"
    outputs = [f"${o}_{{" for o in range(layers[-1].output_size)]  # nothing in a name is markup
    named(layers, ["a $b$ c"], outputs, horizon=0).save(model)
    rows = "".join(f"{t % 7}\n" for t in range(30))
    done = run(model, "-", "--out", out, *options, stdin="a $b$ c\n" + rows)
    assert (done.returncode, done.stderr) == (0, "")
    assert out.stat().st_size > 5_000


@needs_matplotlib
def test_gaps_in_time_and_more_rows_than_pixels(tmp_path: Path) -> None:
    model, data, out = (tmp_path / name for name in ("m.safetensors", "d.csv", "gates.svg"))
    named([LSTM(1, 7), Dense(7, 1)], ["value"], ["value"]).save(model)
    rows = [f"{10 * t + 5000 * (t > 900)},{math.sin(t / 9):.3f}\n" for t in range(2600)]
    data.write_text("time,value\n" + "".join(rows))
    done = run(model, data, "--out", out)
    assert done.returncode == 0, done.stderr
    words = out.read_text()
    assert "each column of colours is the mean of 3 rows" in words
    assert "time in seconds" in words


def test_a_file_of_one_series_may_be_named(folder: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "one.csv", tmp_path / "numbers.csv"
    data.write_text("value,flow\n" + "1,2\n" * 5)
    done = run(folder / "model.safetensors", data, "--stream", "pump-7", "--csv", out)
    assert done.returncode == 0
    assert "no column 'stream'" in done.stderr
    assert "--stream-column" in done.stderr


def test_missing_series_layers_and_rows_are_refused(
    asked: tuple[object, ...], tmp_path: Path
) -> None:
    north = (*asked, "--stream", "north", "--csv", tmp_path / "numbers.csv")
    said = refused(*asked, "--csv", tmp_path / "n.csv")
    assert "names 2 series, expected --stream to name one; they are 'north', 'south'" in said
    said = refused(*asked, "--stream", "west", "--csv", tmp_path / "n.csv")
    assert "there is no 'west'" in said
    assert "there is no layer 7; the layers are 0: LSTM(2, 9)" in refused(*north, "--layer", 7)
    assert "has the units 0 to 8, got unit 20" in refused(*north, "--units", "20")
    assert "--units 3-1: expected" in refused(*north, "--units", "3-1")
    assert "--from 99: expected a row from 1 to 60" in refused(*north, "--from", 99)
    assert "--to soon: expected a row's number" in refused(*north, "--to", "soon")
    assert "--last: expected alone" in refused(*north, "--last", 3, "--from", 4)
    assert "there are no rows" in refused(*north, "--from", "2030-01-01")
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_used(folder: Path, tmp_path: Path) -> None:
    model, numbers = folder / "model.safetensors", tmp_path / "numbers.csv"
    lacks, gap = tmp_path / "lacks.csv", tmp_path / "gap.csv"
    lacks.write_text("value\n1\n2\n")
    gap.write_text("value,flow\n1,2\n,3\n")
    assert "expected a column 'flow'" in refused(model, lacks, "--csv", numbers)
    assert "gap.csv:3: column 'value'" in refused(model, gap, "--csv", numbers)
    assert "cannot be read" in refused(model, tmp_path / "no.csv", "--csv", numbers)
    assert str(lacks) in refused(lacks, lacks, "--csv", numbers)
    assert "no.safetensors" in refused(tmp_path / "no.safetensors", lacks, "--csv", numbers)
    stateless = tmp_path / "dense.safetensors"
    named([Dense(1, 1)], ["value"], ["value"]).save(stateless)
    assert "expected a recurrent layer" in refused(stateless, lacks, "--csv", numbers)
    events = tmp_path / "events.safetensors"
    named([Embedding(1, 2, 3), GRU(3, 2)], ["value"], ["a", "b"]).save(events)
    assert "lacks.csv:3: expected a category" in refused(events, lacks, "--csv", numbers)
    assert not numbers.exists()


@needs_matplotlib
def test_outputs_that_cannot_be_written_are_refused_first(
    folder: Path, asked: tuple[object, ...], tmp_path: Path
) -> None:
    north = (*asked, "--stream", "north")
    assert "ends in .png, .svg, .pdf" in refused(*north, "--out", tmp_path / "gates.gif")
    assert "there is no directory" in refused(*north, "--out", tmp_path / "nowhere" / "g.png")
    (tmp_path / "folder.png").mkdir()
    assert "this is a directory" in refused(*north, "--out", tmp_path / "folder.png")
    assert "the file with the data" in refused(*north, "--csv", folder / "pumps.csv")
    if Path("/dev/full").exists():  # a disk that is full says so only when it is written to
        assert "No space left" in refused(*north, "--csv", "/dev/full")
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        assert "may not be written to" in refused(*north, "--out", tmp_path / "g.png")
        tmp_path.chmod(0o700)


def test_without_matplotlib_the_error_says_how_to_install_it(
    asked: tuple[object, ...], tmp_path: Path
) -> None:
    """A process in which matplotlib cannot be imported."""
    program = (
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'matplotlib':\n"
        "            raise ModuleNotFoundError('blocked', name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "from streamlstm import cli\n"
        "cli.main()\n"
    )

    def blocked(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, "gates", *map(str, (*asked, *arguments))],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    done = blocked("--stream", "north")
    assert done.returncode == 1
    assert done.stderr == (
        "streamlstm: drawing needs matplotlib, which is not installed: pip install matplotlib\n"
    )
    assert list(tmp_path.iterdir()) == []
    done = blocked("--stream", "north", "--csv", tmp_path / "numbers.csv")
    assert done.returncode == 0, done.stderr  # numbers need no matplotlib


def test_a_terminal_gets_a_bar_that_a_pipe_does_not(folder: Path, tmp_path: Path) -> None:
    data, wide = tmp_path / "long.csv", tmp_path / "wide.safetensors"
    data.write_text("value,flow\n" + "1,2\n" * 400)
    named([LSTM(2, 400), Dense(400, 1)], ["value", "flow"], ["value"]).save(wide)
    command = [sys.executable, "-m", "streamlstm", "gates", str(wide), str(data), "--units", "0"]
    numbers = str(tmp_path / "numbers.csv")
    shown = shown_in_terminal([*command, "--csv", numbers], "stderr", PYTHONPATH=str(ROOT))
    # A quick machine is done within a second, and then nothing but the cursor's moves is seen.
    words = re.sub(rb"\x1b\[[?0-9;]*[a-zA-Z]|\s", b"", shown)
    assert not words or b"lookinginside" in words


def test_a_table_is_read_as_by_other_commands(folder: Path, tmp_path: Path) -> None:
    """Decimal commas, a format of times, their zone, rows that are not sorted."""
    path, out = tmp_path / "plant.csv", tmp_path / "gates.csv"
    rows = [f"{1 + t // 24:02}.07.2024 {t % 24:02}:00;{20 + t},5;{t % 7}" for t in range(48)]
    path.write_text("when;value;flow\n" + "\n".join(reversed(rows)))
    said = ("--time-column", "when", "--time-format", "%d.%m.%Y %H:%M", "--sort")
    begin = ("--timezone", "Europe/Berlin", "--from", "2024-07-02T12:00")
    done = run(folder / "model.safetensors", path, "--csv", out, *said, "--decimal", ",", *begin)
    assert done.returncode == 0, done.stderr
    with out.open() as file:
        found = list(csv.DictReader(file))
    assert [row["row"] for row in found] == [str(n) for n in range(37, 49)]
    assert found[0]["when"] == "02.07.2024 12:00"
    assert [float(row["value"]) for row in found] == [20.5 + t for t in range(36, 48)]


def test_events_are_read_by_their_names(tmp_path: Path) -> None:
    model, path, out = (tmp_path / name for name in ("m.safetensors", "e.csv", "out.csv"))
    names = ["start", "stop", "wait"]
    layers: list[Layer] = [Embedding(1, 3, 4), LSTM(4, 5), Dense(5, 3, "log_softmax")]
    named(layers, ["event"], names).save(model)
    path.write_text("event,spare\n" + "\n".join(f"{names[t % 3]},x" for t in range(20)))
    done = run(model, path, "--csv", out)
    assert done.returncode == 0, done.stderr
    with out.open() as file:
        assert [float(row["event"]) for row in csv.DictReader(file)] == [t % 3 for t in range(20)]
