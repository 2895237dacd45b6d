"""Loop and Scan nodes, as tf2onnx writes layers of Keras, replaced by the layers they compute.

The body of a loop is followed once, symbolically: what each state becomes in a step is an
expression (:mod:`streamlstm.convert.loops.expressions`), in which cells are recognised.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..loops.cells import Cell, State, find_cells
from ..loops.expressions import Algebra, Expression, constant, joined
from .constants import compute
from .file import to_array
from .loop_values import Counter, Outside, Row, counted, number
from .node import Node
from .write_cells import ACTIVATIONS, CellWriter

_MALFORMED = (ValueError, IndexError, KeyError, TypeError, AttributeError)
_SAME = ("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Transpose", "Flatten", "Expand")


def replace_loops(model: Any) -> tuple[Any, dict[str, str]]:
    """Return a graph in which loops are recurrent nodes, and why others are not, by their names."""
    if not any(node.op_type in ("Loop", "Scan") for node in model.graph.node):
        return model, {}
    import onnx

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    opsets = {entry.domain.replace("ai.onnx", ""): entry.version for entry in model.opset_import}
    constants = _constants(model.graph, opsets)
    nodes, problems = [], {}
    for proto in model.graph.node:
        found = [proto]
        if proto.op_type in ("Loop", "Scan"):
            kind = _Loop if proto.op_type == "Loop" else _Scan
            try:
                found = kind(proto, opsets, constants).nodes()
            except (ConvertError, *_MALFORMED) as error:
                problems[proto.name or proto.output[0]] = str(error).rstrip(".")
        nodes += found
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed, problems


def _constants(graph: Any, opsets: dict[str, int]) -> dict[str, Any]:
    """Return the constants of a graph, and those that are only renamed or cast."""
    found = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    for proto in graph.node:
        node = Node(proto, opsets)
        if node.op == "Constant" and node.attribute("value") is not None:
            found[node.outputs[0]] = to_array(node.attribute("value"))
        elif node.op in ("Identity", "Cast") and node.inputs[0] in found:
            found[node.outputs[0]] = found[node.inputs[0]]
    return found


class _Loop:
    """A loop over the rows of a series."""

    conditions = 1  # outputs of the body before those that are passed on

    def __init__(self, proto: Any, opsets: dict[str, int], outer: Mapping[str, Any]) -> None:
        self.proto, self.opsets, self.outer = proto, opsets, outer
        self.body = Node(proto, opsets).attribute("body")
        self.algebra = Algebra()
        self.values: dict[str, Any] = {}
        self.row: Expression | None = None
        self.series = ""
        self.index = Counter()

    def nodes(self) -> list[Any]:
        """Return the nodes that compute the same."""
        states = self._run()
        cells = find_cells(self.algebra, self.row, states)
        return self._written(cells, states)

    def _run(self) -> dict[int, State]:
        """Follow the body; return the states by their places among what is passed on."""
        inputs, outputs = [v.name for v in self.body.input], [v.name for v in self.body.output]
        self.values |= _constants(self.body, self.opsets)
        self.values |= {inputs[0]: Counter(inputs[0], 0)}
        passed = list(zip(inputs[2:], outputs[1:], self.proto.input[2:], strict=False))
        return self._states(passed, 2)

    def _states(self, passed: list[tuple[str, str, str]], first: int) -> dict[int, State]:
        """Return the states of a body whose inputs from ``first`` on are passed to the next step.

        Parameters
        ----------
        passed : list of (str, str, str)
            Names of what comes into the body, of what it becomes, and of what it is at first.
        first : int
        """
        atoms = {}
        for n, (before, after, start) in enumerate(passed):
            kind = self.body.input[n + first].type.tensor_type
            if before == after:
                self.values[before] = self._outside(start)
            elif kind.elem_type not in (1, 10, 11):  # float32, float16, float64
                self.values[before] = Counter(before, number(self._outside(start)))
            elif kind.shape.dim and kind.shape.dim[-1].dim_value > 0:
                given = self.algebra.given(f"state {n}", kind.shape.dim[-1].dim_value)
                self.values[before], atoms[n] = given, next(iter(given.terms))[0]
        for proto in self.body.node:
            node = Node(proto, self.opsets)
            found = self._compute(node)
            for name, value in zip(node.outputs, found, strict=False):
                self.values[name] = value
        self._check_order(passed)
        states = {}
        for n, atom in atoms.items():
            value = self.values.get(passed[n][1])
            if not isinstance(value, Expression):
                raise ConvertError(f"what it passes on as {passed[n][0]} cannot be followed")
            states[n] = State(atom, value)
        return states

    def _check_order(self, passed: list[tuple[str, str, str]]) -> None:
        """Refuse rows that are not read from the first on, one a step."""
        for before, after, start in passed:
            first, then = number(self._outside(start)), self.values.get(after)
            if before == self.index.source and isinstance(then, Counter):
                steps = None if first is None or then.more is None else then.more - first
                if steps not in (1, None) and then.source == before:
                    raise ConvertError(f"a step goes {steps} rows on in {self.series}")
        if self.index.more:
            raise ConvertError(f"its first step reads row {self.index.more} of {self.series}")

    def _outside(self, name: str) -> Any:
        return self.outer[name] if name in self.outer else Outside(name)

    def _compute(self, node: Node) -> list[Any]:
        inputs = [
            None if not name else self.values[name] if name in self.values else self._outside(name)
            for name in node.inputs
        ]
        if node.op == "Constant":
            return [self.values[node.outputs[0]]]
        if any(isinstance(value, Counter) for value in inputs):
            if node.op == "Gather" and isinstance(inputs[0], Outside):
                if isinstance(inputs[1], Counter):
                    self.index = inputs[1]
                return [self._take_row(inputs[0].name)]
            if node.op in _SAME:
                return [inputs[0]]
            if node.op == "Add":
                a, more = inputs if isinstance(inputs[0], Counter) else reversed(inputs)
                return [counted(a, number(more))]
            return [Counter()] * len(node.outputs)
        if all(isinstance(value, np.ndarray) or value is None for value in inputs):
            return self._fold(node, inputs)
        if node.op in _SAME:
            return [inputs[0]]
        return self._expressed(node, inputs)

    def _take_row(self, name: str) -> Row:
        if self.series not in ("", name):
            raise ConvertError(f"each step reads two series, {self.series} and {name}")
        self.series = name
        return Row(name)

    def _expressed(self, node: Node, inputs: list[Any]) -> list[Any]:
        """Compute with expressions."""
        width = next((x.width for x in inputs if isinstance(x, Expression)), 0)
        if node.op in ("MatMul", "Gemm"):
            width = inputs[1].shape[1 if node.attribute("transB", 0) else 0]
        xs = [self._as_expression(x, width) for x in inputs]
        if node.op in ACTIVATIONS:
            return [self.algebra.activation(ACTIVATIONS[node.op], xs[0])]
        if node.op == "HardSigmoid":
            alpha, beta = node.attribute("alpha", 0.2), node.attribute("beta", 0.5)
            return [self.algebra.activation(f"hard_sigmoid {alpha} {beta}", xs[0])]
        if node.op in ("Add", "Sum"):
            return [xs[0].plus(xs[1])]
        if node.op == "Sub":
            return [xs[0].plus(xs[1].scaled(np.array(-1.0)))]
        if node.op == "Neg":
            return [xs[0].scaled(np.array(-1.0))]
        if node.op == "Mul":
            return [self.algebra.multiplied(xs[0], xs[1])]
        if node.op == "MatMul":
            return [xs[0].times(np.asarray(inputs[1], np.float64).T)]
        if node.op == "Gemm":
            W = np.asarray(inputs[1], np.float64)
            y = xs[0].times(W if node.attribute("transB", 0) else W.T)
            return [y if len(inputs) < 3 else y.plus(xs[2])]
        if node.op == "Concat":
            return [joined(xs)]
        if node.op == "Split":
            sizes = node.attribute("split") if len(inputs) < 2 else inputs[1]
            count = len(node.outputs)
            lengths = [xs[0].width // count] * count if sizes is None else [int(n) for n in sizes]
            ends = np.cumsum(lengths)
            return [xs[0].rows(slice(e - n, e)) for n, e in zip(lengths, ends, strict=True)]
        if node.op == "Slice":
            return [self._sliced(node, inputs)]
        raise ConvertError(f"{node} in it is none of the operations of a cell")

    def _sliced(self, node: Node, inputs: list[Any]) -> Expression:
        """Return a part of the features; other axes are taken whole."""
        given = inputs[1:] if len(inputs) > 1 else [
            node.attribute(name) for name in ("starts", "ends", "axes")
        ]  # fmt: skip
        starts, ends = (np.asarray(value).reshape(-1) for value in given[:2])
        axes = range(len(starts)) if len(given) < 3 or given[2] is None else given[2]
        x = inputs[0]
        for start, end, axis in zip(starts, ends, np.asarray(axes).reshape(-1), strict=True):
            if axis in (1, -1):
                x = x.rows(slice(int(start), int(end)))
        return x  # type: ignore[no-any-return]

    def _as_expression(self, value: Any, width: int) -> Any:
        if isinstance(value, Row):
            found = self.algebra.given(f"row of {value.name}", width)
            if self.row is not None and not found.equals(self.row):
                raise ConvertError("the width of a row is not one number")
            self.row = found
            return found
        if isinstance(value, Outside):
            raise ConvertError(f"it takes {value.name} whole, and not row by row")
        return constant(value) if isinstance(value, np.ndarray) else value

    def _fold(self, node: Node, inputs: list[Any]) -> list[Any]:
        from onnx import helper

        opsets = [helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        return compute(node, dict(zip(node.inputs, inputs, strict=True)), opsets)

    def _starts(self) -> list[str]:
        """Return the names of what is passed on, at first."""
        return list(self.proto.input[2:])

    def _written(self, cells: list[Cell], states: dict[int, State]) -> list[Any]:
        """Return the recurrent nodes, and what gives their outputs the names of the loop's."""
        name = self.proto.name or self.proto.output[0]
        starts = self._starts()
        writer = CellWriter(name, self.opsets.get("", 17))
        every, last = writer.write(cells, self.series, starts)
        count = len(starts)
        for n, output in enumerate(self.proto.output[:count]):
            if n in last:
                writer.rename(last[n], output)
        for n, output in enumerate(self.proto.output[count:]):
            value = self.values.get(self.body.output[self.conditions + count + n].name)
            place = next(
                (k for k, cell in enumerate(cells) if _same(value, states[cell.h].after)), None
            )
            if place is None:
                raise ConvertError(f"{output} collects something else than the hidden state")
            writer.rename(every[place], output)
        return writer.nodes


