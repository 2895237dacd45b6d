"""What ONNX Runtime, or ONNX's own evaluator, answers for a graph."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..common.weights import Float64Array, first_line, require

_CELLS = ("LSTM", "GRU", "RNN")
Run = Callable[[dict[str, Any]], list[Any]]


def by_onnx(path: str, X: Float64Array, O: int, output: str | None = None) -> Float64Array:
    """Compute a graph for ``X[T, F]``, as a sequence or step by step with its state passed on.

    A graph does not say which of its axes is time. Every way to lay the observations out is tried
    that its shapes allow, and the one is taken whose answers do not depend on what comes later.
    ``output`` names the output that is compared; it is the first of O values if left out.

    Raises
    ------
    ConvertError
        If the graph takes none of them.
    """
    onnx = require("onnx", "compute an ONNX graph")
    graph = onnx.load(path).graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    run, problem = _runner(path), _no_layout(inputs[0])
    for lay in _layouts(inputs[0], X.shape[1]):
        try:
            return _answers(run, graph, inputs, lay, X, O, output)
        except Exception as error:  # the runtime's: this layout does not fit
            problem = first_line(error)
    raise ConvertError(problem)


def _no_layout(value: Any) -> str:
    """Say why a graph cannot be given as many steps as are compared."""
    dims = _dims(value)
    return (
        f"{value.name} has the fixed shape {dims}: the length of the series must be left open to "
        "be compared (torch.onnx.export: dynamic_axes or dynamic_shapes)"
        if None not in dims[:-1]
        else f"{value.name} with shape {dims} takes no series of observations"
    )


def _runner(path: str) -> Run:
    if find_spec("onnxruntime") is not None:
        onnxruntime = require("onnxruntime", "compute an ONNX graph")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        return lambda feeds: list(session.run(None, feeds))
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(path)
    return lambda feeds: list(evaluator.run(None, feeds))


def _dims(value: Any) -> list[int | None]:
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]


def _layouts(value: Any, F: int) -> Iterator[tuple[int, ...]]:
    """Yield shapes for T observations, T as -1, that the input may take; single steps last."""
    dims, rank = _dims(value), len(value.type.tensor_type.shape.dim)
    for shape in ((1, -1, F), (-1, 1, F), (-1, F), (1, -1), (-1, 1), (-1,), (1, 1, F), (1, F)):
        fits = len(shape) == rank and all(
            want in (have, -1) or have is None for have, want in zip(dims, shape, strict=True)
        )
        open_time = -1 not in shape or dims[shape.index(-1)] is None if fits else False
        if open_time and (len(shape) > 2 or shape[-1] == F or F == 1):
            yield shape


def _answers(
    run: Run,
    graph: Any,
    inputs: list[Any],
    shape: tuple[int, ...],
    X: Float64Array,
    O: int,
    output: str | None,
) -> Float64Array:
    types = {value.name: _type(value) for value in inputs}
    states = {
        value.name: np.zeros([dim or 1 for dim in _dims(value)], types[value.name])
        for value in inputs[1:]
    }
    names = [value.name for value in graph.output]

    def ask(x: Float64Array) -> list[Any]:
        return run({inputs[0].name: x.reshape(shape).astype(types[inputs[0].name]), **states})

    place = names.index(output) if output else _place(ask(X[:1]), O)
    if -1 not in shape:
        if not states and any(node.op_type in _CELLS for node in graph.node):
            raise ConvertError(
                "it takes one step and has a memory that cannot be passed on: leave the length of "
                "the series open when exporting it"
            )
        return _stepped(ask, states, names, place, X, O)
    whole = np.asarray(ask(X)[place], np.float64)
    if whole.size == len(X) * O:
        half = np.asarray(ask(X[: len(X) // 2])[place], np.float64).reshape(-1, O)
        whole = whole.reshape(-1, O)
        alone = np.asarray(ask(X[-1:])[place], np.float64).reshape(-1)
        if np.allclose(half, whole[: len(half)], atol=1e-4) and not np.array_equal(
            alone, whole[-1]
        ):
            return whole
        raise ConvertError("its answers do not run along the sequence")
    each = [np.asarray(ask(X[: t + 1])[place], np.float64).reshape(O) for t in range(len(X))]
    return np.stack(each)


def _place(given: list[Any], O: int) -> int:
    return next(n for n, value in enumerate(given) if np.asarray(value).size == O)


def _stepped(
    ask: Callable[[Float64Array], list[Any]],
    states: dict[str, Any],
    names: list[str],
    place: int,
    X: Float64Array,
    O: int,
) -> Float64Array:
    """Pass the states from each answer to the next question, in the order in which they stand."""
    rows = []
    others = [n for n in range(len(names)) if n != place and states]
    for x in X:
        given = ask(x[None])
        rows.append(np.asarray(given[place], np.float64).reshape(O))
        for name, n in zip(states, others, strict=True):
            states[name] = np.asarray(given[n]).reshape(states[name].shape)
    return np.stack(rows)


def _type(value: Any) -> Any:
    from onnx.helper import tensor_dtype_to_np_dtype

    return tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
