"""A step of an LSTM cell in TensorFlow Lite (LiteRT), with the state passed in and out.

The cell is written here as such a file has it, so that TensorFlow itself is not needed: a product
of weights and [x, h], the four gates, and the new state; what the converter makes of Keras' cell,
with one product in place of two.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from streamlstm.network.layers import LSTM


def tflite_step(
    layer: LSTM, weights: dict[str, Any], X: Any
) -> Callable[[], tuple[Any, ...]] | None:
    """Return a step of the cell for X[B, F], on one thread, starting from zero state.

    None where the package is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return None
    interpreter = Interpreter(model_content=_file(layer, weights, len(X)), num_threads=1)
    interpreter.allocate_tensors()
    details = (*interpreter.get_input_details(), *interpreter.get_output_details())
    x, h, c, h_out, c_out = (interpreter.tensor(detail["index"]) for detail in details)
    x()[:], h()[:], c()[:] = X, 0, 0

    def step() -> tuple[Any, ...]:
        interpreter.invoke()
        after = h_out().copy()  # no view of its arrays may live while it runs
        h()[:], c()[:] = after, c_out()
        return (after,)

    return step


class _Graph:
    """The tensors and operators of a file, as they are added."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]  # the first is that of tensors without content
        self.model.operatorCodes, self.model.subgraphs = [], [self.graph]
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, shape: Sequence[int], content: Any = None) -> int:
        """Add a tensor, a constant if there is content; return its number."""
        tensor = self.schema.TensorT()
        number = len(self.graph.tensors)
        tensor.name, tensor.shape, tensor.buffer = f"t{number}", np.array(shape, np.int32), 0
        tensor.type = self.schema.TensorType.FLOAT32
        if content is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(content.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
            if content.dtype == np.int32:
                tensor.type = self.schema.TensorType.INT32
        self.graph.tensors.append(tensor)
        return number

    def operator(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any
    ) -> int:
        """Add an operator, with the options that the schema names after it; return its output."""
        operator, code = self.schema.OperatorT(), self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = code.builtinCode, 1
        operator.opcodeIndex = len(self.model.operatorCodes)
        self.model.operatorCodes.append(code)
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array(outputs, np.int32)
        kind = "".join(part.capitalize() for part in name.split("_")) + "Options"
        if hasattr(self.schema, f"{kind}T"):
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
            operator.builtinOptions = getattr(self.schema, f"{kind}T")()
            for option, value in options.items():
                setattr(operator.builtinOptions, option, value)
        self.graph.operators.append(operator)
        return outputs[0]

    def file(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """Return the file of the graph between such tensors."""
        import flatbuffers

        self.graph.inputs, self.graph.outputs = (
            np.array(numbers, np.int32) for numbers in (inputs, outputs)
        )
        builder = flatbuffers.Builder(0)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _file(layer: LSTM, weights: dict[str, Any], B: int) -> bytes:
    """Return the file of the cell for B streams: x, h and c in, h and c out."""
    H, F = layer.hidden_size, layer.input_size
    graph = _Graph()

    def apply(name: str, *inputs: int) -> int:
        return graph.operator(name, inputs, [graph.tensor((B, H))])

    x, h, c = (graph.tensor((B, width)) for width in (F, H, H))
    both = np.concatenate([weights["weight_ih"], weights["weight_hh"]], axis=1, dtype=np.float32)
    W = graph.tensor(both.shape, both)
    bias = graph.tensor((4 * H,), np.asarray(weights["bias"], np.float32))
    axis = graph.tensor((), np.array(1, np.int32))
    joined = graph.operator("CONCATENATION", [x, h], [graph.tensor((B, F + H))], axis=1)
    sums = graph.operator("FULLY_CONNECTED", [joined, W, bias], [graph.tensor((B, 4 * H))])
    parts = [graph.tensor((B, H)) for _ in range(4)]
    graph.operator("SPLIT", [axis, sums], parts, numSplits=4)
    i, f, o = (apply("LOGISTIC", parts[n]) for n in (0, 1, 3))
    g = apply("TANH", parts[2])
    new = apply("ADD", apply("MUL", f, c), apply("MUL", i, g))
    return graph.file([x, h, c], [apply("MUL", o, apply("TANH", new)), new])
