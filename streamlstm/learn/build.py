"""From a trained network to a `Model` that can be served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamlstm.learn.dataset import Dataset
from streamlstm.learn.network import Network
from streamlstm.network.layers import LSTM, Dense, Layer
from streamlstm.network.model import Model


def build_model(
    network: Network,
    data: Dataset,
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: Mapping[str, str] | None = None,
) -> Model:
    """Put layers, weights, names and scaling together.

    Parameters
    ----------
    network : Network
        As `fit` left it.
    data : Dataset
        What it was trained on: it knows scaling, skip and horizon.
    inputs, outputs : sequence of str
        F and O names.
    metadata : mapping of str to str, optional
        What should be known about the training.
    """
    layers: list[Layer] = []
    size = network.input_size
    for H in network.hidden_sizes:
        layers.append(LSTM(size, H))
        size = H
    layers.append(Dense(size, network.output_size))
    return Model(
        layers,
        network.weights(),
        inputs=inputs,
        outputs=outputs,
        input_scaling=data.input_scaling,
        output_scaling=data.output_scaling,
        skip=data.skip,
        horizon=data.horizon,
        metadata=metadata,
    )
