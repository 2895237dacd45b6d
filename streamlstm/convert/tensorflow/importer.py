"""Conversion of TensorFlow Lite files and frozen graphs of TensorFlow."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from os import PathLike, fspath
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...files import check_path
from ...network.model import Model
from ..common.error_context import AdvisedError, refusals
from ..common.evaluator import Evaluator
from ..common.files import first_bytes
from ..common.frameworks import first_line
from ..common.weights import Float64Array
from ..onnx.confirm_loops import COMPARED, OTHER, UNSEEN, check_rows, random_rows
from ..onnx.importer import convert_graph
from .execute import run_graph
from .graph import MALFORMED, Graph
from .graph_def import read_graph_def
from .tflite import read_tflite
from .to_onnx import to_onnx_model

_ROUNDED = "without the rounding to integers between them that TensorFlow Lite does"
_OPERATIONS = "its operations, one by one in float64"


def from_tflite(path: str | PathLike[str], *, output: str | None = None, **options: Any) -> Model:
    """Convert a TensorFlow Lite file with recurrent layers, fused or written out as loops.

    Quantised weights become the numbers that they stand for, and the metadata has a note.

    Parameters
    ----------
    path : path
    output : str, optional
        Name of the tensor to convert; by default the first output.
    **options
        Names, scaling, skip, horizon and metadata, as :class:`streamlstm.Model` takes them. The
        horizon is 0, no forecast, by default.

    Returns
    -------
    Model

    Raises
    ------
    ConvertError
        If the file is damaged, or an operation is not supported; the message names it.
    """
    return _convert(path, read_tflite, "TensorFlow Lite", output, options)


def from_tensorflow(
    path: str | PathLike[str], *, output: str | None = None, **options: Any
) -> Model:
    """Convert a frozen graph of TensorFlow (.pb) with recurrent layers, which are loops in it.

    Parameters
    ----------
    path : path
    output : str, optional
        Name of the tensor to convert; by default what no other operation uses.
    **options
        As for :func:`from_tflite`.

    Returns
    -------
    Model

    Raises
    ------
    ConvertError
        If the file is damaged, its variables are not in it, or an operation is not supported.
    """
    return _convert(path, read_graph_def, "TensorFlow", output, options)


Reader = Callable[[str, bytes], Graph]


def _read(path: str | PathLike[str], reader: Reader) -> Graph:
    first_bytes(path)
    with open(path, "rb") as file:
        return reader(fspath(path), file.read())


def _convert(
    path: str | PathLike[str],
    reader: Reader,
    source: str,
    output: str | None,
    options: dict[str, Any],
) -> Model:
    name = fspath(check_path(path, ConvertError, f"a graph of {source}"))
    with refusals(f"a graph of {source}", name):
        graph = _read(name, reader)
        try:
            model = to_onnx_model(graph, output)
            confirm = partial(_confirm, graph, output) if _has_loops(graph) else None
            return convert_graph(model, None, options, source, graph.notes, confirm=confirm)
        except ConvertError as error:
            text = str(error).partition(" The graph is made of ")[0].rstrip(".")
            raise ConvertError(
                f"{text}. {_made_of(graph)} Bring the Keras network that it was made from, if you "
                "have it: model.save('network.keras')."
            ) from None


def _has_loops(graph: Graph) -> bool:
    return any(op.body is not None for op in graph.operations)


def _confirm(graph: Graph, output: str | None, model: Model) -> str:
    """Return what a model was compared with: a graph that runs with its loops.

    Raises
    ------
    ConvertError
        If the graph gives something else than the layers that its loops were read as.
    """
    X = random_rows(model)
    try:
        found = evaluate(graph, X, model.output_size, output)
    except (ConvertError, *MALFORMED) as error:
        return f"{UNSEEN}: {first_line(error).rstrip('. ')}"
    if graph.rounded or check_rows(model, X, [found]):
        return COMPARED
    raise AdvisedError(OTHER)


def _made_of(graph: Graph) -> str:
    kinds = Counter(op.op for op in graph.operations if op.op not in ("Const", "NoOp", "Identity"))
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(8))
    return f"The graph of TensorFlow is made of {listed}{' and others' if len(kinds) > 8 else ''}."


def tflite_evaluators(path: str, output: str | None = None) -> Iterator[Evaluator]:
    """Yield the way to compute a TensorFlow Lite file."""
    graph = _read(path, read_tflite)
    caveat = _ROUNDED if graph.rounded else ""
    yield Evaluator(_OPERATIONS, lambda X, O: evaluate(graph, X, O, output), caveat)


def tensorflow_evaluators(path: str, output: str | None = None) -> Iterator[Evaluator]:
    """Yield the way to compute a frozen graph."""
    yield Evaluator(_OPERATIONS, lambda X, O: evaluate(_read(path, read_graph_def), X, O, output))


def evaluate(graph: Graph, X: Float64Array, O: int, output: str | None = None) -> Float64Array:
    """Compute a graph for ``X[T, F]``; return the outputs of each row, or of the last.

    Raises
    ------
    ConvertError
        If it has no output of O values, or an operation is not known.
    """
    names = graph.outputs if output is None else [
        n for n in (output, f"{output}:0") if any(n in op.outputs for op in graph.operations)
    ]  # fmt: skip
    used = {n for op in graph.leading_to(names) for n in op.inputs}
    (given, *_) = [i for i in graph.inputs if i.name in used]
    x = X.reshape(_shape(given.shape, X))
    with np.errstate(all="ignore"):
        found = run_graph(graph, {given.name: x.astype(np.int64) if given.integer else x}, names)
    for size in (len(X) * O, O):
        for value in found:
            if np.size(value) == size:
                return np.asarray(value, np.float64).reshape(-1, O)
    raise ConvertError(f"no output has {O} values")


def _shape(shape: list[int | None], X: Float64Array) -> tuple[int, ...]:
    """Return X's shape as an input's: a batch of one, and features last unless these are one."""
    T, F = X.shape
    if len(shape) == 3:
        return (1, T, F)
    return (1, T) if F == 1 and shape[-1] in (None, T) else (T, F)
