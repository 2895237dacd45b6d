"""The examples that show gates: they run, and their claims are true."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from streamlstm import Model

from .terminal import shown_in_terminal

pytestmark = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="needs matplotlib: make test"
)


def command(root: Path, program: str, *arguments: object) -> tuple[list[str], dict[str, str]]:
    parts = [sys.executable, str(root / "examples" / program), *map(str, arguments)]
    return parts, os.environ | {"PYTHONPATH": str(root)}


def run(root: Path, program: str, *arguments: object) -> str:
    parts, environment = command(root, program, *arguments)
    done = subprocess.run(
        parts, capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_forget_gate_falls_when_hunting_begins(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "regime.png"
    said = run(root, "gates_regime.py", "--out", out)
    assert out.read_bytes().startswith(b"\x89PNG")
    lines = re.findall(r"the (\w+) gate (\w+): ([\d.]+) .*?, ([\d.]+) in .*?, ([\d.]+) from", said)
    measured = [(gate, way, float(a), float(b), float(c)) for gate, way, a, b, c in lines]
    assert [line[:2] for line in measured] == [
        ("forget", "falls"), ("input", "rises"), ("forget", "rises"), ("input", "falls")
    ]  # fmt: skip
    for _, way, before, at, after in measured:
        assert min(before, after) < at < max(before, after)
        assert (way == "rises") == (after > before)
        assert abs(after - before) > 0.1


def test_the_training_series_is_written(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "regime.csv"
    assert run(root, "gates_regime.py", "--write-series", out) == ""
    header, *rows = out.read_text().splitlines()
    assert (header, len(rows)) == ("temperature", 20_000)
    assert Model.load(root / "examples/models/regime.safetensors").inputs == ("temperature",)


def test_the_forget_gate_falls_at_a_full_stop(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "text.svg"
    said = run(root, "gates_text.py", "--out", out, "--text", "It is so. Is it so.")
    at, elsewhere, comma, space = (
        float(re.search(rf"{name} +([\d.]+)", said)[1])  # type: ignore[index]
        for name in ("at a full stop", "elsewhere", "at a comma", "at a space")
    )
    assert at < 0.3 < min(elsewhere, comma, space)
    assert "\x1b" not in said
    lines = said.splitlines()
    bars = lines[lines.index("It is so. Is it so.") + 1]
    assert len(bars) == 19
    assert max(bars[8], bars[18]) <= "▄"
    assert out.read_text().count("<!-- . -->") >= 1


def test_a_terminal_gets_colours(root: Path, tmp_path: Path) -> None:
    parts, environment = command(root, "gates_text.py", "--out", tmp_path / "text.png")
    shown = shown_in_terminal(parts, **environment | {"TERM": "xterm-256color"})
    assert b"\x1b[" in shown
    assert b"yellow keeps, blue forgets" in shown


def test_letters_outside_the_alphabet_are_refused(root: Path) -> None:
    parts, environment = command(root, "gates_text.py", "--text", "süß")
    done = subprocess.run(
        parts, capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode == 1
    assert done.stderr == "the model does not know ß ü; leave that out\n"


def test_the_shipped_model_is_small_and_names_its_origin(root: Path) -> None:
    path = root / "examples/models/text.safetensors"
    assert path.stat().st_size < 200_000
    metadata = Model.load(path).metadata
    assert metadata["made_by"] == "examples/gates_text_train.py"
    assert len(metadata["held_back"].split("\n")) > 50


def test_the_training_program(root: Path, tmp_path: Path) -> None:
    if find_spec("torch") is None:
        pytest.skip("needs PyTorch: make test-all")
    out = tmp_path / "text.safetensors"
    said = run(root, "gates_text_train.py", "--sweeps", 1, "--sentences", 60, "--out", out)
    assert "bits a character" in said
    model = Model.load(out)
    assert model.outputs == Model.load(root / "examples/models/text.safetensors").outputs
