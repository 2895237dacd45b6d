"""Writes a graph of TensorFlow as one of ONNX, its loops and fused layers as recurrent nodes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..onnx.recurrent import CELL_CLIP
from ..onnx.write_cells import CellWriter
from .execute import run_operation
from .graph import Graph, Operation
from .loop_body import follow
from .operations import OPERATIONS, whole

_OPSET = 17
_NAMED = {
    "Sigmoid": "Sigmoid", "Tanh": "Tanh", "Relu": "Relu", "Softplus": "Softplus",
    "Softsign": "Softsign", "Elu": "Elu", "Selu": "Selu", "Neg": "Neg", "Exp": "Exp",
    "Sqrt": "Sqrt", "Abs": "Abs", "AddV2": "Add", "Add": "Add", "BiasAdd": "Add", "Sub": "Sub",
    "Mul": "Mul", "RealDiv": "Div", "Maximum": "Max", "Minimum": "Min", "Pow": "Pow",
    "Shape": "Shape", "Identity": "Identity", "StopGradient": "Identity", "Enter": "Identity",
    "TensorListFromTensor": "Identity", "TensorListStack": "Identity", "HardSwish": "HardSwish",
    "LoopCond": "Identity", "Snapshot": "Identity",
}  # fmt: skip
_UNROLLED = (
    "it takes the rows of the series apart, as a layer with unroll=True does, which then is no "
    "layer any more"
)
_REASONS = {
    "Unpack": _UNROLLED,
    "VAR_HANDLE": "its variables are not in the file",
    "READ_VARIABLE": "its variables are not in the file",
    "DEPTHWISE": "it is a convolution of each feature by itself",
    "BIDIRECTIONAL": "it also reads the series from its end",
    "SPACE_TO_BATCH": "it spreads rows for a convolution with dilation",
    "SpaceToBatch": "it spreads rows for a convolution with dilation",
    "SVDF": "no layer computes this",
    "REVERSE": "it turns the series around, and a live stream cannot be read from its end",
    "Reverse": "it turns the series around, and a live stream cannot be read from its end",
}


def to_onnx_model(graph: Graph, output: str | None) -> Any:
    """Return a graph of TensorFlow as an ``onnx.ModelProto``.

    Parameters
    ----------
    graph : Graph
    output : str, optional
        Name of the output to write, or of any tensor; by default each output of the graph.

    Raises
    ------
    ConvertError
        If an operation on the way to it cannot be written; the message names it.
    """
    outputs = graph.outputs if output is None else [_named(graph, output)]
    return Writer(graph).model(outputs)


def _named(graph: Graph, output: str) -> str:
    makers = {name: op for op in graph.operations for name in op.outputs}
    for name in (output, f"{output}:0"):
        if name in makers:
            return name
    ends = ", ".join(graph.outputs)
    raise ConvertError(f"the graph has no output {output!r}; it has {ends}.")


class Writer:
    """Writes the operations of a graph as nodes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants: dict[str, Any] = dict(graph.constants)
        self.makers = {name: op for op in graph.operations for name in op.outputs}
        self.nodes: list[Any] = []
        self.arrays: dict[str, Any] = {}
        self.widths: dict[str, int] = {}

    def model(self, outputs: list[str]) -> Any:
        """Return the graph that computes some tensors."""
        from onnx import TensorProto, helper, numpy_helper

        operations = self.graph.leading_to(outputs)
        for op in operations:
            self._write(op)
        inputs = []
        used = {n for op in operations for n in op.inputs} | set(outputs)
        for given in self.graph.inputs:
            if given.name in used:
                kind = TensorProto.INT32 if given.integer else TensorProto.FLOAT
                shape = [
                    f"{given.name} axis {n}" if size is None else size
                    for n, size in enumerate(given.shape)
                ]
                if not shape:
                    raise ConvertError(
                        f"the input {given.name} says nothing of its shape: freeze the graph with "
                        "the shape [None, None, F] of its placeholder"
                    )
                inputs.append(helper.make_tensor_value_info(given.name, kind, shape))
        made = {name for node in self.nodes for name in node.output}
        wanted = {name for node in self.nodes for name in node.input} - made
        known = {n: a for n, a in self.constants.items() if n in wanted} | self.arrays
        results = [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs if n in made
        ]
        # Shapes are int32 in TensorFlow and int64 in ONNX, and the two are not multiplied.
        wide = {n: whole(a) if np.asarray(a).dtype == np.int32 else a for n, a in known.items()}
        tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in wide.items()]
        if not results or not inputs:
            raise ConvertError("the output does not depend on an input of the graph")
        graph = helper.make_graph(self.nodes, "graph", inputs, results, tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])

    def _write(self, op: Operation) -> None:
        """Write an operation, or compute it if its inputs are constants."""
        if op.op in ("Const", "NoOp") or op.op.startswith("TensorListReserve"):
            return
        if op.inputs and op.op != "While" and all(
            not n or n in self.constants for n in op.inputs
        ):  # fmt: skip
            run_operation(op, self.constants)
            return
        if op.op in _NAMED:
            self.node(_NAMED[op.op], op, op.inputs[: 2 if op.op in _TWO else 1])
        elif op.op in _WRITERS:
            _WRITERS[op.op](self, op)
        else:
            reason = next(
                (text for word, text in _REASONS.items() if word in op.op),
                "no layer computes this",
            )
            raise ConvertError(f"{op} cannot be converted: {reason}.")

    def node(self, kind: str, op: Operation, inputs: list[str], **attributes: Any) -> None:
        """Append a node that computes the first output of an operation."""
        self.add(kind, inputs, op.outputs[:1], **attributes)

    def add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """Append a node."""
        from onnx import helper

        name = outputs[0].removesuffix(":0")
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))

    def constant(self, name: str, values: Any) -> str:
        """Add a constant; return its name."""
        self.arrays[name] = np.asarray(values)
        return name

    def value(self, op: Operation, place: int) -> Any:
        """Return a constant input of an operation.

        Raises
        ------
        ConvertError
            If it is computed.
        """
        if op.inputs[place] not in self.constants:
            raise ConvertError(f"{op}: expected its input {op.inputs[place]} to be a constant.")
        return self.constants[op.inputs[place]]

    def width(self, name: str) -> int:
        """Return the length of the last axis of a tensor; 0 if that does not show."""
        if name in self.widths or name in self.constants:
            return self.widths.get(name) or int((np.shape(self.constants[name]) or (0,))[-1])
        op = self.makers.get(name)
        if op is None:
            shapes = {given.name: given.shape for given in self.graph.inputs}
            return (shapes.get(name) or [0])[-1] or 0
        if "MatMul" in op.op and op.inputs[1] in self.constants:
            turned = op.attributes.get("transpose_b") or op.attributes.get("adj_y")
            return int(self.constants[op.inputs[1]].shape[-2 if turned else -1])
        if op.op == "Fill":
            return self._last_number(op.inputs[0])
        places = {"TensorArrayScatterV3": 2, "TensorListStack": 0}
        return self.width(op.inputs[places.get(op.op, 0)]) if op.inputs else 0

    def _last_number(self, name: str) -> int:
        """Return the last number of a tensor that holds a shape; 0 if it is computed."""
        if name in self.constants:
            return int(np.asarray(self.constants[name]).reshape(-1)[-1])
        op = self.makers.get(name)
        if op is None or op.op not in ("Pack", "ConcatV2", "Identity"):
            return 0
        return self._last_number(op.inputs[-1 if op.op != "ConcatV2" else -2])

    def loop(self, op: Operation) -> None:
        """Write the layers that a While steps through its rows."""
        try:
            found = follow(op, self.constants, self.width)
        except ConvertError as error:
            raise ConvertError(f"the loop {op.name!r}: {str(error).rstrip('.')}.") from None
        writer = CellWriter(op.name, _OPSET)
        every, last = writer.write(found.cells, found.series, op.inputs)
        for n, name in last.items():
            writer.rename(name, op.outputs[n])
        for n, (cell, is_every) in found.collected.items():
            tensor = every[cell]
            if not is_every:
                axis = self.constant(f"{op.outputs[n]} axis", whole([0]))
                tensor = f"{op.outputs[n]} row"
                self.nodes += writer.nodes
                writer.nodes = []
                self.add("Unsqueeze", [last[found.cells[cell].h], axis], [tensor])
            writer.rename(tensor, op.outputs[n])
            self.widths[op.outputs[n]] = found.cells[cell].weight_h.shape[1]
        self.nodes += writer.nodes

    def fused(self, op: Operation) -> None:
        """Write a layer of TensorFlow Lite that runs over a series by itself."""
        x, time_major = op.inputs[0], bool(op.attributes.get("time_major"))
        if not time_major:
            x = f"{op.name} rows"
            self.add("Transpose", op.inputs[:1], [x], perm=[1, 0, 2])
        kind, arrays, options = (_lstm_arrays if "LSTM" in op.op else _rnn_arrays)(self, op)
        names = [self.constant(f"{op.name} {n}", a[None]) for n, a in arrays.items()]
        blank = ["", "", ""] if "P" in arrays else []
        inputs = [x, *names[:3], *blank, *names[3:]]
        self.add(kind, inputs, [f"{op.name} Y"], **options)
        axis = self.constant(f"{op.name} axis", whole([1]))
        done = op.outputs[0] if time_major else f"{op.name} every"
        self.add("Squeeze", [f"{op.name} Y", axis], [done])
        if not time_major:
            self.add("Transpose", [done], op.outputs[:1], perm=[1, 0, 2])
        self.widths[op.outputs[0]] = int(options["hidden_size"])


