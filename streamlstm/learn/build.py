"""Exports a trained network as a `Model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..network.model import Model
from ..network.online import Online
from .dataset import Dataset
from .network import RecurrentNetwork


def build_model(
    network: RecurrentNetwork,
    data: Dataset,
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: Mapping[str, str] | None = None,
) -> Model:
    """Return the model of a trained network.

    Parameters
    ----------
    network : RecurrentNetwork
        From `fit`.
    data : Dataset
        The data set it was trained on; gives scaling, skip, horizons and the linear part.
    inputs, outputs : sequence of str
        Names of the F inputs and O outputs.
    metadata : mapping of str to str, optional
        Metadata of the model.

    Returns
    -------
    Model
    """
    return Model(
        network.layers(),
        network.weights(),
        inputs=inputs,
        outputs=outputs,
        input_scaling=data.input_scaling,
        output_scaling=data.output_scaling,
        skip=data.skip,
        horizon=data.horizons,
        metadata=metadata,
        online=Online() if data.lags else None,
        lags=data.lags,
        lag_weights=data.lag_weights,
    )
