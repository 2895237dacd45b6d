"""Evaluation of graphs by ONNX Runtime, or by ONNX's reference evaluator."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..common.evaluator import Evaluator
from ..common.frameworks import first_line, require
from ..common.weights import Float64Array
from .inputs import is_length
from .parts import ending_at

_CELLS = ("LSTM", "GRU", "RNN")
_USUAL = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh")}
Run = Callable[[dict[str, Any]], list[Any]]


def evaluators(path: str, output: str | None = None) -> Iterator[Evaluator]:
    """Yield the way to compute a graph; ``output`` as for :func:`evaluate`."""
    yield Evaluator("ONNX", lambda X, O: evaluate(path, X, O, output))


def evaluate(path: str, X: Float64Array, O: int, output: str | None = None) -> Float64Array:
    """Compute a graph for ``X[T, F]``, as a sequence or step by step with its state passed on.

    A graph does not say which of its axes is time. All layouts of the observations that its shapes
    allow are tried, until one has outputs that do not depend on later observations. ``output`` is
    the name of the output to return; by default the first with O values.

    Raises
    ------
    ConvertError
        If no layout fits.
    """
    onnx = require("onnx", "compute an ONNX graph")
    model = ending_at(onnx.load(path), output)
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    run, problem = runner(path if output is None else model), ""
    for layout in layouts(inputs[0], *X.shape):
        try:
            return _outputs(run, graph, inputs, layout, X, O, output)
        except Exception as error:  # the runtime's: this layout does not fit
            problem = problem or first_line(error)
    raise ConvertError(problem or _no_layout(inputs[0]))


def _no_layout(value: Any) -> str:
    """Return why a graph cannot run on a sequence of observations."""
    dims = _dims(value)
    return (
        f"{value.name} has the fixed shape {dims}: the length of the series must be left open to "
        "be compared (torch.onnx.export: dynamic_axes or dynamic_shapes)"
        if None not in dims[:-1]
        else f"{value.name} with shape {dims} takes no series of observations"
    )


def runner(source: Any) -> Run:
    """Return what runs a graph, or the file of one, in ONNX Runtime if that is installed."""
    if find_spec("onnxruntime") is not None:
        onnxruntime = require("onnxruntime", "compute an ONNX graph")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        given = source if isinstance(source, str) else source.SerializeToString()
        session = onnxruntime.InferenceSession(given, options, ["CPUExecutionProvider"])
        return lambda feeds: list(session.run(None, feeds))
    return reference_runner(_for_reference(source))


def _for_reference(source: Any) -> Any:
    """Return a graph as ONNX's own evaluator needs it to compute what ONNX defines.

    It puts what a Loop collects in each step behind each other, and not on an axis of its own.

    Raises
    ------
    ConvertError
        If it has recurrent nodes with activations, which that evaluator ignores.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(onnx.load(source) if isinstance(source, str) else source)
    for node in model.graph.node:
        if node.op_type == "Loop":
            _stack_collected(node, next(e.version for e in model.opset_import if not e.domain))
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        usual = _USUAL.get(node.op_type)
        names = tuple(name.decode().lower() for name in given.get("activations", ()))
        if usual and (names not in ((), usual) or given.get("clip") or given.get("input_forget")):
            raise ConvertError(
                f"ONNX's own evaluator computes {node.op_type} {node.name!r} with the usual "
                "activations only: pip install onnxruntime, and compare again"
            )
    return model


def _stack_collected(loop: Any, opset: int) -> None:
    """Give what a Loop collects an axis to be collected along."""
    from onnx import helper, numpy_helper

    (body,) = (a.g for a in loop.attribute if a.name == "body")
    for n in range(len(loop.input) - 1, len(body.output)):
        before, inputs, options = body.output[n].name, [body.output[n].name], {"axes": [0]}
        if opset >= 13:
            body.initializer.append(numpy_helper.from_array(np.array([0]), f"{before} axis"))
            inputs, options = [before, f"{before} axis"], {}
        body.node.append(helper.make_node("Unsqueeze", inputs, [f"{before} row"], **options))
        body.output[n].name = f"{before} row"


def reference_runner(model: Any) -> Run:
    """Return what runs a graph, or the file of one, in ONNX's reference evaluator."""
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun

    class GlobalMaxPool(OpRun):  # type: ignore[misc]
        """The maximum over all axes behind those of batch and features, which its own is not."""

        op_domain = ""

        def _run(self, x: Any) -> tuple[Any]:
            return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)

    evaluator = ReferenceEvaluator(model, new_ops=[GlobalMaxPool])

    def run(feeds: dict[str, Any]) -> list[Any]:
        # OpenBLAS raises the flag for products of finite numbers, which says nothing
        # (docs/decisions/openblas-invalid-value-warning.md).
        with np.errstate(invalid="ignore"):
            return list(evaluator.run(None, feeds))

    return run


