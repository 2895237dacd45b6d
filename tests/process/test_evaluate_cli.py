"""`streamlstm evaluate` as a command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlstm", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    sl.detector(intervals=(0.5, 0.9)).save(path)
    return path


def series(path: Path, streams: int = 1, rows: int = 300) -> Path:
    rng = np.random.default_rng(0)
    lines = ["date,pump,value"]
    for stream in range(streams):
        for t in range(rows):
            value = np.sin(t / 4) + 0.1 * rng.standard_normal()
            lines.append(f"2024-01-{1 + t // 24:02d} {t % 24:02d}:00,p{stream},{value:.5f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_table_and_the_json_say_the_same(model: Path, tmp_path: Path) -> None:
    data, out = series(tmp_path / "a.csv"), tmp_path / "out.json"
    done = run("evaluate", model, data, "--json", out, "--warm-up", 50)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    (total,) = found["total"]
    assert total["values"] == 249
    lines = done.stdout.splitlines()
    assert lines[0] == f"{data}: 300 rows, 249 forecasts scored"
    assert lines[1].split()[:5] == ["target", "ahead", "values", "mae", "rmse"]
    assert lines[2].split()[3] == f"{total['mae']:.5g}"
    assert any(line.split()[2:5] == ["90", "%", f"{100 * total['intervals'][1]['coverage']:.1f}"]
               for line in lines)  # fmt: skip
    assert "\x1b" not in done.stdout
    assert max(map(len, lines)) < 120


def test_of_many_series_the_worst_are_shown(model: Path, tmp_path: Path) -> None:
    data, out = series(tmp_path / "a.csv", 25, 40), tmp_path / "out.json"
    done = run("evaluate", model, data, "--stream-column", "pump", "--json", out)
    assert done.returncode == 0, done.stderr
    assert "the worst of 25 series, by mase" in done.stdout
    assert len(json.loads(out.read_text())["streams"]) == 25


def test_what_cannot_be_is_one_sentence(model: Path, tmp_path: Path) -> None:
    data = series(tmp_path / "a.csv", rows=1)
    done = run("evaluate", model, data)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("streamlstm: ")
    assert "expected rows to score" in done.stderr
    done = run("evaluate", model, data, "--json", data)
    assert "this is the file with the data" in done.stderr


def test_a_report_is_one_file(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: make test")
    data, out = series(tmp_path / "a.csv"), tmp_path / "report.html"
    done = run("evaluate", model, data, "--report", out)
    assert done.returncode == 0, done.stderr
    assert out.read_text().startswith("<!DOCTYPE html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "model.safetensors", out.name]


def test_train_ends_with_the_same_table_and_the_same_report(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: make test")
    data, model, report = (tmp_path / name for name in ("a.csv", "m.safetensors", "r.html"))
    series(data, 2, 200)
    options = ["--target", "value", "--stream-column", "pump", "--hidden", "4", "--epochs", "2"]
    trained = run("train", data, *options, "--out", model, "--report", report)
    assert trained.returncode == 0, trained.stderr
    assert "How it was trained" in report.read_text()
    seen = run("evaluate", model, data, "--stream-column", "pump", "--test-only")
    assert seen.returncode == 0, seen.stderr
    table = seen.stdout.splitlines()[1:]
    assert trained.stdout.splitlines()[1 : 1 + len(table)] == table
    whole = run("evaluate", model, data, "--stream-column", "pump")
    assert "rows that the model was trained or validated on" in whole.stderr


def test_no_report_of_a_training_that_holds_nothing_back(tmp_path: Path) -> None:
    data, model = series(tmp_path / "a.csv"), tmp_path / "m.safetensors"
    options = ["--target", "value", "--hidden", "4", "--epochs", "1", "--out", model]
    fractions = ["--train-fraction", "0.8", "--validation-fraction", "0.2"]
    done = run("train", data, *options, *fractions)
    assert done.returncode == 0, done.stderr
    assert "nothing was held back" in done.stderr


def test_predict_draws_a_picture(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: make test")
    data, picture = series(tmp_path / "a.csv", 2, 60), tmp_path / "forecast.png"
    done = run("predict", model, data, "--stream-column", "pump", "--plot", picture)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    out = tmp_path / "out.csv"
    more = ["--plot", tmp_path / "f.svg", "--out", out, "--actual"]
    done = run("predict", model, data, "--stream-column", "pump", *more)
    assert done.returncode == 0, done.stderr
    assert "value_actual" in out.read_text().splitlines()[0]
    done = run("predict", model, data, "--plot", tmp_path / "f.txt")
    assert "ends in .png, .svg, .pdf" in done.stderr
