"""What a model gives, compared with the outputs of what it was read from."""

import numpy as np

from ...backends.plan import initial_row
from ...backends.reference import ReferenceBackend
from ...errors import ConvertError
from ...network.model import Model
from ..common.weights import Float64Array
from .chain import Output


def largest_gap(
    model: Model, output: Output, X: Float64Array, expected: Float64Array, windowed: bool
) -> tuple[float, float] | None:
    """Return the largest difference, and the largest number expected; None if one is not finite.

    Parameters
    ----------
    model : Model
    output : Output
        What is where in ``expected``.
    X : float64[S, T, F]
    expected : float64[...]
    windowed : bool
        Whether only the last outputs of each window count.
    """
    Y = reference_outputs(model, X)
    places = output.positions >= 0
    if windowed:
        Y = Y[:, -1]
    computed = Y.reshape(-1, model.output_size)[output.positions[places], output.values[places]]
    if not windowed and expected.size != computed.size:
        raise ConvertError(
            f"it gives {expected.size} numbers where its layers give {computed.size}: it leaves "
            "rows out, or ends before the last"
        )
    wanted = expected[places] if windowed else expected.reshape(computed.shape)
    if not np.isfinite(wanted).all():
        return None
    return float(np.abs(wanted - computed).max()), float(np.abs(wanted).max())


def reference_outputs(model: Model, X: Float64Array) -> Float64Array:
    """Return Y[S, T, O], computed by the reference backend in float64."""
    backend = ReferenceBackend(model, np.float64)
    S, T, _ = X.shape
    rows = np.tile(initial_row(model).astype(np.float64), (S, 1))
    Y = np.zeros((S, T, model.output_size))
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(T):
            backend.step_block(rows, np.arange(S), X[:, t], Y[:, t])
    return Y
