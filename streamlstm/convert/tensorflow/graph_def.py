"""Reading of frozen graphs of TensorFlow (GraphDef, .pb)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..common.frameworks import first_line
from .frames import close_frames
from .graph import MALFORMED, Graph, Input, Operation, needed
from .protobuf import Message

_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 19: "<f2"}
_VALUES = {1: (5, "<f4"), 2: (6, "<f8"), 9: (10, "i"), 10: (11, "i"), 19: (13, "i")}
_NO_OUTPUT = ("NoOp", "Const", "Exit", "While", "NextIteration", "Assert", "LoopCond")
_LISTS = ("Split", "SplitV", "Unpack", "While", "StatelessWhile", "IdentityN")


def read_graph_def(name: str, content: bytes) -> Graph:
    """Read a frozen graph.

    Raises
    ------
    ConvertError
        If it is damaged, or its variables are not in it.
    """
    try:
        return _read(name, Message(content))
    except MALFORMED as error:
        raise ConvertError(
            f"{name}: the file is damaged ({first_line(error)}): freeze the graph again, or bring "
            "the Keras network that it was made from."
        ) from None


def _read(name: str, whole: Message) -> Graph:
    functions = {f.message(1).text(1): f for f in whole.message(2).messages(1)}
    operations, constants, inputs = _nodes(whole.messages(1), functions)
    variables = [op for op in operations if op.op in ("VariableV2", "VarHandleOp", "Variable")]
    if variables:
        raise ConvertError(
            f"{name}: its variables, such as {variables[0].name}, are not in the file: freeze the "
            "graph (convert_variables_to_constants), or bring the Keras network: "
            "model.save('network.keras')."
        )
    operations = close_frames(operations)
    used = {n for op in operations for n in op.inputs}
    ends = [op for op in operations if not used & set(op.outputs) and op.op not in _NO_OUTPUT]
    all_ = Graph(operations, inputs, [], constants)
    given = {i.name for i in inputs}
    ends = [
        op
        for op in ends
        if any(given.intersection(needed(o)) for o in all_.leading_to(op.outputs[:1]))
    ]
    named = [op for op in ends if op.op == "Identity"] or ends  # freezing writes them so
    return Graph(operations, inputs, [op.outputs[0] for op in named], constants)


def _nodes(
    nodes: list[Message], functions: Mapping[str, Message], arguments: tuple[str, ...] = ()
) -> tuple[list[Operation], dict[str, Any], list[Input]]:
    operations, constants, inputs = [], {}, []
    kinds = {node.text(1): node.text(2) for node in nodes}
    counts: dict[str, int] = {}
    for node in nodes:
        for text in node.texts(3):
            tensor = _tensor(text, kinds, arguments)
            counts[tensor.rpartition(":")[0]] = max(
                counts.get(tensor.rpartition(":")[0], 0), int(tensor.rpartition(":")[2] or 0)
            )
    for node in nodes:
        name, op = node.text(1), node.text(2)
        attributes = {a.text(1): a.message(2) for a in node.messages(5)}
        if op == "Const":
            constants[f"{name}:0"] = _array(attributes["value"].message(8))
        elif op in ("Placeholder", "PlaceholderWithDefault"):
            empty = Message(b"")
            shape = attributes.get("shape", empty).message(7)
            kind = attributes.get("dtype", empty).number(6)
            sizes = [dim.number(1) for dim in shape.messages(2)]
            axes = [size if size > 0 else None for size in sizes]
            inputs.append(Input(f"{name}:0", axes, kind in (3, 4, 5, 6, 9)))
            continue
        given = [_tensor(t, kinds, arguments) for t in node.texts(3) if not t.startswith("^")]
        count = max(counts.get(name, 0) + 1, len(given) if op in _LISTS[3:] else 1)
        body, condition = (
            _function(functions[attributes[key].message(10).text(1)], functions)
            if op in ("While", "StatelessWhile")
            else None
            for key in ("body", "cond")
        )
        operations.append(
            Operation(
                "While" if body else op, name, given, [f"{name}:{n}" for n in range(count)],
                {key: _attribute(value) for key, value in attributes.items()}, body, condition,
            )
        )  # fmt: skip
    return operations, constants, inputs


def _tensor(text: str, kinds: Mapping[str, str], arguments: tuple[str, ...]) -> str:
    """Return the name of a tensor as ``node:number``; functions write ``node:output:number``."""
    name, *rest = text.removeprefix("^").split(":")
    if name in arguments:
        return f"{name}:0"
    return f"{name}:{rest[-1] if rest else 0}" if name in kinds else f"{text}:0"


def _function(function: Message, functions: Mapping[str, Message]) -> Graph:
    signature = function.message(1)
    arguments = tuple(a.text(1) for a in signature.messages(2))
    nodes = function.messages(3)
    operations, constants, _ = _nodes(nodes, functions, arguments)
    kinds = {node.text(1): node.text(2) for node in nodes}
    returned = {pair.text(1): pair.text(2) for pair in function.messages(4)}
    outputs = [_tensor(returned[out.text(1)], kinds, arguments) for out in signature.messages(3)]
    prefix = f"{signature.text(1)}/"

    def own(name: str) -> str:
        return prefix + name

    operations = [
        Operation(
            op.op, own(op.name), [own(n) for n in op.inputs], [own(n) for n in op.outputs],
            op.attributes, op.body, op.condition,
        )
        for op in operations
    ]  # fmt: skip
    return Graph(
        operations,
        [Input(own(f"{name}:0"), []) for name in arguments],
        [own(name) for name in outputs],
        {own(name): array for name, array in constants.items()},
    )


def _attribute(value: Message) -> Any:
    """Return an attribute as a plain value; None for one that is not needed."""
    if 2 in value.fields:
        return value.text(2)
    if 3 in value.fields or 5 in value.fields:
        return value.number(3) or value.number(5)
    if 4 in value.fields:
        return value.floating(4)
    if 1 in value.fields:
        return value.message(1).array(3, "i").tolist()
    return value.number(6) if 6 in value.fields else None


def _array(tensor: Message) -> np.ndarray[Any, Any]:
    kind = tensor.number(1)
    shape = [dim.number(1) for dim in tensor.message(2).messages(2)]
    if kind not in _TYPES:
        return np.array(0.0)  # a text, which no arithmetic uses
    data, count = tensor.data(4), int(np.prod(shape))
    if not count:
        return np.zeros(shape, _TYPES[kind])
    if data:
        array = np.frombuffer(data, _TYPES[kind])
    else:
        field, form = _VALUES.get(kind, (7, "i"))
        array = tensor.array(field, form)
        if kind == 19:
            array = array.astype("<u2").view("<f2")
        array = array.astype(_TYPES[kind])
        if not len(array):
            array = np.zeros(1, _TYPES[kind])
        # The last number stands for all that follow.
        array = np.concatenate([array, np.repeat(array[-1:], max(0, count - len(array)))])
    return array.reshape(shape)