class _Scan(_Loop):
    """A scan over the rows of a series: its body is given a row, and has no number of the step."""

    conditions = 0

    def _starts(self) -> list[str]:
        return list(self.proto.input[: self._count()])

    def _count(self) -> int:
        node = Node(self.proto, self.opsets)
        rows = int(node.attribute("num_scan_inputs"))
        turned = [
            n for key in ("input", "output") for n in self._of(node, f"scan_{key}_directions")
        ]
        axes = [n for key in ("input", "output") for n in self._of(node, f"scan_{key}_axes")]
        if rows != 1 or any(turned) or any(axes) or node.opset < 9:
            raise ConvertError("it runs over several series, backwards, or over another axis")
        return len(self.proto.input) - rows

    @staticmethod
    def _of(node: Node, key: str) -> list[int]:
        return list(node.attribute(key) or ())

    def _run(self) -> dict[int, State]:
        count = self._count()
        inputs, outputs = [v.name for v in self.body.input], [v.name for v in self.body.output]
        self.values |= _constants(self.body, self.opsets)
        self.values[inputs[count]] = self._take_row(self.proto.input[count])
        passed = zip(inputs[:count], outputs[:count], self.proto.input[:count], strict=True)
        return self._states(list(passed), 0)


def _same(value: Any, after: Expression) -> bool:
    return isinstance(value, Expression) and value.equals(after)
