"""The operations of TorchScript, run one by one in Python, where a recorder sees them."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from ...errors import ConvertError
from .operation_error import OperationError, Run

_SAME = (
    *("prim::unchecked_cast", "prim::unchecked_unwrap_optional", "prim::data", "prim::annotate"),
    *("aten::Int", "aten::Float", "aten::Bool", "aten::ScalarImplicit", "aten::IntImplicit"),
    *("aten::list", "prim::NumToTensor"),
)
_PLAIN: dict[str, Callable[..., Any]] = {
    "aten::__not__": lambda a: not a,
    "aten::__is__": lambda a, b: a is b,
    "aten::__isnot__": lambda a, b: a is not b,
    "aten::__contains__": lambda a, b: b in a,
    "aten::__getitem__": lambda a, n: a[n],
    "aten::len": len,
    "aten::append": lambda a, b: a.append(b),
    "aten::dim": lambda x: x.dim(),
    "aten::format": lambda text, *args: text.format(*args),
    "aten::warn": lambda *_: None,
    "aten::add": lambda a, b: a + b,
    "aten::sub": lambda a, b: a - b,
    "aten::mul": lambda a, b: a * b,
    "aten::div": lambda a, b, mode=None: _divide(a, b, mode),
    "aten::slice": lambda a, start, end, step: a[start:end:step],
    "aten::floordiv": lambda a, b: a // b,
    "aten::floor_divide": lambda a, b: a // b,
    "aten::remainder": lambda a, b: a % b,
    "aten::neg": lambda a: -a,
    "aten::eq": lambda a, b: a == b,
    "aten::ne": lambda a, b: a != b,
    "aten::lt": lambda a, b: a < b,
    "aten::le": lambda a, b: a <= b,
    "aten::gt": lambda a, b: a > b,
    "aten::ge": lambda a, b: a >= b,
    "aten::__and__": lambda a, b: a and b,
    "aten::__or__": lambda a, b: a or b,
    "aten::__range_length": lambda a, b, step: len(range(a, b, step)),
    "aten::__derive_index": lambda n, start, step: start + n * step,
    "aten::copy": lambda a: list(a),
    "prim::min": lambda *a: min(*a),
    "prim::max": lambda *a: max(*a),
    "prim::device": lambda _: torch.device("cpu"),
    "prim::dtype": lambda x: x.dtype,
    "prim::ListConstruct": lambda *a: list(a),
    "prim::TupleConstruct": lambda *a: a,
    "prim::TupleIndex": lambda a, n: a[n],
    "prim::Print": lambda *_: None,
    "prim::is_nested": lambda _: False,
    "prim::type": lambda _: "cpu",
    "prim::is_cuda": lambda _: False,
    "prim::Uninitialized": lambda: None,
}
# Of tensors too, then as other operations on tensors are.
_ASKED = ("aten::dim", "aten::__is__", "aten::__isnot__")
_ON_TENSORS = tuple(key for key in _PLAIN if key.startswith("aten::") and key not in _ASKED)
_LISTS = ("aten::__getitem__", "aten::len", "aten::append", "aten::copy", "aten::__contains__")
_UNPACK = ("prim::ListUnpack", "prim::TupleUnpack")


def _divide(a: Any, b: Any, mode: str | None) -> Any:
    rounded = {None: lambda x: x, "floor": math.floor, "trunc": math.trunc}
    return rounded[mode](a / b)


class ScriptGraph:
    """The graph of TorchScript's forward.

    Parameters
    ----------
    script : torch.jit.ScriptModule
    """

    def __init__(self, script: Any) -> None:
        self.script = script._c
        self.graph = script.inlined_graph
        self._done = 0

    def __deepcopy__(self, _: Any) -> "ScriptGraph":
        return self  # it is only read

    def calls(self) -> Iterator[tuple[str, list[Any]]]:
        """Yield name and arguments of operations, of which those that are not constant are None."""
        for node in self._nodes(self.graph):
            if node.kind().startswith("aten::"):
                yield node.kind()[6:], [self._constant(value) for value in node.inputs()]

    def run(self, given: Sequence[Any], function: Run) -> Any:
        """Run the graph; ``function`` computes what tensors are made of.

        Raises
        ------
        ConvertError
            If an operation is not known.
        OperationError
            If one cannot be called with what it is given.
        """
        self._done = 0
        values = dict(zip(_names(self.graph.inputs()), [self.script, *given], strict=False))
        for name in _names(self.graph.inputs()):
            values.setdefault(name, None)
        found = self._block(self.graph, values, function)
        return found[0] if len(found) == 1 else tuple(found)

    def _nodes(self, block: Any) -> Iterator[Any]:
        for node in block.nodes():
            yield node
            for inner in node.blocks():
                yield from self._nodes(inner)

    def _constant(self, value: Any) -> Any:
        node = value.node()
        if node.kind() == "prim::Constant":
            return value.toIValue()
        if node.kind() == "prim::GetAttr":
            owner = self._constant(node.input())
            return None if owner is None else owner.getattr(node.s("name"))
        if node.kind() == "prim::ListConstruct":
            return [self._constant(item) for item in node.inputs()]
        is_self = value.debugName() == next(iter(self.graph.inputs())).debugName()
        return self.script if is_self else None

    def _block(self, block: Any, values: dict[str, Any], function: Run) -> list[Any]:
        for node in block.nodes():
            given = [values[name] for name in _names(node.inputs())]
            try:
                found = self._node(node, given, values, function)
            except (ConvertError, OperationError):
                raise
            except Exception as error:  # of any type: it is PyTorch's
                raise OperationError(node.kind().split("::")[-1], error, self._done) from error
            self._done += 1
            made = _names(node.outputs())
            values |= zip(made, found if len(made) != 1 else [found], strict=False)
        return [values[name] for name in _names(block.outputs())]

    def _node(self, node: Any, given: list[Any], values: dict[str, Any], function: Run) -> Any:
        kind = node.kind()
        if kind == "prim::Constant":
            return node.output().toIValue()
        if kind == "prim::GetAttr":
            return given[0].getattr(node.s("name"))
        if kind == "prim::If":
            chosen = list(node.blocks())[0 if given[0] else 1]
            found = self._block(chosen, values, function)
            return found[0] if len(found) == 1 else found
        if kind == "prim::Loop":
            found = self._loop(node, given, values, function)
            return found[0] if len(found) == 1 else found
        if kind == "prim::RaiseException":
            raise RuntimeError(str(given[0]))  # as its module does: it takes another input
        if kind in _UNPACK:
            return next(iter(given[0])) if node.outputsSize() == 1 else list(given[0])
        if kind in _SAME:
            return given[0]
        if kind == "prim::isinstance":  # asks for a packed series, mostly
            named = [str(kind) for kind in node.tys("types")]
            return isinstance(given[0], torch.Tensor) and "Tensor" in named
        tensors = any(isinstance(item, torch.Tensor) for item in given)
        if kind in _PLAIN and (kind in _LISTS or not tensors or kind not in _ON_TENSORS):
            return _PLAIN[kind](*given)
        if not kind.startswith("aten::"):
            raise ConvertError(f"the script has {kind}, which is not followed here")
        return function(kind[6:], torch._C.parse_schema(node.schema()), given)

    def _loop(
        self, node: Any, given: list[Any], values: dict[str, Any], function: Run
    ) -> list[Any]:
        count, goes_on, *carried = given
        (body,) = node.blocks()
        names, n = _names(body.inputs()), 0
        while goes_on and n < count:
            values |= zip(names, [n, *carried], strict=True)
            goes_on, *carried = self._block(body, values, function)
            n += 1
        return carried


def _names(values: Any) -> list[str]:
    return [value.debugName() for value in values]