def _lstm_arrays(writer: Writer, op: Operation) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the arrays of a fused LSTM, whose gates are i, f, c, o in the file."""
    names = [*op.inputs, *[""] * 24][:24]
    if names[16] or names[17]:
        raise ConvertError(f"{op} cannot be converted: it has a projection.")
    if any(names[20:24]):
        raise ConvertError(f"{op} cannot be converted: it has layer normalisation in its gates.")
    values = [None if not n else writer.constants.get(n) for n in names]
    coupled = values[1] is None
    W, R, B = (
        np.concatenate([_or_like(values[k], values[k + 1], k, first) for k in (first, first + 3,
                        first + 1, first + 2)])
        for first in (1, 5, 12)
    )  # fmt: skip
    arrays = {"W": W, "R": R, "B": np.concatenate([B, np.zeros_like(B)])}
    H = R.shape[1]
    if any(v is not None for v in values[9:12]):
        i, f, o = (np.zeros(H) if v is None else v for v in values[9:12])
        arrays["P"] = np.concatenate([i, o, f])
    act = op.attributes.get("activation") or "Affine"
    options = {"hidden_size": H, "activations": ["Sigmoid", act, act]}
    if op.attributes.get("cell_clip"):
        options[CELL_CLIP] = float(op.attributes["cell_clip"])
    if coupled:
        options["input_forget"] = 1
    return "LSTM", arrays, options


def _or_like(value: Any, other: Any, _place: int, _first: int) -> Any:
    """Return an array, or zeros for the input gate of coupled gates."""
    return np.zeros_like(other) if value is None else value


def _rnn_arrays(writer: Writer, op: Operation) -> tuple[str, dict[str, Any], dict[str, Any]]:
    W, R, b = (writer.value(op, n) for n in (1, 2, 3))
    arrays = {"W": W, "R": R, "B": np.concatenate([b, np.zeros_like(b)])}
    act = op.attributes.get("activation") or "Affine"
    return "RNN", arrays, {"hidden_size": len(R), "activations": [act]}


_TWO = {
    *("AddV2", "Add", "BiasAdd", "Sub", "Mul", "RealDiv", "Maximum", "Minimum", "Pow"),
}
_WRITERS: dict[str, Callable[[Writer, Operation], None]] = {
    **OPERATIONS,
    "While": Writer.loop,
    **dict.fromkeys(("lite.FUSED_LSTM", "lite.FUSED_RNN"), Writer.fused),
}
