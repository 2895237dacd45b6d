"""Offsets: what is subtracted from an input, and added to an output, in float64.

Float32 holds seven digits. A level of 1.7e9 that moves by 10 has lost them before anything is
computed, so the offset is taken off where a value enters, before it becomes float32, and everything
behind works with what remains: layers, scaling, the online stage, state rows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError
from .arrays import as_numbers
from .online import Online

Float64Array = NDArray[np.float64]


def check_offsets(
    what: str, offsets: ArrayLike | None, names: Sequence[str]
) -> Float64Array | None:
    """Return the offsets of some columns as a read-only float64[n], None if all are 0.

    Raises
    ------
    ModelError
        If they are not one finite number for each name.
    """
    if offsets is None:
        return None
    try:
        array = np.array(as_numbers(what, offsets), np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{what}: expected an array of numbers: {error}.") from None
    if array.shape != (len(names),):
        raise ModelError(
            f"{what}: expected one number for each of {', '.join(names)}, got shape {array.shape}."
        )
    if not np.isfinite(array).all():
        raise ModelError(f"{what}: expected finite numbers, found NaN or infinite.")
    array.flags.writeable = False
    return array if array.any() else None


def check_output_offsets(
    offsets: ArrayLike | None,
    of_inputs: Float64Array | None,
    outputs: Sequence[str],
    targets: Sequence[int],
) -> Float64Array | None:
    """Return the offsets of the outputs; by default those of the inputs that they forecast.

    Raises
    ------
    ModelError
        As :func:`check_offsets`, or if an output has another one than the input that it forecasts:
        what comes is compared with what was forecast.
    """
    expected = np.zeros(len(outputs))
    if of_inputs is not None:
        expected = np.array([of_inputs[n] if n >= 0 else 0.0 for n in targets])
    if offsets is None:
        return check_offsets("output_offsets", expected, outputs)
    given = check_offsets("output_offsets", offsets, outputs)
    found = expected * 0 if given is None else given
    for n, target in enumerate(targets):
        if target >= 0 and found[n] != expected[n]:
            raise ModelError(
                f"output_offsets: expected {expected[n]:.17g} for {outputs[n]}, that of the input "
                f"which it forecasts, got {found[n]:.17g}."
            )
    return given


def check_stage_offsets(
    online: Online | None,
    inputs: Sequence[str],
    of_inputs: Float64Array | None,
    of_outputs: Float64Array | None,
) -> None:
    """Raise ModelError if an online stage speaks of numbers that offsets have moved.

    A missing value cannot be 0 where 0 is far away, and bounds of the outputs are one for all.
    """
    if online is None:
        return
    for n, name in enumerate(inputs):
        if of_inputs is not None and of_inputs[n] and online.fill_of(n) == "zero":
            raise ModelError(
                f'online: expected another fill than "zero" for {name}, whose values are about '
                f"{of_inputs[n]:g}."
            )
    bounded = online.lower is not None or online.upper is not None
    if bounded and of_outputs is not None and (of_outputs != of_outputs[0]).any():
        raise ModelError(
            "online: expected no lower and upper for outputs with different offsets: they are the "
            "same for all outputs."
        )
