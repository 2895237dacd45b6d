"""Measure how far predictions move when weights are rounded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BadValueError, ModelError, ShapeError, shown
from ..network.model import Model
from .plan import initial_row
from .precision import check_precision_name, round_weights
from .reference import ReferenceBackend

STREAMS = 16
MAX_STEPS = 1_000_000


@dataclass(frozen=True)
class PrecisionCheck:
    """Differences between predictions with and without rounded weights.

    Attributes
    ----------
    weights : str
        The precision.
    largest, usual : float
        Largest and root mean square difference of a prediction, in the unit of the series.
    spread : float
        Standard deviation of the predictions themselves, to compare with.
    """

    weights: str
    largest: float
    usual: float
    spread: float

    def __str__(self) -> str:
        """Return a summary in one line."""
        return (
            f"weights of {self.weights}: predictions differ by {self.largest:.2g} at most, "
            f"{self.usual:.2g} as a rule; they spread by {self.spread:.2g}"
        )


def check_precision(
    model: Model,
    weights: str = "float16",
    steps: int = 200,
    seed: int = 0,
    data: ArrayLike | None = None,
) -> PrecisionCheck:
    """Measure what narrow weights cost: predictions with and without rounding, in float64.

    Inputs of plain LSTMs are rounded too, where this processor multiplies numbers of that kind.

    Parameters
    ----------
    model : Model
    weights : {"float16", "bfloat16", "int8"}
        As for :class:`streamlstm.Engine`.
    steps : int
        How many random observations each of 16 streams gets.
    seed : int
        Seed of the observations, which are normal in the unit that the input scaling gives.
    data : float[T, F], optional
        Observations of one stream, to measure with these instead: finite, in the unit of the
        series. What rounding costs depends on how far they reach.

    Returns
    -------
    PrecisionCheck
        The largest and the usual difference, next to the spread of the predictions.

    Raises
    ------
    ModelError
        If there is no such precision, or a weight is too large for it.
    ShapeError, BadValueError
        If ``data`` is not as described, ``steps`` is not an integer from 1 to a million, or
        ``seed`` not one of 0 or more.
    """
    if not isinstance(model, Model):
        raise ModelError(f"model: expected a Model, got {type(model).__name__}.")
    check_precision_name(weights)
    if type(steps) is not int or not 1 <= steps <= MAX_STEPS:
        raise BadValueError(
            f"steps: expected an integer from 1 to {MAX_STEPS}, got {shown(steps)}."
        )
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise BadValueError(f"seed: expected an integer of 0 or more, got {shown(seed)}.")
    X = _random(model, steps, seed) if data is None else _given(model, data)
    exact, rounded = _run(model, X), _run(round_weights(model, weights), X, weights)
    difference = rounded - exact
    return PrecisionCheck(
        weights,
        float(np.abs(difference).max()),
        float(np.sqrt(np.mean(difference**2))),
        float(exact.std()),
    )


def _random(model: Model, steps: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    X = model.input_scaling.invert(rng.standard_normal((steps, STREAMS, model.input_size)))
    if model.categories:
        X[..., 0] = rng.integers(0, model.categories, X.shape[:2])
    return np.asarray(X)


def _given(model: Model, data: ArrayLike) -> NDArray[np.float64]:
    F, wanted = model.input_size, f"data: expected numbers of shape [T, {model.input_size}]"
    try:
        X = np.asarray(data, np.float64)
    except (TypeError, ValueError) as error:
        raise BadValueError(f"{wanted}, got {shown(data)}.") from error
    if X.ndim != 2 or X.shape[1] != F or not len(X):
        raise ShapeError(f"{wanted}, T of 1 or more, got {list(X.shape)}.")
    known = np.isfinite(X)
    if model.categories:
        known[:, 0] &= np.isin(X[:, 0], np.arange(model.categories))
    if not known.all():
        n, column = np.argwhere(~known)[0].tolist()
        kind = f"categories from 0 to {model.categories - 1}" if model.categories else "numbers"
        raise BadValueError(
            f"data: expected finite {kind if not column else 'numbers'}, got {X[n, column]} in row "
            f"{n}, {model.inputs[column]}."
        )
    return X[:, None]


def _run(model: Model, X: NDArray[np.float64], weights: str = "float32") -> NDArray[np.float64]:
    alone = model.of_changes().with_online(None)
    backend = ReferenceBackend(alone, np.float64, weights)
    rows = np.tile(initial_row(alone).astype(np.float64), (X.shape[1], 1))
    Y = np.empty((*X.shape[:2], model.output_size))
    for t in range(len(X)):
        backend.step_block(rows, np.arange(X.shape[1]), X[t], Y[t])
    return Y
