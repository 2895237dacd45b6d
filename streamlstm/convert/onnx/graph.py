"""An ONNX graph, run once on shapes and constants: what each tensor is, from input to output."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ...errors import ConvertError, ModelError
from . import (
    norms,
    ops,
    select,
    shape_ops,
)
from .cells import read_function
from .flow import Activate, Atom, Axis, Flow, Function, Problem, Scale, Stack, Value
from .node import Node, shortest
from .recurrent import recurrent

Handler = Callable[..., Any]


def _activation(name: str, *defaults: tuple[str, float]) -> Handler:
    """Return the handler of a node that is an activation; its attributes are the parameters."""

    def handler(node: Node, x: Flow) -> Flow:
        values = [shortest(node.attribute(key, value)) for key, value in defaults]
        text = f"{name}({', '.join(map(repr, values))})" if values else name
        return x.append(Activate(text, str(node)))

    return handler


def _function(function: Callable[[Any], Any]) -> Handler:
    """Return the handler of a node that is part of an activation taken apart."""
    return lambda node, x: x.append(Function(function, str(node)))


def _negative(node: Node, x: Flow) -> Flow:
    return x.append(Scale(-1, 0, str(node)))


def _erf(x: Any) -> Any:
    from math import erf

    return np.vectorize(erf, otypes=[np.float64])(x)


HANDLERS: dict[str, Handler] = {
    "Relu": _activation("relu"),
    "Tanh": _activation("tanh"),
    "Sigmoid": _activation("sigmoid"),
    "Softsign": _activation("softsign"),
    "Softplus": _activation("softplus"),
    "Mish": _activation("mish"),
    "HardSwish": _activation("hard_silu"),
    "HardSigmoid": _activation("hard_sigmoid", ("alpha", 0.2), ("beta", 0.5)),
    "LeakyRelu": _activation("leaky_relu", ("alpha", 0.01)),
    "ThresholdedRelu": _activation("thresholded_relu", ("alpha", 1.0)),
    "Elu": _activation("elu", ("alpha", 1.0)),
    "Exp": _function(np.exp),
    "Erf": _function(_erf),
    "Log": _function(np.log),
    "Sqrt": _function(np.sqrt),
    "Abs": _function(np.abs),
    "Reciprocal": _function(np.reciprocal),
    "Neg": _negative,
    "Selu": ops.selu,
    "Celu": ops.celu,
    "Gelu": ops.gelu,
    "Swish": ops.swish,
    "Where": ops.where,
    "PRelu": ops.prelu,
    "Clip": ops.clip,
    "Softmax": ops.softmax,
    "LogSoftmax": ops.softmax,
    "LayerNormalization": norms.layer_norm,
    "BatchNormalization": norms.batch_norm,
    "Scaler": ops.scaler,
    "MatMul": ops.matmul,
    "Gemm": ops.gemm,
    **dict.fromkeys((*ops.ARITHMETIC, "Sum"), ops.arithmetic),
    **dict.fromkeys(norms.REDUCTIONS, norms.reduce),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), recurrent),
    **dict.fromkeys(("Identity", "Dropout"), shape_ops.identity),
    **dict.fromkeys(("Cast", "CastLike"), shape_ops.cast),
    "Shape": shape_ops.shape,
    "Transpose": shape_ops.transpose,
    "Squeeze": shape_ops.squeeze,
    "Unsqueeze": shape_ops.unsqueeze,
    "Reshape": shape_ops.reshape,
    "Flatten": shape_ops.flatten,
    "Expand": shape_ops.expand,
    "Gather": shape_ops.gather,
    "Slice": select.slice_,
    "Split": select.split,
    "Concat": shape_ops.concat,
}
_STACKS = ("Gather", "Slice")  # the nodes that may take one of several layers' states
_DOMAINS = ("", "ai.onnx.ml", "com.microsoft")
_MOVES = {
    *("Identity", "Cast", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Slice", "Gather"),
    *("Split", "Concat", "Expand", "Flatten"),
}


class Graph:
    """A graph and the value of each of its tensors.

    Parameters
    ----------
    model : onnx.ModelProto
    inputs : mapping of str to Flow
        What each input of the graph is taken to be.
    constants : mapping of str to array
        The initializers.
    initial : mapping of str to list of float
        What a stream starts from, by the names of inputs that are states; zeros if not there.
    """

    def __init__(
        self,
        model: Any,
        inputs: Mapping[str, Flow],
        constants: Mapping[str, Any],
        initial: Mapping[str, Sequence[float]],
    ) -> None:
        self.outputs = [value.name for value in model.graph.output]
        self._initial = initial
        self._opsets = {
            "" if entry.domain == "ai.onnx" else entry.domain: entry.version
            for entry in model.opset_import
        }
        self._imports = list(model.opset_import)
        self._producers: dict[str, Node] = {}
        self.values: dict[str, Value] = {**inputs, **constants}
        self._run(model.graph.node)

    def _run(self, protos: Sequence[Any]) -> None:
        for proto in protos:
            node = Node(proto, self._opsets)
            self._producers |= dict.fromkeys(filter(None, node.outputs), node)
            try:
                outputs = self._outputs(node)
            except ConvertError as error:
                outputs = [Problem(error)] * len(node.outputs)
            except ModelError as error:
                outputs = [Problem(ConvertError(f"{node}: {error}"))] * len(node.outputs)
            except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
                problem = ConvertError(f"{node} is not as ONNX defines it: {error}.")
                outputs = [Problem(problem)] * len(node.outputs)
            for name, value in zip(node.outputs, outputs, strict=False):
                self.values[name] = value

    def _outputs(self, node: Node) -> list[Value]:
        """Return what a node gives, for each output."""
        inputs = [self.values.get(name) if name else None for name in node.inputs]
        missing = [n for n in node.inputs if n and n not in self.values]
        if missing:
            raise ConvertError(f"{node}: its input {missing[0]!r} is given by nothing before it.")
        if node.op == "If" and isinstance(inputs[0], np.ndarray):
            return self._branch(node, bool(inputs[0]))
        if isinstance(inputs[0] if inputs else None, Problem):
            # Before a state is looked at: one of the size of this input has the same problem.
            return [inputs[0]] * len(node.outputs)
        function = read_function(node)
        if node.op in ("LSTM", "GRU", "RNN") and not node.domain:
            inputs = self._without_state(node, inputs)
        elif function is not None:
            inputs = inputs[:1] + inputs[function.states + 1 :]
        for value in inputs:
            if isinstance(value, Problem):
                return [value] * len(node.outputs)
        if node.op in ("Loop", "Scan"):  # what runs inside is not among its inputs
            raise ConvertError(f"{node} cannot be taken over: {_reason(node.op)}.")
        if all(value is None or isinstance(value, np.ndarray) for value in inputs):
            return self._fold(node)
        if function is not None:
            return function.outputs(node, self._initial, *inputs)
        if node.domain not in _DOMAINS or node.op not in HANDLERS:
            raise ConvertError(f"{node} cannot be taken over: {_reason(node.op)}.")
        if any(isinstance(value, Stack) for value in inputs) and node.op not in _STACKS:
            raise ConvertError(f"{node} computes with the states of several layers at once.")
        outputs = HANDLERS[node.op](node, *inputs)
        return outputs if isinstance(outputs, list) else [outputs]

    def _branch(self, node: Node, condition: bool) -> list[Value]:
        """Run the branch of an If whose condition is a constant."""
        branch = node.attribute("then_branch" if condition else "else_branch")
        for initializer in branch.initializer:
            self.values[initializer.name] = to_array(initializer)
        self._run(branch.node)
        return [self.values[output.name] for output in branch.output]

    def _without_state(self, node: Node, inputs: list[Value]) -> list[Value]:
        """Leave out a state that is passed in: a stream starts from zeros and keeps its own."""
        for place, what in ((4, "sequence_lens"), (5, "initial_h"), (6, "initial_c")):
            if place >= len(inputs) or inputs[place] is None:
                continue
            if place == 4 or not isinstance(inputs[place], np.ndarray):
                sources = self._passed_in(node, inputs, place, what)
                known = [self._initial[name] for name in sources if name in self._initial]
                inputs[place] = np.array(known)[None] if place > 4 and known else None
        return inputs

    def _passed_in(self, node: Node, inputs: list[Value], place: int, what: str) -> set[str]:
        """Return the inputs of the graph that a state comes from."""
        computed, sources = self._sources(node.inputs[place])
        main = inputs[0].origin if isinstance(inputs[0], Flow) else None
        if computed or main in sources:
            raise ConvertError(
                f"{node}: expected {what} to be a constant or an input of the graph; here it is "
                f"computed ({computed or main})."
            )
        return sources

    def _sources(self, name: str) -> tuple[str, set[str]]:
        """Return a node that computes on the way to a tensor, if any, and the inputs behind it."""
        value = self.values.get(name)
        node = self._producers.get(name)
        if not name or isinstance(value, np.ndarray):
            return "", set()
        if node is None:
            return "", {name}
        if node.op not in _MOVES:
            return str(node), set()
        found = [self._sources(source) for source in node.inputs]
        computed = next((text for text, _ in found if text), "")
        return computed, set().union(*(inputs for _, inputs in found))

    def _fold(self, node: Node) -> list[Value]:
        """Compute a node of which every input is constant."""
        from onnx import TensorProto, helper
        from onnx.reference import ReferenceEvaluator

        names = [name for name in dict.fromkeys(node.inputs) if name]
        inputs = [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in names]
        outputs = [
            helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in node.outputs if n
        ]
        graph = helper.make_graph([node.proto], "constant", inputs, outputs)
        model = helper.make_model(graph, opset_imports=self._imports)
        try:
            found = ReferenceEvaluator(model).run(None, {n: self.values[n] for n in names})
        except Exception as error:  # whatever the evaluator's operator stumbles over
            raise ConvertError(f"{node}: cannot compute this constant: {error}.") from None
        values = dict(zip([n for n in node.outputs if n], map(np.asarray, found), strict=True))
        return [values.get(name) for name in node.outputs]


def to_array(tensor: Any) -> Any:
    """Return an initializer as an array.

    Raises
    ------
    ConvertError
        If its data stands in a file that is not there.
    """
    from onnx import TensorProto, numpy_helper

    if tensor.data_location == TensorProto.EXTERNAL:
        raise ConvertError(
            f"the weights {tensor.name!r} stand in a file of their own: give the path of the "
            ".onnx file, with that file beside it."
        )
    try:
        return numpy_helper.to_array(tensor)
    except (TypeError, ValueError) as error:
        raise ConvertError(
            f"{tensor.name!r} {tuple(tensor.dims)}: its data does not fit its shape: {error}."
        ) from None


def make_input(name: str, sizes: Sequence[int], feature: int | None, integer: bool) -> Flow:
    """Return a graph's input as a flow.

    Parameters
    ----------
    name : str
    sizes : sequence of int
        Of its axes.
    feature : int, optional
        Which of them is the features; none if every value is a feature by itself.
    integer : bool
        Whether it holds integers.
    """
    axes: tuple[Axis, ...] = tuple((Atom(size),) if size > 1 else () for size in sizes)
    axis = () if feature is None else axes[feature]
    columns = tuple(range(prod(atom.size for atom in axis)))
    return Flow(axes, axis[0] if axis else None, (), name, columns, integer=integer)


def _reason(op: str) -> str:
    if op in ("Loop", "Scan"):
        return (
            "a loop written out by the exporter; export the recurrent layers as LSTM, GRU or RNN "
            "nodes, or bring the network from its own framework"
        )
    if op == "ReverseSequence":
        return "it turns the sequence around, and a live stream cannot be read from its end"
    if op.startswith(("Conv", "MaxPool", "AveragePool", "GlobalAverage")):
        return "it looks at several steps at once"
    if "Quant" in op or "Integer" in op:
        return "it is quantized: export the network in floating point"
    if "Attention" in op:
        return "it attends to the whole past"
    return "what it computes has no layer here"