def _dims(value: Any) -> list[int | None]:
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]


def layouts(value: Any, T: int, F: int) -> Iterator[tuple[int, ...]]:
    """Yield the possible shapes of T observations, T as -1; single steps last."""
    dims, rank = _dims(value), len(value.type.tensor_type.shape.dim)
    for shape in ((1, -1, F), (-1, 1, F), (-1, F), (1, -1), (-1, 1), (-1,), (1, 1, F), (1, F)):
        fits = len(shape) == rank and all(
            want in (have, -1) or have is None for have, want in zip(dims, shape, strict=True)
        )
        open_time = -1 not in shape or dims[shape.index(-1)] in (None, T) if fits else False
        if open_time and (len(shape) > 2 or shape[-1] == F or F == 1):
            yield shape


def _outputs(
    run: Run,
    graph: Any,
    inputs: list[Any],
    shape: tuple[int, ...],
    X: Float64Array,
    O: int,
    output: str | None,
) -> Float64Array:
    states = start_feeds(inputs, X[:0], 0)
    del states[inputs[0].name]
    for name in [value.name for value in inputs[1:] if is_length(value)]:
        del states[name]
    names = [value.name for value in graph.output]

    def run_graph(x: Float64Array) -> list[Any]:
        return run(start_feeds(inputs, x.reshape(shape), len(x)) | states)

    window = -1 in shape and _dims(inputs[0])[shape.index(-1)] is not None
    asked = X if window else X[:1]
    index = names.index(output) if output else _output_index(run_graph(asked), O, len(asked))
    if -1 not in shape:
        if not states and any(node.op_type in _CELLS for node in graph.node):
            raise ConvertError(
                "it takes one step and has a state that cannot be passed on: leave the length of "
                "the series open when exporting it"
            )
        return _stepped(run_graph, states, names, index, X, O)
    whole = np.asarray(run_graph(X)[index], np.float64)
    if window:  # its last output counts
        return whole.reshape(-1, O)[-1:]
    if whole.size == len(X) * O:
        half = np.asarray(run_graph(X[: len(X) // 2])[index], np.float64).reshape(-1, O)
        whole = whole.reshape(-1, O)
        alone = np.asarray(run_graph(X[-1:])[index], np.float64).reshape(-1)
        # An axis of streams gives the last row alone the same, up to the order of sums.
        streams = np.allclose(alone, whole[-1], rtol=1e-5, atol=1e-6 * np.abs(whole).max())
        if np.allclose(half, whole[: len(half)], atol=1e-4) and not streams:
            return whole
        raise ConvertError("its outputs depend on later observations")
    each = [np.asarray(run_graph(X[: t + 1])[index], np.float64).reshape(O) for t in range(len(X))]
    return np.stack(each)


def start_feeds(inputs: list[Any], x: Float64Array, rows: int) -> dict[str, Any]:
    """Return what a graph is given: the first input, lengths, and states of zeros."""
    types = {value.name: _type(value) for value in inputs}
    feeds = {inputs[0].name: x.astype(types[inputs[0].name])}
    for value in inputs[1:]:
        size = [dim or 1 for dim in _dims(value)]
        made = np.array([rows]) if is_length(value) else np.zeros(size)
        feeds[value.name] = made.astype(types[value.name])
    return feeds


def _output_index(values: list[Any], O: int, T: int) -> int:
    """Return the first output that has O values, for the last row or for each."""
    sizes = [np.asarray(value).size for value in values]
    return next(n for size in (O, T * O) for n, found in enumerate(sizes) if found == size)


def _stepped(
    run_graph: Callable[[Float64Array], list[Any]],
    states: dict[str, Any],
    names: list[str],
    index: int,
    X: Float64Array,
    O: int,
) -> Float64Array:
    """Step through X; state outputs are the next state inputs, in their order."""
    rows = []
    others = [n for n in range(len(names)) if n != index and states]
    for x in X:
        values = run_graph(x[None])
        rows.append(np.asarray(values[index], np.float64).reshape(O))
        for name, n in zip(states, others, strict=True):
            states[name] = np.asarray(values[n]).reshape(states[name].shape)
    return np.stack(rows)


def _type(value: Any) -> Any:
    from onnx.helper import tensor_dtype_to_np_dtype

    return tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
