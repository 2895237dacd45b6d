"""What was found of a graph, confirmed by what the graph gives for random numbers."""

from typing import Any

import numpy as np

from ....errors import ConvertError
from ...common.frameworks import first_line
from ...common.weights import Float64Array
from ...labels.confirm import largest_gap
from ..evaluate import runner
from ..recurrent import CELL_CLIP
from .found import FoundGraph

_SCALES = (1.0, 0.05, 20.0)  # of the numbers on which both are compared
_TOLERANCE = 3e-4  # of the largest value: graphs and models are float32
_COMPARED = "its graph, run on random numbers of several sizes"
_NODES = "no: its nodes were read one by one, but not run"


def confirm(model: Any, given: Any, found: FoundGraph) -> str:
    """Return what was compared; refuse what gives other numbers than the graph.

    They are small and large, of both signs.
    """
    made = found.builder().build("ONNX", **found.options)
    if made.input_size != found.layout.width:
        raise ConvertError(f"it takes {made.input_size} of {found.layout.width} features.")
    names = [value.name for value in model.graph.output]
    if any(a.name == CELL_CLIP for node in model.graph.node for a in node.attribute):
        return f"{_NODES}: no runtime of ONNX knows the limits of a cell of TensorFlow Lite"
    try:
        run = runner(model)
    except ConvertError as error:  # by ONNX's own evaluator: only ONNX Runtime can run it
        return f"{_NODES}: {error}"
    except NotImplementedError as error:
        return _not_run(error)
    except Exception as error:  # of any type, depending on what runs it
        raise ConvertError(f"the graph cannot be run: {first_line(error)}.") from None
    finite = False
    for seed, scale in enumerate(_SCALES, 1):
        X = _draw(found, made.categories, seed, scale)
        try:
            with np.errstate(all="ignore"):
                expected = run({given.name: found.layout.arranged(_as_input(X, given))})
        except NotImplementedError as error:
            return _not_run(error)
        except Exception as error:  # the runtime's
            raise ConvertError(f"the graph cannot be run: {first_line(error)}.") from None
        both = largest_gap(
            made,
            found.output,
            X,
            np.asarray(expected[names.index(found.name)], np.float64),
            found.layout.windowed,
        )
        finite = finite or both is not None
        if both is not None and not both[0] <= _TOLERANCE * both[1] + 1e-6:
            raise ConvertError(
                f"for random numbers of size {scale:g} the graph gives other ones than its "
                f"layers, by up to {both[0]:.2g}."
            )
    return _COMPARED if finite else f"{_NODES} on random numbers that it has finite outputs for"


def _not_run(error: NotImplementedError) -> str:
    """Return that ONNX's own evaluator, which is all there is, cannot compute a graph."""
    why = first_line(error).rstrip(". ")
    return (
        f"{_NODES}: ONNX's own evaluator cannot compute it ({why}); pip install onnxruntime, and "
        "compare"
    )


def _draw(found: FoundGraph, categories: int, seed: int, scale: float) -> Float64Array:
    rng, layout = np.random.default_rng(seed), found.layout
    X = rng.standard_normal((layout.streams, layout.rows, layout.width)) * scale
    if categories:
        X[..., 0] = rng.integers(0, categories, X.shape[:2])
    return X.astype(np.float32).astype(np.float64)


def _as_input(X: Float64Array, given: Any) -> Any:
    from onnx.helper import tensor_dtype_to_np_dtype

    return X.astype(tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type))
