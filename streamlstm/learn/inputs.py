"""The inputs of a network in training: filled, scaled and derived as the online stage does it.

The compiled stage itself makes them. A model of which the layers pass on what they get is stepped
through each series, so there is no difference between training and serving. One there is in what
``fill="predict"`` takes: the network's forecasts, which are not known before it is trained; in
training it is the last value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.warmup import compile_for
from ..engine.offline import predict_rows
from ..errors import DataError
from ..network.layers import Dense
from ..network.model import Model
from ..network.online import MAX_GAP, Online
from ..network.scaling import Scaling

Array = NDArray[Any]
Float32Array = NDArray[np.float32]


def fill_inputs(values: Array, groups: Sequence[Array], scaling: Scaling, stage: Online) -> Array:
    """Return the inputs float64[N, F] with values in place of those that are missing (NaN).

    Parameters
    ----------
    values : float[N, F]
        Of all series.
    groups : sequence of int[n]
        The rows of each series.
    scaling : Scaling
        Of the inputs; its mean stands for an input that has not come yet.
    stage : Online
    """
    missing = np.isnan(values)
    if not missing.any():
        return values
    told = Online(fill=stage.fill, max_gap=MAX_GAP, targets=tuple(range(values.shape[1])))
    filled = _run(told, Scaling.identity(values.shape[1]), values, groups, None, horizon=1)
    filled = np.where(np.isnan(filled), scaling.mean, filled)
    return np.where(missing, filled, values)


def derive_inputs(times: Array | None, groups: Sequence[Array], stage: Online) -> Float32Array:
    """Return the features of the event time that stand behind the inputs, float32[N, D].

    Raises
    ------
    DataError
        If a row has no time.
    """
    if times is None or np.isnan(times).any():
        raise DataError(
            "calendar: expected a time in every row, of which its features are made; name the time "
            "column, or train without a calendar"
        )
    told = Online(
        calendar=stage.calendar,
        zone=stage.zone,
        spacing=stage.spacing,
        transitions=stage.transitions,
        targets=(-1,) * (1 + stage.derived),
    )
    nothing = np.zeros((len(times), 1))
    return _run(told, Scaling.identity(1), nothing, groups, times, horizon=0)[:, 1:]


def _run(
    stage: Online,
    scaling: Scaling,
    values: Array,
    groups: Sequence[Array],
    times: Array | None,
    horizon: int,
) -> Float32Array:
    """Return what a network behind a stage gets in each row."""
    size = values.shape[1] + stage.derived
    weights = {"weight": np.eye(size), "bias": np.zeros(size)}
    names = [f"x{n}" for n in range(values.shape[1])]
    model = Model(
        [Dense(size, size)],
        [weights],
        inputs=names,
        input_scaling=scaling,
        horizon=horizon,
        online=stage,
    )
    compile_for(model)
    return predict_rows(model, values.astype(np.float32), list(groups), times)[:, :size]
