"""Differences: of an input that is a counter, its change goes into the network.

A counter rises without end. The change since the stream's last row is taken in float64, from values
that two floats hold: the value in float32, and what that has lost. 48 bits are kept so, 2.8e14 of
whole numbers. The second floats stand behind the F inputs of an observation, in the order of the
counters; the online stage keeps the last value (online/difference.py), in the stream's state row.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .online import Online

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


def check_differences(
    online: Online | None,
    inputs: Sequence[str],
    outputs: Sequence[str],
    targets: Sequence[int],
    horizons: Sequence[int],
    categories: int,
    offsets: Float64Array | None,
) -> None:
    """Raise ModelError if the inputs that are differenced do not fit a model."""
    counters = () if online is None else online.difference
    for n in counters:
        if n >= len(inputs):
            raise ModelError(
                f"online: expected difference to have indices up to {len(inputs) - 1}, got {n}."
            )
        if categories and n == 0:
            raise ModelError("online: expected no difference of the category in the first input.")
        if offsets is not None and offsets[n]:
            raise ModelError(
                f"input_offsets: expected 0 for {inputs[n]}, which is differenced, got "
                f"{offsets[n]:.17g}."
            )
    for name, target, steps in zip(outputs, targets, horizons, strict=True):
        if target in counters and steps != 1:
            raise ModelError(
                f"online: expected output {name} to forecast one step ahead, got {steps}: a "
                "counter that is differenced is its last value and one change later."
            )


def two_floats(values: Float64Array, counters: Sequence[int]) -> Float32Array:
    """Return observations[..., F] as float32[..., F + D], with the second floats of D counters."""
    with np.errstate(over="ignore", invalid="ignore"):
        high = values.astype(np.float32)
        low = (values - high)[..., list(counters)].astype(np.float32)
    low[np.isnan(low)] = 0  # of what is missing, or infinite
    return np.concatenate([high, low], axis=-1)


def from_two_floats(rows: Float32Array, counters: Sequence[int]) -> Float64Array:
    """Return the observations[..., F] of what :func:`two_floats` has made."""
    inputs = rows.shape[-1] - len(counters)
    values = rows[..., :inputs].astype(np.float64)
    values[..., list(counters)] += rows[..., inputs:]
    return values
