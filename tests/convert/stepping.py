"""Helpers for the tests of converters: step a model, measure the difference."""

from typing import Any

import numpy as np

from streamlstm import Engine, Model

TOLERANCE = 1e-5
BACKENDS = ["reference", "cpu"]


def run(model: Model, X: np.ndarray[Any, Any], backend: str = "reference") -> np.ndarray[Any, Any]:
    """Step one stream through X[T, F]; return Y[T, O]."""
    engine = Engine(model, 2, backend)
    return np.stack([engine.step("one", x) for x in np.asarray(X, np.float32)])


def difference(
    model: Model, X: np.ndarray[Any, Any], Y: np.ndarray[Any, Any], backend: str = "reference"
) -> float:
    """Return the largest difference of a model's steps from Y[T, O]."""
    return float(np.max(np.abs(run(model, X, backend) - Y)))
