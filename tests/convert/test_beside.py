"""What a file holds beside its network is said: scalers, the rows of a window, other weights."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl

from .keras_files import dense, legacy
from .torch_states import linear, recurrent

STATE = {**recurrent(4, 2, 3), **linear("fc", 3, 1)}
GRADIENTS = {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 9}
SAID: dict[str, tuple[dict[str, Any], str]] = {
    "arrays": ({"scaler_mean": np.array([1.5, 2]), "scaler_std": 3}, "scaler_mean = [1.5, 2], sca"),
    "of scikit-learn": ({"scaler": {"mean_": np.ones(2), "copy": True}}, "scaler.mean_ = [1, 1]"),
    "bounds": ({"x_min": 0.0, "yMax": [7.0], "max_epochs": 30}, "x_min = 0, yMax = 7. If"),
    "of Lightning": ({"hyper_parameters": {"seq_len": 24, "lr": 0.1}}, "give window=24"),
    "options": ({"args": Namespace(window=30, norm=True)}, "says args.window = 30"),
    "a head": ({"head": linear("out", 1, 1)}, "weights under head, which were not used"),
}


@pytest.mark.parametrize("name", SAID)
def test_what_a_checkpoint_holds_beside_its_weights_is_said(name: str) -> None:
    beside, words = SAID[name]
    training = {"optimizer": {"state": {0: {"exp_avg": np.ones(3)}}}, "scaler": GRADIENTS}
    checkpoint = {"model": STATE, "epoch": 3, "best_loss": 0.1, **training, **beside}
    model = sl.from_torch(checkpoint)
    assert words in model.metadata["notes"]
    assert "notes" not in sl.from_torch({"model": STATE, "epoch": 3, **training}).metadata
    scaling = {"mean": [0, 0], "scale": [1, 1]}
    if "scal" in model.metadata["notes"]:
        given = sl.from_torch(checkpoint, input_scaling=scaling)
        assert "scaler" not in given.metadata.get("notes", "")


def test_what_somebody_added_to_a_keras_file_is_said(tmp_path: Path) -> None:
    import h5py

    path = legacy(tmp_path / "m.h5", [dense("d", 2, 1)])
    with h5py.File(path, "a") as file:
        file.attrs["seq_length"] = 12
        file["scaler/mean"] = np.array([20.0, 5.0])
    notes = sl.from_keras(path).metadata["notes"]
    assert "The file holds a scaler" in notes
    assert "scaler/mean = [20, 5]" in notes
    assert "says seq_length = 12" in notes


def test_the_metadata_of_an_onnx_file_is_said() -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx: make test")
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    ends = [
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["N", 2]) for n in ("x", "y")
    ]
    made = onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:]))
    onnx.helper.set_model_props(made, {"input_mean": "[1, 2]", "author": "me"})
    assert "metadata holds a scaler" in sl.from_onnx(made).metadata["notes"]
