"""``streamlstm convert`` on the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl

from ..convert.keras_files import GOLDEN, changed_zip, layers_of


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
    torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
    torch.manual_seed(0)
    module = torch.nn.ModuleDict({"rec": torch.nn.GRU(2, 5, 2), "lin": torch.nn.Linear(5, 1)})
    torch.save(module.state_dict(), tmp_path / "m.pt")
    done = convert(tmp_path / "m.pt", "--check")
    assert done.returncode == 0, done.stderr
    assert "(PyTorch, its layers one by one only: a state dict does not say what" in done.stdout


def test_options_of_a_state_dict(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
    torch.manual_seed(0)
    module = torch.nn.ModuleDict(
        {
            "rnn": torch.nn.RNN(2, 4, nonlinearity="relu"),
            "norm": torch.nn.LayerNorm(4, eps=1e-2),
            "head": torch.nn.Sequential(
                torch.nn.Linear(4, 3), torch.nn.Mish(), torch.nn.Linear(3, 2)
            ),
        }
    )
    torch.save(module.state_dict(), tmp_path / "m.pt")
    silent = convert(tmp_path / "m.pt", "--check")
    assert silent.returncode == 1
    assert "on the shell --activation head.0=relu" in silent.stderr
    out = tmp_path / "m.safetensors"
    options = ["--activation", "head.0=mish", "--rnn-activation", "relu", "--epsilon", "1e-2"]
    names = ["--inputs", "load, heat", "--outputs", "a,b", "--skip", "heat,-", "--horizon", "3"]
    scales = ["--skip-scale", "0.5,1", "--input-mean", "1,2", "--output-scale", "3,4"]
    more = ["--metadata", "plant=north=1", "--out", out, "--check"]
    done = convert(tmp_path / "m.pt", *options, *names, *scales, *more)
    assert done.returncode == 0, done.stderr
    assert "inputs are added to outputs: 0.5 heat to a\n" in done.stdout
    added = (
        "--skip, --skip-scale, --input-scaling, --input-mean and --input-scale, "
        "--output-scaling, --output-mean and --output-scale"
    )
    assert f"compared without {added}, which are not in the file" in done.stdout
    expected = sl.from_torch(
        module,
        inputs=["load", "heat"],
        outputs=["a", "b"],
        skip=[1, -1],
        skip_scale=[0.5, 1],
        input_scaling=sl.Scaling(np.float32([1, 2]), np.float32([1, 1])),
        output_scaling=sl.Scaling(np.float32([0, 0]), np.float32([3, 4])),
        horizon=3,
    )
    found = sl.Model.load(out)
    assert found.fingerprint == expected.fingerprint
    assert found.metadata["plant"] == "north=1"


def test_check_with_cells_and_trained_initial_states(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
    torch.manual_seed(0)
    for name, kind in (("rnn", torch.nn.LSTM), ("cell", torch.nn.GRUCell)):
        state = {f"net.{name}.{k}": v for k, v in kind(2, 4).state_dict().items()}
        state |= {"net.h0": torch.randn(1, 1, 4)}
        state |= {"net.c0": torch.randn(1, 1, 4)} if name == "rnn" else {}
        torch.save(state, tmp_path / "m.pt")
        done = convert(tmp_path / "m.pt", "--check")
        assert done.returncode == 0, done.stderr
        assert "initial_state=True" in done.stdout


def test_an_output_of_a_graph_is_chosen_and_checked(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx: make test")
    from onnx import TensorProto, helper, numpy_helper

    arrays = {"a": np.eye(2, 3), "b": 2 * np.eye(2, 3)}
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", name], [f"y{name}"]) for name in arrays],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["t", 2])],
        [helper.make_tensor_value_info(f"y{name}", TensorProto.FLOAT, None) for name in arrays],
        [numpy_helper.from_array(np.float32(array), name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "m.onnx")
    out = tmp_path / "m.safetensors"
    done = convert(tmp_path / "m.onnx", "--output", "yb", "--check", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert np.array_equal(sl.Model.load(out).weights[0]["weight"], 2 * np.eye(3, 2))
    assert "no output 'yc'; it has ya, yb" in convert(tmp_path / "m.onnx", "--output", "yc").stderr


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("rtneural_lstm.json", ["--epsilon", "1e-3"], "--epsilon is for a state dict of PyTorch"),
        (
            "keras3_lstm_last.h5",
            ["--output", "y"],
            "--output is for a state dict of PyTorch or an ONNX graph",
        ),
        ("guitarml_gru.json", ["--activation", "lin"], "--activation: expected NAME=VALUE"),
        ("guitarml_gru.json", ["--activation", "lin=relu"], "is JSON of GuitarML: leave it out"),
        ("guitarml_gru.json", ["--metadata", "a=1", "--metadata", "a=2"], "every name once"),
        ("guitarml_gru.json", ["--skip", "audio"], "--skip: expected for each output"),
        ("guitarml_gru.json", ["--skip-scale", "a"], "--skip-scale: expected numbers"),
        ("guitarml_gru.json", ["--inputs", "a,b"], "inputs: expected 1 names, got 2"),
        ("guitarml_gru.json", ["--input-scale", "0"], "--input-mean and --input-scale: "),
        ("guitarml_gru.json", ["--output-mean", "0,1"], "output_scaling: expected 1 columns"),
    ],
)
def test_an_invalid_option_is_refused_in_one_sentence(
    name: str, arguments: list[str], words: str
) -> None:
    done = convert(GOLDEN / name, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_the_data_of_a_check_come_from_a_table(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    rows = "".join(f"{n},{np.sin(n / 5):.4f}\n" for n in range(90))
    table.write_text(f"time,audio\n{rows}95,\n")
    network = GOLDEN / "guitarml_gru.json"
    done = convert(network, "--inputs", "audio", "--check", "--data", table)
    assert done.returncode == 0, done.stderr
    assert "largest difference over 90 steps" in done.stdout
    assert "inputs: 90 rows of data" in done.stdout
    assert "add --check" in convert(network, "--data", table).stderr
    assert "audio2" in convert(network, "--inputs", "audio2", "--check", "--data", table).stderr


def test_a_class_of_the_users_own_is_imported_loudly_and_compared(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
    (tmp_path / "my_nets.py").write_text(
        "import torch\n"
        "class MyNet(torch.nn.Module):\n"
        "    def __init__(self, hidden):\n"
        "        super().__init__()\n"
        "        self.lstm = torch.nn.LSTM(2, hidden, batch_first=True)\n"
        "        self.fc1 = torch.nn.Linear(hidden, 4)\n"
        "        self.fc2 = torch.nn.Linear(4, 1)\n"
        "    def forward(self, x):\n"
        "        return self.fc2(torch.relu(self.fc1(self.lstm(x)[0])))\n"
    )
    parts = {
        "lstm": torch.nn.LSTM(2, 6),
        "fc1": torch.nn.Linear(6, 4),
        "fc2": torch.nn.Linear(4, 1),
    }
    torch.save(torch.nn.ModuleDict(parts).state_dict(), tmp_path / "w.pt")
    arguments = ["w.pt", "--module", "my_nets:MyNet", "--args", '{"hidden": 6}', "--check"]
    done = subprocess.run(
        [sys.executable, "-m", "streamlstm", "convert", *arguments, "--out", "m.safetensors"],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "importing my_nets:MyNet: this runs its code on this machine" in done.stderr
    assert "(PyTorch, the forward of MyNet), within" in done.stdout
    assert "not compared" not in done.stdout
    assert sl.Model.load(tmp_path / "m.safetensors").layers[1].activation == "relu"
    plain = convert(tmp_path / "w.pt")
    assert "on the shell --module" in plain.stderr
    told = convert(tmp_path / "w.pt", "--activation", "fc1=relu")
    assert "not compared: a state dict does not say what forward does" in told.stdout


def test_the_source_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_bytes((GOLDEN / "guitarml_gru.json").read_bytes())
    assert "this is the file with the network" in convert(path, "--out", path).stderr
    assert "no directory" in convert(path, "--out", tmp_path / "absent" / "m").stderr


def test_onnx_is_checked_against_a_runtime(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx: make test")
    sl.to_onnx(sl.from_rtneural(GOLDEN / "rtneural_lstm.json"), tmp_path / "m.onnx")
    done = convert(tmp_path / "m.onnx", "--check")
    assert done.returncode == 0, done.stderr
    assert "(ONNX" in done.stdout


def test_an_error_is_one_sentence(tmp_path: Path) -> None:
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
    assert "nothing to compare with" in convert(out, "--check").stderr


def test_a_difference_sets_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import typer

    from streamlstm.cli.convert.command import convert as command
    from streamlstm.convert import reference_outputs as compare

    def other(path: object, kind: str, X: np.ndarray, outputs: int) -> compare.ReferenceOutputs:
        return compare.ReferenceOutputs(np.full((len(X), outputs), np.nan), "nobody")

    monkeypatch.setattr(compare, "reference_outputs", other)
    out = tmp_path / "m.safetensors"
    with pytest.raises(typer.Exit) as caught:
        command(GOLDEN / "rtneural_lstm.json", out, check=True, seed=0)
    assert caught.value.exit_code == 1
    assert "more than the tolerance of" in capsys.readouterr().out
    assert not out.exists()


def test_a_network_with_fixed_rows_is_checked_window_by_window(tmp_path: Path) -> None:
    def fixed(content: Any) -> None:
        layers_of(content)[0]["config"]["batch_shape"] = [None, 6, 3]

    path = changed_zip("keras3_lstm_stack", tmp_path / "m.keras", fixed)
    out = tmp_path / "model.safetensors"
    done = convert(path, "--out", out, "--check")
    assert done.returncode == 0, done.stderr
    assert "window of 6 rows (before, from those that came)" in done.stdout
    assert "largest difference over 10 windows of 6 rows" in done.stdout
    assert "With --stateful" in done.stdout
    assert sl.Model.load(out).window == 6
    done = convert(path, "--out", out, "--stateful")
    assert done.returncode == 0, done.stderr
    assert sl.Model.load(out).window is None
    done = convert(path, "--out", out, "--window", "3", "--start", "first", "--check")
    assert done.returncode == 0, done.stderr
    assert "largest difference over 10 windows of 3 rows" in done.stdout
    assert (sl.Model.load(out).window, sl.Model.load(out).start) == (3, "first")


def test_a_window_and_its_opposite_are_not_given_together() -> None:
    done = convert(GOLDEN / "guitarml_gru.json", "--window", "3", "--stateful")
    assert done.returncode == 1
    assert "--window and --stateful exclude each other" in done.stderr
