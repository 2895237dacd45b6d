"""Symbolic execution of an ONNX graph: the value of each tensor, from input to output."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import ConvertError, ModelError
from .constants import compute
from .file import to_array
from .handlers import HANDLERS
from .lengths import Lengths, follow_lengths, read_lengths
from .local_functions import read_function
from .node import Node
from .tensor import StackedStates, SymbolicTensor, Unsupported, Value

_SELECTING = ("Gather", "Slice")  # nodes that may select one of several layers' states
_DOMAINS = ("", "ai.onnx.ml", "com.microsoft")
_REARRANGING = {
    *("Identity", "Cast", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Slice", "Gather"),
    *("Split", "Concat", "Expand", "Flatten"),
}


class Interpreter:
    """Computes the value of each tensor: a constant, a symbolic tensor, or why it is unsupported.

    Parameters
    ----------
    model : onnx.ModelProto
    inputs : mapping of str to SymbolicTensor
        The inputs of the graph.
    constants : mapping of str to array
        The initializers.
    initial : mapping of str to list of float
        Initial states by the names of inputs that are states; zeros by default.

    Attributes
    ----------
    outputs : list of str
        Names of the graph's outputs.
    values : dict of str to Value
        By the names of tensors.
    notes : list of str
        What was left out and has no effect on a stream.
    """

    def __init__(
        self,
        model: Any,
        inputs: Mapping[str, SymbolicTensor],
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
        self.notes: list[str] = []
        self.values: dict[str, Value] = {**inputs, **read_lengths(model, inputs), **constants}
        self._run(model.graph.node)

    def _run(self, protos: Sequence[Any]) -> None:
        for proto in protos:
            node = Node(proto, self._opsets)
            self._producers |= dict.fromkeys(filter(None, node.outputs), node)
            try:
                outputs = self._outputs(node)
            except ConvertError as error:
                outputs = [Unsupported(error)] * len(node.outputs)
            except ModelError as error:
                outputs = [Unsupported(ConvertError(f"{node}: {error}"))] * len(node.outputs)
            except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
                problem = ConvertError(f"{node} is not as ONNX defines it: {error}.")
                outputs = [Unsupported(problem)] * len(node.outputs)
            for name, value in zip(node.outputs, outputs, strict=False):
                self.values[name] = value

    def _outputs(self, node: Node) -> list[Value]:
        """Return the value of each output of a node."""
        inputs = [self.values.get(name) if name else None for name in node.inputs]
        missing = [n for n in node.inputs if n and n not in self.values]
        if missing:
            raise ConvertError(
                f"{node}: its input {missing[0]!r} is not the output of an earlier node."
            )
        if node.op == "If" and isinstance(inputs[0], np.ndarray):
            return self._run_branch(node, bool(inputs[0]))
        if isinstance(inputs[0] if inputs else None, Unsupported):
            # Checked before the states: their size may depend on this input.
            return [inputs[0]] * len(node.outputs)
        function = read_function(node)
        if node.op in ("LSTM", "GRU", "RNN") and not node.domain:
            inputs = self._drop_states(node, inputs)
        elif function is not None:
            inputs = inputs[:1] + inputs[function.states + 1 :]
        for value in inputs:
            if isinstance(value, Unsupported):
                return [value] * len(node.outputs)
        if any(isinstance(value, Lengths) for value in inputs):
            return [follow_lengths(node, inputs)]
        if node.op in ("Loop", "Scan"):  # inputs of the inner graph are not inputs of the node
            raise ConvertError(f"{node} cannot be converted: {_reason(node.op)}.")
        if all(value is None or isinstance(value, np.ndarray) for value in inputs):
            return self._fold_constant(node)
        if function is not None:
            return function.outputs(node, self._initial, *inputs)
        if node.domain not in _DOMAINS or node.op not in HANDLERS:
            raise ConvertError(f"{node} cannot be converted: {_reason(node.op)}.")
        if any(isinstance(value, StackedStates) for value in inputs) and node.op not in _SELECTING:
            raise ConvertError(f"{node} computes with the states of several layers at once.")
        outputs = HANDLERS[node.op](node, *inputs)
        return outputs if isinstance(outputs, list) else [outputs]

    def _run_branch(self, node: Node, condition: bool) -> list[Value]:
        """Run the branch of an If whose condition is a constant."""
        branch = node.attribute("then_branch" if condition else "else_branch")
        for initializer in branch.initializer:
            self.values[initializer.name] = to_array(initializer)
        self._run(branch.node)
        return [self.values[output.name] for output in branch.output]

    def _drop_states(self, node: Node, inputs: list[Value]) -> list[Value]:
        """Drop states that are inputs of the graph: a stream keeps its own."""
        for index, what in ((4, "sequence_lens"), (5, "initial_h"), (6, "initial_c")):
            if index >= len(inputs) or inputs[index] is None:
                continue
            if index == 4:
                self._note_lengths(node, inputs[4])
                inputs[4] = None
            elif not isinstance(inputs[index], np.ndarray):
                sources = self._state_inputs(node, inputs, index, what)
                known = [self._initial[name] for name in sources if name in self._initial]
                inputs[index] = np.array(known)[None] if known else None
        return inputs

    def _note_lengths(self, node: Node, value: Value) -> None:
        """Say what sequence_lens means in a stream."""
        if isinstance(value, np.ndarray):
            rows = " and ".join(str(n) for n in sorted(set(value.reshape(-1).tolist())))
            text = f"{node} ends its sequences after {rows} rows (a constant sequence_lens)"
        elif isinstance(value, Lengths):
            text = f"{node} ends its sequences after {value.name} rows"
        else:
            return
        self.notes.append(f"{text}; a stream has no such end: each row is the last one so far.")

    def _state_inputs(self, node: Node, inputs: list[Value], index: int, what: str) -> set[str]:
        """Return the inputs of the graph from which a state comes."""
        computed, sources = self._sources(node.inputs[index])
        main = inputs[0].origin if isinstance(inputs[0], SymbolicTensor) else None
        if computed or main in sources:
            raise ConvertError(
                f"{node}: expected {what} to be a constant or an input of the graph; here it is "
                f"computed ({computed or main})."
            )
        return sources

    def _sources(self, name: str) -> tuple[str, set[str]]:
        """Return a node that computes a tensor, if any, and the inputs on which it depends."""
        value = self.values.get(name)
        node = self._producers.get(name)
        if not name or isinstance(value, np.ndarray):
            return "", set()
        if node is None:
            return "", {name}
        if node.op not in _REARRANGING:
            return str(node), set()
        found = [self._sources(source) for source in node.inputs]
        computed = next((text for text, _ in found if text), "")
        return computed, set().union(*(inputs for _, inputs in found))

    def _fold_constant(self, node: Node) -> list[Value]:
        """Compute a node whose inputs are all constants."""
        return [*compute(node, self.values, self._imports)]


def _reason(op: str) -> str:
    if op in ("Loop", "Scan"):
        return (
            "a loop written out by the exporter; export the recurrent layers as LSTM, GRU or RNN "
            "nodes, or bring the network from its own framework"
        )
    if op == "ReverseSequence":
        return "it turns the sequence around, and a live stream cannot be read from its end"
    if op.startswith("Conv"):
        return "it looks at several steps at once"
    if "Quant" in op or "Integer" in op:
        return "it is quantized: export the network in floating point"
    if "Attention" in op:
        return "it attends to the whole past"
    return "no layer computes this"
