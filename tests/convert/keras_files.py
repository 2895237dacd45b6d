"""Keras files for tests: modified golden files, and legacy files written from scratch."""

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

GOLDEN = Path(__file__).parent.parent / "golden"
Arrays = dict[str, np.ndarray[Any, Any]]


def changed_zip(
    name: str,
    path: Path,
    config: Callable[[Any], None] | None = None,
    arrays: Callable[[Any], None] | None = None,
) -> Path:
    """Write a golden .keras file with another configuration or other arrays."""
    import h5py

    with zipfile.ZipFile(GOLDEN / f"{name}.keras") as archive:
        parts = {member: archive.read(member) for member in archive.namelist()}
    if config is not None:
        content = json.loads(parts["config.json"])
        config(content)
        parts["config.json"] = json.dumps(content).encode()
    if arrays is not None:
        buffer = io.BytesIO(parts["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            arrays(file)
        parts["model.weights.h5"] = buffer.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in parts.items():
            archive.writestr(member, data)
    return path


def legacy(path: Path, layers: Sequence[tuple[str, dict[str, Any], Arrays]], **attrs: str) -> Path:
    """Write a Sequential network in the layout of Keras 2's .h5 files."""
    import h5py

    listed = [{"class_name": kind, "config": config} for kind, config, _ in layers]
    network = {"class_name": "Sequential", "config": {"name": "s", "layers": listed}}
    with h5py.File(path, "w") as file:
        for key, value in {"keras_version": "2.9.0", **attrs}.items():
            file.attrs[key] = value
        file.attrs["model_config"] = json.dumps(network)
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [config["name"].encode() for _, config, _ in layers]
        for _, config, arrays in layers:
            group = root.create_group(config["name"])
            names = [f"{config['name']}/{name}:0" for name in arrays]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, arrays.values(), strict=True):
                group[name] = array
    return path


def lstm(name: str, F: int, H: int, **config: Any) -> tuple[str, dict[str, Any], Arrays]:
    """Return an LSTM layer with random arrays."""
    rng = np.random.default_rng(F + H)
    arrays = {
        "kernel": rng.standard_normal((F, 4 * H)).astype(np.float32),
        "recurrent_kernel": rng.standard_normal((H, 4 * H)).astype(np.float32) * 0.3,
        "bias": rng.standard_normal(4 * H).astype(np.float32),
    }
    options = {"units": H, "return_sequences": True, "batch_input_shape": [None, None, F]}
    return "LSTM", {"name": name, **options, **config}, arrays


def dense(name: str, K: int, O: int, **config: Any) -> tuple[str, dict[str, Any], Arrays]:
    """Return a Dense layer with random arrays."""
    rng = np.random.default_rng(K + O)
    arrays = {
        "kernel": rng.standard_normal((K, O)).astype(np.float32),
        "bias": rng.standard_normal(O).astype(np.float32),
    }
    return "Dense", {"name": name, "units": O, **config}, arrays


def layers_of(content: Any) -> Any:
    """Return the layers in a configuration."""
    return content["config"]["layers"]


def refused(path: Path) -> str:
    """Return the message with which a file is refused."""
    with pytest.raises(ConvertError) as caught:
        sl.from_keras(path)
    return str(caught.value)
