"""Golden files of this folder as models."""

from pathlib import Path
from typing import Any

import numpy as np

from streamlstm import LSTM, Dense, Model

FOLDER = Path(__file__).parent
PYTORCH = ("pytorch_one_layer", "pytorch_two_layers")


def load_pytorch(name: str) -> tuple[Model, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the model of a case, its observations x[T, F] and PyTorch's outputs y[T, O]."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = dict(file)
    layers: list[LSTM | Dense] = []
    weights = []
    while f"lstm.weight_ih_l{len(layers)}" in arrays:
        n = len(layers)
        weight_ih, weight_hh = (arrays[f"lstm.weight_{part}_l{n}"] for part in ("ih", "hh"))
        bias = arrays[f"lstm.bias_ih_l{n}"] + arrays[f"lstm.bias_hh_l{n}"]
        layers.append(LSTM(weight_ih.shape[1], weight_hh.shape[1]))
        weights.append({"weight_ih": weight_ih, "weight_hh": weight_hh, "bias": bias})
    head = arrays["head.weight"]
    layers.append(Dense(head.shape[1], head.shape[0]))
    weights.append({"weight": head, "bias": arrays["head.bias"]})
    return Model(layers, weights), arrays["x"], arrays["y"]
