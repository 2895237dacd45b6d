"""A graph of TensorFlow: operations by the names that TensorFlow has for them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# What reading and following a damaged file may raise.
MALFORMED = (
    *(ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError, RecursionError),
    *(StopIteration, MemoryError, AssertionError, struct.error),
)


@dataclass(frozen=True)
class Operation:
    """An operation.

    Attributes
    ----------
    op : str
        MatMul, Sigmoid, While ...; ``lite.FUSED_LSTM`` of TensorFlow Lite.
    name : str
    inputs, outputs : list of str
        Names of tensors; "" for one that is omitted.
    attributes : dict
    body : Graph, optional
        What a While repeats. It may use tensors of the outer graph.
    condition : Graph, optional
        While it is true.
    """

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    body: "Graph | None" = None
    condition: "Graph | None" = None

    def __str__(self) -> str:
        return f"{self.op} {self.name!r}"


@dataclass(frozen=True)
class Input:
    """An input of a graph; None for an axis of open length."""

    name: str
    shape: list[int | None]
    integer: bool = False


@dataclass(frozen=True)
class Graph:
    """Operations in an order in which they can run.

    Attributes
    ----------
    operations : list of Operation
    inputs : list of Input
    outputs : list of str
    constants : dict of str to array
    notes : list of str
        What the reader did to the file.
    rounded : bool
        Whether its software rounds what lies between its operations to integers.
    """

    operations: list[Operation]
    inputs: list[Input]
    outputs: list[str]
    constants: dict[str, np.ndarray[Any, Any]]
    notes: list[str] = field(default_factory=list)
    rounded: bool = False

    def leading_to(self, outputs: list[str]) -> list[Operation]:
        """Return the operations on which tensors depend, in an order in which they can run."""
        makers = {name: op for op in self.operations for name in op.outputs}
        found: dict[str, Operation] = {}
        stack = [(makers[name], False) for name in outputs if name in makers]
        open_: set[str] = set()
        while stack:
            op, ready = stack.pop()
            if op.name in found or (op.name in open_ and not ready):
                continue
            if ready:
                found[op.name] = op
                continue
            open_.add(op.name)
            stack.append((op, True))
            stack += [(makers[name], False) for name in needed(op) if name in makers]
        return list(found.values())


def needed(op: Operation) -> Iterator[str]:
    """Yield the tensors that an operation and its body use."""
    yield from op.inputs
    for graph in (op.body, op.condition):
        if graph is not None:
            inside = {i.name for i in graph.inputs} | graph.constants.keys()
            inside |= {name for inner in graph.operations for name in inner.outputs}
            yield from (n for n in graph.outputs if n not in inside)
            for inner in graph.operations:
                yield from (n for n in needed(inner) if n not in inside)
