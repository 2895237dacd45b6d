"""What a graph's loops were read as, confirmed by what the graph gives for random numbers."""

from typing import Any

import numpy as np

from ...network.model import Model
from ..common.error_context import AdvisedError
from ..common.frameworks import first_line
from ..common.weights import Float64Array
from ..labels.confirm import reference_outputs
from .evaluate import layouts, runner, start_feeds

_STEPS = 12
_TOLERANCE = 3e-4  # of the largest value: graphs are float32
COMPARED = "its graph with the loops in it, run on random numbers"
UNSEEN = "no: its loops were read as layers, but not run"


def has_loops(model: Any) -> bool:
    """Return whether a graph runs step by step."""
    return any(node.op_type in ("Loop", "Scan") for node in model.graph.node)


def random_rows(model: Model) -> Float64Array:
    """Return X[T, F] for a model: whole numbers where it takes categories."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((model.window or _STEPS, model.input_size))
    if model.categories:
        X[:, 0] = rng.integers(0, model.categories, len(X))
    return X.astype(np.float32).astype(np.float64)


def check_rows(model: Model, X: Float64Array, given: list[Any]) -> bool:
    """Return whether one of several tensors is what a model computes, for all rows or the last."""
    Y = reference_outputs(model, X[None])[0]
    for value in given:
        found = np.asarray(value, np.float64)
        for rows in (len(X), 1):
            if found.size == rows * model.output_size:
                gap = np.abs(found.reshape(rows, -1) - Y[-rows:]).max()
                if gap <= _TOLERANCE * np.abs(found).max() + 1e-6:
                    return True
    return False


def confirm_loops(source: Any, model: Model) -> str:
    """Return what a model was compared with: a graph that is run with its loops.

    Parameters
    ----------
    source : onnx.ModelProto
    model : Model
        Without scaling and skip.

    Raises
    ------
    ConvertError
        If the graph gives something else.
    """
    constants = {tensor.name for tensor in source.graph.initializer}
    inputs = [value for value in source.graph.input if value.name not in constants]
    X, ran, problem = random_rows(model), False, "its input takes no series of this length"
    try:
        run = runner(source)
        for shape in layouts(inputs[0], *X.shape):
            try:
                with np.errstate(all="ignore"):
                    given = run(start_feeds(inputs, X.reshape(shape), len(X)))
            except Exception as error:  # the runtime's: this layout does not fit
                problem = first_line(error)
                continue
            ran = True
            if check_rows(model, X, given):
                return COMPARED
    except Exception as error:  # of any type, depending on what runs it
        problem = first_line(error)
    if ran:
        raise AdvisedError(OTHER)
    return f"{UNSEEN}: {problem.rstrip('. ')}"


OTHER = (
    "A loop in it takes a row a step, as a recurrent layer does, but gives other numbers than that "
    "layer: it leaves rows out, takes them in another order, or ends before the last. Leave that "
    "to the program that gives the rows, and export the layer alone."
)
