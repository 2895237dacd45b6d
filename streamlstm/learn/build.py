"""Exports a trained network as a `Model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..network.model import Model
from ..network.online import Online
from ..network.scaling import Scaling
from .dataset import Dataset
from .network import RecurrentNetwork


def build_model(
    network: RecurrentNetwork,
    data: Dataset,
    inputs: Sequence[str],
    targets: Sequence[str],
    metadata: Mapping[str, str] | None = None,
) -> Model:
    """Return the model of a trained network.

    Parameters
    ----------
    network : RecurrentNetwork
        From `fit`.
    data : Dataset
        The data set it was trained on; gives scaling, skip, horizons and the linear part.
    inputs, targets : sequence of str
        Names of the F inputs and the K targets; a head with several outputs for each target makes
        names of its own of them.
    metadata : mapping of str to str, optional
        Metadata of the model.

    Returns
    -------
    Model
    """
    outputs = network.head.outputs_per_target
    scaling, moved, weights = data.output_scaling, data.output_offsets, data.lag_weights
    return Model(
        network.layers(),
        network.weights(),
        inputs=inputs,
        outputs=network.head.names(targets),
        input_scaling=data.input_scaling,
        output_scaling=Scaling(np.repeat(scaling.mean, outputs), np.repeat(scaling.scale, outputs)),
        skip=np.repeat(data.skip, outputs).tolist(),
        horizon=np.repeat(data.horizons, outputs).tolist(),
        metadata=metadata,
        online=_stage(data, outputs),
        lags=data.lags,
        lag_weights=None if weights is None else np.repeat(weights, outputs, axis=0),
        input_offsets=data.input_offsets,
        output_offsets=None if moved is None else np.repeat(moved, outputs),
    )


def _stage(data: Dataset, outputs: int) -> Online | None:
    """Return what stands around the network: the linear part needs a stage that keeps values."""
    if not data.lags or outputs == 1:
        return data.stage or (Online() if data.lags else None)
    inputs = {column: n for n, column in enumerate(data.inputs)}
    targets = [inputs.get(column, -1) for column in data.targets for _ in range(outputs)]
    return replace(data.stage or Online(), targets=tuple(targets))
