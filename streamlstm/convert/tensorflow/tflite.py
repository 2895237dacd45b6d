"""Reading of TensorFlow Lite files into graphs of TensorFlow's operations."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..common.frameworks import first_line
from .flatbuffer import Table
from .graph import MALFORMED, Graph, Input, Operation
from .lite_names import NAMES

_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 6: "?", 7: "<i2", 9: "i1", 10: "<f8"}
_INTEGERS = (2, 3, 4, 7, 9)
_ACTIVATIONS = {0: "", 1: "Relu", 2: "ReluN1To1", 3: "Relu6", 4: "Tanh"}
# Operations whose name in TensorFlow is another one; others are written alike.
_OTHER_NAMES = {
    "ADD": "AddV2", "SUB": "Sub", "MUL": "Mul", "DIV": "RealDiv", "LOGISTIC": "Sigmoid",
    "TANH": "Tanh", "RELU": "Relu", "RELU6": "Relu6", "RELU_0_TO_1": "Relu0To1", "ELU": "Elu",
    "LEAKY_RELU": "LeakyRelu", "SOFTMAX": "Softmax", "LOG_SOFTMAX": "LogSoftmax",
    "RESHAPE": "Reshape", "TRANSPOSE": "Transpose", "STRIDED_SLICE": "StridedSlice",
    "SLICE": "Slice", "SPLIT": "Split", "SPLIT_V": "SplitV", "GATHER": "GatherV2", "PACK": "Pack",
    "UNPACK": "Unpack", "SQUEEZE": "Squeeze", "EXPAND_DIMS": "ExpandDims", "SHAPE": "Shape",
    "TILE": "Tile", "FILL": "Fill", "MEAN": "Mean", "SUM": "Sum", "SQRT": "Sqrt", "RSQRT": "Rsqrt",
    "SQUARE": "Square", "SQUARED_DIFFERENCE": "SquaredDifference", "EXP": "Exp", "NEG": "Neg",
    "ABS": "Abs", "MAXIMUM": "Maximum", "MINIMUM": "Minimum", "CAST": "Cast", "LESS": "Less",
    "LOGICAL_AND": "LogicalAnd", "WHILE": "While", "HARD_SWISH": "HardSwish", "GELU": "Gelu",
    "QUANTIZE": "Identity", "DEQUANTIZE": "Identity", "BATCH_MATMUL": "BatchMatMulV2",
    "PAD": "Pad", "PADV2": "PadV2", "REVERSE_V2": "ReverseV2", "REDUCE_MAX": "Max",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "lite.FUSED_LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "lite.FUSED_RNN",
}  # fmt: skip


def read_tflite(name: str, content: bytes) -> Graph:
    """Read a TensorFlow Lite file.

    Weights that are quantised become the numbers that they stand for.

    Raises
    ------
    ConvertError
        If it is damaged.
    """
    try:
        return _Reader(content).graph(0)
    except MALFORMED as error:
        raise ConvertError(
            f"{name}: the file is damaged ({first_line(error)}): convert the network again with "
            "tf.lite.TFLiteConverter, or bring the Keras network that it was made from."
        ) from None


class _Reader:
    def __init__(self, content: bytes) -> None:
        model = Table.root(content)
        self.codes, self.graphs, self.buffers = (model.tables(n) for n in (1, 2, 4))
        self.content, self.quantised = content, set[str]()
        self.described = "TFLITE_METADATA" in (entry.text(0) for entry in model.tables(6))
        if not self.graphs:
            raise ValueError("it has no graph")

    def graph(self, number: int, prefix: str = "") -> Graph:
        """Read a subgraph; the names of its tensors get a prefix."""
        table = self.graphs[number]
        tensors = table.tables(0)
        names = [f"{prefix}{n}:{tensor.text(3)}" for n, tensor in enumerate(tensors)]
        constants = {}
        for tensor, text in zip(tensors, names, strict=True):
            array = self._values(tensor)
            if array is not None:
                constants[text] = array
        operations: list[Operation] = []
        for place, op in enumerate(table.tables(3)):
            operations += self._operation(op, names, f"{prefix}{place}", tensors)
        inputs = [self._input(tensors[n], names[n]) for n in table.array(1, "<i4")]
        outputs = [names[n] for n in table.array(2, "<i4")]
        notes = []
        rounds = {n for t, n in zip(tensors, names, strict=True) if self._is_quantised(t)}
        rounded = bool(rounds - constants.keys())
        if self.quantised and not prefix:
            kinds = " and ".join(sorted(self.quantised))
            notes.append(
                f"Weights are quantised ({kinds}): they became the numbers that they stand for."
            )
        if rounded and not prefix:
            notes.append(
                "TensorFlow Lite rounds to integers what this file computes between its layers, "
                "which is not done here: its interpreter's outputs differ by that"
                f"{self._steps(table, tensors)}."
            )
        if self.described and not prefix:
            notes.append(
                "The file describes its inputs (TFLITE_METADATA), which is not read: if that has "
                "a normalisation, give it as input_scaling= (--input-mean, --input-scale)."
            )
        return Graph(operations, inputs, outputs, constants, notes, rounded)

    def _steps(self, table: Table, tensors: list[Table]) -> str:
        """Return to what steps outputs are rounded, if the file says it."""
        ends = {int(n) for n in table.array(2, "<i4")}
        for op in table.tables(3):  # DEQUANTIZE may come last
            if ends & {int(n) for n in op.array(2, "<i4")}:
                ends |= {int(n) for n in op.array(1, "<i4")[:1]}
        for n in ends:
            found = tensors[n].table(4)
            if found is not None and len(found.array(2, "<f4")):
                scale = float(found.array(2, "<f4")[0])
                return f", several steps of {scale:.3g} in the output"
        return ""

    def _input(self, tensor: Table, name: str) -> Input:
        shape = tensor.array(7, "<i4") if len(tensor.array(7, "<i4")) else tensor.array(0, "<i4")
        kind = tensor.number(1, "<b")
        integer = kind in _INTEGERS and not self._is_quantised(tensor)
        return Input(name, [int(n) if n > 0 else None for n in shape], integer)

    @staticmethod
    def _is_quantised(tensor: Table) -> bool:
        quantisation = tensor.table(4)
        return quantisation is not None and len(quantisation.array(2, "<f4")) > 0

    def _values(self, tensor: Table) -> np.ndarray[Any, Any] | None:
        """Return the numbers of a constant; None if it is none."""
        buffer, kind = self.buffers[tensor.number(2, "<I")], tensor.number(1, "<b")
        data = buffer.array(0, "u1").tobytes()
        if not data and buffer.number(2, "<Q") and buffer.number(1, "<Q") > 1:
            start = buffer.number(1, "<Q")
            data = self.content[start : start + buffer.number(2, "<Q")]
        if not data and tensor.number(5, "?") and kind == 0:
            return np.zeros(tensor.array(0, "<i4"), np.float32)  # a state, before the first row
        if not data or kind not in _TYPES:
            return None
        array = np.frombuffer(data, _TYPES[kind]).reshape(tensor.array(0, "<i4"))
        quantisation = tensor.table(4)
        if kind == 1:
            self.quantised.add("float16")
        if quantisation is None or kind not in _INTEGERS or not self._is_quantised(tensor):
            return array
        self.quantised.add(np.dtype(_TYPES[kind]).name)
        scale = quantisation.array(2, "<f4").astype(np.float64)
        zero = quantisation.array(3, "<i8")
        zero = zero if len(zero) == len(scale) else np.zeros(len(scale))
        shape = [1] * array.ndim
        if len(scale) > 1:
            shape[quantisation.number(6)] = len(scale)
        return (array.astype(np.float64) - zero.reshape(shape)) * scale.reshape(shape)

    def _operation(
        self, table: Table, names: list[str], place: str, tensors: list[Table]
    ) -> list[Operation]:
        """Read an operation; what it does besides follows as operations of its own."""
        code = self.codes[table.number(0, "<I")]
        kind = NAMES.get(max(code.number(0, "<b"), code.number(3)), "")
        kind = kind or f"operator {max(code.number(0, '<b'), code.number(3))}"
        inputs = [names[n] if n >= 0 else "" for n in table.array(0 + 1, "<i4")]
        outputs = [names[n] for n in table.array(2, "<i4")]
        options = table.table(4)
        custom = code.text(1)
        if kind == "CUSTOM":
            return [Operation(custom.removeprefix("Flex"), f"{custom} {place}", inputs, outputs)]
        name = f"{outputs[0] if outputs else kind}"
        attributes = _read_options(kind, options)
        then = _ACTIVATIONS.get(attributes.pop("then", 0), "SignBit")
        found: list[Operation] = []
        if kind == "WHILE":
            bodies = [self.graph(attributes[key], f"{place}.{key}.") for key in ("cond", "body")]
            return [Operation("While", name, inputs, outputs, {}, bodies[1], bodies[0])]
        if kind == "FULLY_CONNECTED":
            found, inputs = _connected(name, inputs, attributes, tensors, names)
            op = "Identity"
        elif kind == "CONCATENATION":
            op, attributes = "ConcatV2", {"axis": attributes.get("axis", 0)}
        else:
            op = _OTHER_NAMES.get(kind, f"lite.{kind}")
        before = (
            outputs[:1] if not then or op.startswith("lite.FUSED") else [f"{name} before {then}"]
        )
        found.append(Operation(op, name, inputs, before + outputs[1:], attributes))
        if before != outputs[:1]:
            found.append(Operation(then, f"{name} {then}", before, outputs[:1]))
        elif then and op.startswith("lite.FUSED"):
            attributes["activation"] = then
        return found


def _connected(
    name: str,
    inputs: list[str],
    attributes: dict[str, Any],
    tensors: list[Table],
    names: list[str],
) -> tuple[list[Operation], list[str]]:
    """Write a FULLY_CONNECTED as product and sum; unless told otherwise it has two axes."""
    found, x = [], inputs[0]
    rank = len(tensors[names.index(x)].array(0, "<i4"))
    if rank > 2 and not attributes.get("keep"):
        width = int(tensors[names.index(inputs[1])].array(0, "<i4")[-1])
        found.append(
            Operation("Reshape", f"{name} rows", [x, ""], [f"{name} rows"], {"to": [-1, width]})
        )
        x = f"{name} rows"
    found.append(
        Operation("MatMul", f"{name} product", [x, inputs[1]], [f"{name} product"],
                  {"transpose_b": True})
    )  # fmt: skip
    if len(inputs) > 2 and inputs[2]:
        found.append(
            Operation("BiasAdd", f"{name} sum", [f"{name} product", inputs[2]], [f"{name} sum"])
        )
    return found, found[-1].outputs


_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
_Options = Callable[[Table], dict[str, Any]]


def _then(table: Table) -> dict[str, Any]:
    """Return the activation of an operation whose only option it is."""
    return {"then": table.number(0, "<b")}


def _padding(table: Table) -> str:
    return "VALID" if table.number(0, "<b") else "SAME"


def _pool_options(table: Table) -> dict[str, Any]:
    return {
        "padding": _padding(table),
        "strides": [table.number(2), table.number(1)],
        "ksize": [table.number(4), table.number(3)],
        "then": table.number(5, "<b"),
    }


_OPTIONS: dict[str, _Options] = {
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV"), _then),
    "FULLY_CONNECTED": lambda t: {"then": t.number(0, "<b"), "keep": t.number(2, "?")},
    "CONCATENATION": lambda t: {"axis": t.number(0), "then": t.number(1, "<b")},
    "RESHAPE": lambda t: {"to": t.array(0, "<i4").tolist()},
    "STRIDED_SLICE": lambda t: {key: t.number(n) for n, key in enumerate(_MASKS)},
    "SPLIT": lambda t: {"num_split": t.number(0)},
    "GATHER": lambda t: {"axis": t.number(0)},
    "PACK": lambda t: {"axis": t.number(1)},
    "UNPACK": lambda t: {"axis": t.number(1)},
    "SQUEEZE": lambda t: {"squeeze_dims": t.array(0, "<i4").tolist()},
    "MEAN": lambda t: {"keep_dims": t.number(0, "?")},
    "SUM": lambda t: {"keep_dims": t.number(0, "?")},
    "BATCH_MATMUL": lambda t: {"adj_x": t.number(0, "?"), "adj_y": t.number(1, "?")},
    "REDUCE_MAX": lambda t: {"keep_dims": t.number(0, "?")},
    "CONV_2D": lambda t: {
        "padding": _padding(t),
        "strides": [t.number(2), t.number(1)],
        "then": t.number(3, "<b"),
        "dilations": [t.number(5) or 1, t.number(4) or 1],
    },
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), _pool_options),
    "LEAKY_RELU": lambda t: {"alpha": t.number(0, "<f")},
    "WHILE": lambda t: {"cond": t.number(0), "body": t.number(1)},
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lambda t: {
        "then": t.number(0, "<b"),
        "cell_clip": t.number(1, "<f"),
        "projection_clip": t.number(2, "<f"),
        "time_major": t.number(3, "?"),
    },
    "UNIDIRECTIONAL_SEQUENCE_RNN": lambda t: {
        "time_major": t.number(0, "?"),
        "then": t.number(1, "<b"),
    },
}


def _read_options(kind: str, table: Table | None) -> dict[str, Any]:
    reader = _OPTIONS.get(kind)
    return {} if reader is None or table is None else reader(table)
