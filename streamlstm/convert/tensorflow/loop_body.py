"""Follows the body of a While: which recurrent cells a step computes, and what it collects."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..loops.cells import Cell, State, find_cells
from ..loops.expressions import Algebra, Expression, constant, joined
from .execute import full_sizes, run_operation, slices
from .graph import Operation

_ACTIVATIONS = {
    "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu", "Softsign": "softsign",
    "Softplus": "softplus",
}  # fmt: skip
_SAME = {
    *("Identity", "Cast", "Squeeze", "ExpandDims", "Reshape", "Enter", "StopGradient", "Snapshot"),
    *("TensorListFromTensor", "Transpose"),
}
_READS = ("TensorListGetItem", "TensorArrayReadV3", "GatherV2")
_WRITES = {"TensorListSetItem": 2, "TensorArrayWriteV3": 2}


@dataclass(frozen=True)
class _Counter:
    """A number that counts steps, or what is computed from one."""


@dataclass(frozen=True)
class Outside:
    """A tensor of the outer graph that is no constant."""

    name: str


@dataclass(frozen=True)
class _Given:
    """A vector whose width shows where it is used: the row of a step, or state ``number``."""

    name: str
    number: int = -1


@dataclass(frozen=True)
class _Part:
    """What was collected before or will be behind: part of the tensor ``number``."""

    number: int


@dataclass(frozen=True)
class _Written:
    """What is collected: one value of each step, or only of the last."""

    value: Expression
    every: bool


@dataclass(frozen=True)
class Loop:
    """What a While computes.

    Attributes
    ----------
    cells : list of Cell
        Their states are numbered as the variables of the loop.
    series : str
        The tensor of the outer graph, [T, batch, F], of which each step takes a row.
    collected : dict of int to (int, bool)
        For the variables that collect hidden states: of which cell, and whether of every step.
    """

    cells: list[Cell]
    series: str
    collected: dict[int, tuple[int, bool]]


def follow(op: Operation, outer: Mapping[str, Any], width: Callable[[str], int]) -> Loop:
    """Return what a While computes.

    Parameters
    ----------
    op : Operation
    outer : mapping
        The constants of the outer graph.
    width : callable
        From the name of a tensor of the outer graph to the length of its last axis; 0 if that does
        not show.

    Raises
    ------
    ConvertError
        If it is no loop over rows in which recurrent cells step.
    """
    return _Body(op, outer, width).loop()


class _Body:
    def __init__(
        self, op: Operation, outer: Mapping[str, Any], width: Callable[[str], int]
    ) -> None:
        assert op.body is not None
        self.op, self.body, self.outer, self.width = op, op.body, outer, width
        self.algebra = Algebra()
        self.values: dict[str, Any] = dict(self.body.constants)
        self.row: Expression | None = None
        self.series = ""
        self.states: dict[int, Expression] = {}

    def loop(self) -> Loop:
        """Follow the body and recognise its cells."""
        starts = zip(self.op.inputs, self.body.inputs, self.body.outputs, strict=True)
        operations = self.body.leading_to(self.body.outputs)
        self.same = {o.outputs[0]: o.inputs[0] for o in operations if o.op in ("Identity", "Enter")}
        for n, (start, given, after) in enumerate(starts):
            known = self.outer.get(start)
            if self._origin(after) == given.name:
                self.values[given.name] = self._outside(start)
            elif isinstance(known, np.ndarray) and known.dtype.kind in "iu" and known.size == 1:
                self.values[given.name] = _Counter()
            else:
                self.values[given.name] = _Given(f"state {n}", n)
        for operation in operations:
            for name, value in zip(operation.outputs, self._compute(operation), strict=False):
                self.values[name] = value
        return self._recognised()

    def _origin(self, name: str) -> str:
        while name in self.same:
            name = self.same[name]
        return name

    def _outside(self, name: str) -> Any:
        return self.outer[name] if name in self.outer else Outside(name)

    def _recognised(self) -> Loop:
        after = [self.values.get(name, self._outside(name)) for name in self.body.outputs]
        states = {}
        for n, before in self.states.items():
            if not isinstance(after[n], Expression):
                raise ConvertError(f"what its variable {n} becomes cannot be followed")
            states[n] = State(next(iter(before.terms))[0], after[n])
        cells = find_cells(self.algebra, self.row, states)
        collected = {}
        for n, value in enumerate(after):
            if isinstance(value, Expression) and n not in states:
                value = _Written(value, every=False)  # a list of one item is set as a whole
            if isinstance(value, _Written):
                place = [k for k, c in enumerate(cells) if states[c.h].after.equals(value.value)]
                if not place:
                    raise ConvertError("it collects something else than the hidden state")
                collected[n] = place[-1], value.every
        return Loop(cells, self.series, collected)

    def _compute(self, op: Operation) -> list[Any]:
        if op.op == "Const":
            return [self.body.constants.get(op.outputs[0], self._outside(op.outputs[0]))]
        if op.op == "Merge":  # of the condition, which is followed no further
            return [_Counter()] * len(op.outputs)
        inputs = [
            None if not name else self.values[name] if name in self.values else self._outside(name)
            for name in op.inputs
        ]
        if op.op in _READS and not isinstance(inputs[0], np.ndarray) and len(inputs) > 1:
            place = inputs[2] if op.op == "TensorArrayReadV3" else inputs[0]
            if isinstance(inputs[1], _Counter) and isinstance(place, Outside):
                return [self._take_row(place.name)]
        if op.op in _WRITES:
            return [self._write(op, inputs)]
        kinds = {type(value) for value in inputs}
        if op.op in ("Slice", "StridedSlice") and isinstance(inputs[0], _Given) and (
            _Counter in kinds
        ):  # fmt: skip
            return [_Part(inputs[0].number)]
        if op.op == "lite.DYNAMIC_UPDATE_SLICE":
            return [_Written(self._vector(inputs[1], 0), every=True)]
        if op.op == "ConcatV2" and _Part in kinds:
            (item,) = (v for v in inputs if isinstance(v, Expression))
            return [_Written(item, every=True)]
        if _Counter in kinds:
            return [_Counter()] * len(op.outputs)
        if kinds <= {np.ndarray, type(None)}:
            values = dict(zip(op.inputs, inputs, strict=True))
            run_operation(op, values)
            return [np.asarray(values[name]) for name in op.outputs if name in values]
        if op.op in _SAME:
            return [inputs[0]]
        return self._expressed(op, inputs)

    def _take_row(self, name: str) -> _Given:
        if self.series not in ("", name):
            raise ConvertError(
                "each step reads two series: a layer with a mask, or one that runs both ways"
            )
        self.series = name
        return _Given("row")

    def _write(self, op: Operation, inputs: list[Any]) -> Any:
        item = inputs[_WRITES[op.op]]
        index = inputs[1]
        return _Written(self._vector(item, 0), every=isinstance(index, _Counter))

    def _expressed(self, op: Operation, inputs: list[Any]) -> list[Any]:
        """Compute with expressions."""
        width = max((x.width for x in inputs if isinstance(x, Expression)), default=0)
        if "MatMul" in op.op and isinstance(inputs[1], np.ndarray):
            turned = op.attributes.get("transpose_b") or op.attributes.get("adj_y")
            matrix = np.asarray(inputs[1], np.float64)
            matrix = matrix if turned else matrix.T
            return [self._vector(inputs[0], matrix.shape[1]).times(matrix)]
        if op.op in ("Split", "SplitV"):
            x = self._vector(inputs[1 if op.op == "Split" else 0], 0)
            n = op.attributes.get("num_split") or len(op.outputs)
            sizes = [x.width // n] * n if op.op == "Split" else full_sizes(inputs[1], x.width)
            ends = np.cumsum(sizes)
            return [x.rows(slice(e - k, e)) for k, e in zip(sizes, ends, strict=True)]
        if op.op in ("StridedSlice", "Slice"):
            return [self._sliced(op, inputs)]
        if op.op == "ConcatV2":
            parts = inputs if "axis" in op.attributes else inputs[:-1]
            return [joined([self._concatenated(x) for x in parts])]
        xs = [self._vector(x, width) for x in inputs]
        if op.op in ("AddV2", "Add", "BiasAdd"):
            return [xs[0].plus(xs[1])]
        if op.op == "Sub":
            return [xs[0].plus(xs[1].scaled(np.array(-1.0)))]
        if op.op == "Mul":
            return [self.algebra.multiplied(xs[0], xs[1])]
        if op.op == "RealDiv" and isinstance(inputs[1], np.ndarray):
            return [xs[0].scaled(1 / np.asarray(inputs[1], np.float64).reshape(-1))]
        if op.op == "Neg":
            return [xs[0].scaled(np.array(-1.0))]
        return [self._activated(op, xs)]

    def _activated(self, op: Operation, xs: list[Expression]) -> Expression:
        if op.op == "Relu" and self._half(xs[0]) == "half Minimum":
            return self._bounded(op, xs[0])
        if op.op in _ACTIVATIONS:
            return self.algebra.activation(_ACTIVATIONS[op.op], xs[0])
        if op.op == "Relu6":  # of a hard sigmoid
            return self._clipped(xs[0].scaled(np.array(1 / 6))).scaled(np.array(6.0))
        bounds = [x.bias for x in xs[1:]]
        if op.op == "Relu0To1" or (op.op == "ClipByValue" and _are(bounds, 0, 1)):
            return self._clipped(xs[0])
        if (op.op == "Minimum" and _are(bounds, 1)) or (op.op == "Maximum" and _are(bounds, 0)):
            return self._bounded(op, xs[0])
        raise ConvertError(f"{op} in it is none of the operations of a cell")

    def _bounded(self, op: Operation, x: Expression) -> Expression:
        """Return one of both halves of ``min(max(x, 0), 1)``; the other follows or went before."""
        if self._half(x) == ("half Maximum" if op.op == "Minimum" else "half Minimum"):
            before = self.algebra.atoms[next(iter(x.terms))[0]].argument
            assert before is not None
            return self._clipped(before)
        return self.algebra.activation(f"half {op.op}", x)

    def _half(self, x: Expression) -> str:
        """Return the name of an activation, if an expression is just that."""
        return self.algebra.atoms[next(iter(x.terms))[0]].name if len(x.terms) == 1 else ""

    def _clipped(self, x: Expression) -> Expression:
        return self.algebra.activation("hard_sigmoid 1 0", x)

    def _concatenated(self, x: Any) -> Expression:
        known = 0
        if isinstance(x, _Given):
            known = self.width(self.series if x.number < 0 else self.op.inputs[x.number])
        return self._vector(x, known)

    def _sliced(self, op: Operation, inputs: list[Any]) -> Expression:
        x = self._vector(inputs[0], 0)
        if op.op == "Slice":
            begin, size = int(inputs[1][-1]), int(inputs[2][-1])
            return x.rows(slice(begin, None if size < 0 else begin + size))
        parts, _ = slices(op, len(inputs[1]), *inputs[1:4])
        return x.rows(parts[-1])

    def _vector(self, value: Any, width: int) -> Expression:
        if isinstance(value, _Given):
            if not width:
                raise ConvertError("the width of a state does not show in the operations")
            found = self.algebra.given(value.name, width)
            if value.number < 0:
                self.row = found
            else:
                self.states[value.number] = found
            for name, other in self.values.items():
                if isinstance(other, _Given) and other == value:
                    self.values[name] = found
            return found
        if isinstance(value, Expression):
            return value
        if isinstance(value, np.ndarray):
            return constant(value)
        what = value.name if isinstance(value, Outside) else "something that is no vector"
        raise ConvertError(f"it computes with {what}, and not row by row")


def _are(found: list[Any], *wanted: float) -> bool:
    return len(found) == len(wanted) and all(
        (x == w).all() for x, w in zip(found, wanted, strict=True)
    )
