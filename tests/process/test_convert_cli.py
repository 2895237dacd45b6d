"""``streamlstm convert`` as a person types it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import streamlstm as sl

GOLDEN = Path(__file__).parent.parent / "golden"


def convert(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlstm", "convert", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("keras3_functional_zip.keras", ["Keras 3.", "x1 to y0", "GRU"]),
        ("keras2_norms.keras", ["Keras 2.15", "inputs are scaled", "LayerNorm"]),
        ("keras2_cudnn.h5", ["GRU"]),
        ("aidax_skip_and_gains.json", ["AIDA-X", "outputs are scaled"]),
        ("guitarml_wrong_sizes.json", ["GuitarML", "hidden_size says 40"]),
    ],
)
def test_a_network_is_shown_checked_and_written(
    tmp_path: Path, name: str, words: list[str]
) -> None:
    out = tmp_path / "model.safetensors"
    done = convert(GOLDEN / name, "--out", out, "--check")
    assert done.returncode == 0, done.stderr
    for word in words:
        assert word in done.stdout
    assert "largest difference over 200 steps" in done.stdout
    assert sl.Model.load(out).fingerprint == sl.load_any(GOLDEN / name).fingerprint


def test_a_state_dict_is_checked_against_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.ModuleDict({"rec": torch.nn.GRU(2, 5, 2), "lin": torch.nn.Linear(5, 1)})
    torch.save(module.state_dict(), tmp_path / "m.pt")
    done = convert(tmp_path / "m.pt", "--check")
    assert done.returncode == 0, done.stderr
    assert "(PyTorch, its layers one by one: " in done.stdout
    assert "what forward does between them, so that was not compared)" in done.stdout


def test_onnx_is_checked_against_a_runtime(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    sl.from_rtneural(GOLDEN / "rtneural_lstm.json").to_onnx(tmp_path / "m.onnx")
    done = convert(tmp_path / "m.onnx", "--check")
    assert done.returncode == 0, done.stderr
    assert "(ONNX" in done.stdout


def test_a_mistake_ends_in_one_sentence(tmp_path: Path) -> None:
    content = json.loads((GOLDEN / "guitarml_lstm.json").read_text())
    del content["state_dict"]["lin.weight"]
    (tmp_path / "m.json").write_text(json.dumps(content))
    out = tmp_path / "m.safetensors"
    done = convert(tmp_path / "m.json", "--out", out)
    assert done.returncode == 1
    assert done.stderr.startswith("streamlstm: ")
    assert "lacks lin.weight" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
    assert convert(tmp_path / "absent").returncode == 1
    sl.from_guitarml(GOLDEN / "guitarml_gru.json").save(out)
    assert "no other side" in convert(out, "--check").stderr


def test_a_difference_is_told_by_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import typer

    from streamlstm.cli.convert import convert as command
    from streamlstm.convert import verify

    def other(path: object, kind: str, X: np.ndarray, outputs: int) -> verify.Answers:
        return verify.Answers(np.full((len(X), outputs), np.nan), "nobody")

    monkeypatch.setattr(verify, "answers", other)
    out = tmp_path / "m.safetensors"
    with pytest.raises(typer.Exit) as caught:
        command(GOLDEN / "rtneural_lstm.json", out, check=True, seed=0)
    assert caught.value.exit_code == 1
    assert "more than 0.0001" in capsys.readouterr().out
    assert not out.exists()
