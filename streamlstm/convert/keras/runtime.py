"""Evaluation of Keras networks by an installed Keras."""

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..common.weights import Float64Array
from .inputs import InputPart


def installed_keras(major: int) -> str | None:
    """Return the name of an installed Keras with this major version; None without one."""
    for name in ("tf_keras", "keras") if major == 2 else ("keras",):
        if find_spec(name) and version(name.replace("_", "-")).startswith(f"{major}."):
            return name
    return None


def run_keras(
    module: str, path: str, X: Float64Array, O: int, parts: Sequence[InputPart] = ()
) -> Float64Array:
    """Compute a Keras file for ``X[T, F]`` by an installed Keras; ``parts`` are its inputs."""
    model = import_module(module).models.load_model(path, compile=False)
    shape = model.input_shape
    if parts:
        return _of_several(model, X, O, parts)

    def run(x: Float64Array) -> Any:
        batch = x.astype(np.float32)
        if len(shape) == 2 and (len(x) > 1 or shape[-1] in (None, len(x))):
            batch = batch[:, 0]
        return model.predict_on_batch(batch[None])

    if len(shape) == 2 and shape[1] == X.shape[1] > 1:  # no sequence: the rows are a batch
        return np.asarray(model.predict_on_batch(X.astype(np.float32)), np.float64)
    if len(shape) == 3 and shape[1] == 1:  # one step a call; recurrent layers are stateful then
        steps = [model.predict_on_batch(x[None, None].astype(np.float32)) for x in X]
        return np.stack([np.asarray(y, np.float64).reshape(O) for y in steps])
    if len(shape) == 3 and shape[1] == len(X):  # a window, of which the last output counts
        return np.asarray(run(X), np.float64).reshape(-1, O)[-1:]
    return _every_step(run, X, O)


def _of_several(model: Any, X: Float64Array, O: int, parts: Sequence[InputPart]) -> Float64Array:
    """Compute a network of several inputs for a window, or for each beginning of a series."""

    def run(x: Float64Array) -> Any:
        given = []
        for part in parts:
            own = x[:, part.columns].astype(np.float32)
            own = own if part.is_series else own[-1]
            given.append(own.reshape(1, *(n or len(x) for n in part.shape[1:])))
        return model.predict_on_batch(given)

    if len(parts) != len(model.inputs):
        raise ConvertError("expected a network whose inputs are all parts of an observation.")
    if any(part.is_series and part.shape[1] == len(X) for part in parts):
        return np.asarray(run(X), np.float64).reshape(-1, O)[-1:]
    return _every_step(run, X, O)


def _every_step(run: Callable[[Float64Array], Any], X: Float64Array, O: int) -> Float64Array:
    """Return Y[T, O] of a network that returns the outputs for all steps or the last one.

    Parameters
    ----------
    run : callable
        Returns T O or O values for a sequence, in any shape.
    X : float64[T, F]
    O : int
    """
    found = np.asarray(run(X), np.float64)
    if found.size == len(X) * O:
        return found.reshape(len(X), O)
    if found.size != O:
        raise ConvertError(f"expected {len(X)} x {O} or {O} values, got {found.size}.")
    each = [np.asarray(run(X[: t + 1]), np.float64).reshape(O) for t in range(len(X) - 1)]
    return np.stack([*each, found.reshape(O)])
