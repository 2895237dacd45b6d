"""The operations of a program of torch.export, run one by one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from ...errors import ConvertError
from .operation_error import OperationError, Run


def open_graph(program: Any) -> Any:
    """Return the graph of a program of torch.export as a module."""
    return program if isinstance(program, torch.fx.GraphModule) else program.module()


def example_of(program: Any) -> tuple[torch.Tensor, ...]:
    """Return the input with which a program was exported; nothing if it does not say."""
    given = getattr(program, "example_inputs", None)
    if given:
        return tuple(x for x in given[0] if isinstance(x, torch.Tensor))
    places = [node for node in open_graph(program).graph.nodes if node.op == "placeholder"]
    shapes = [getattr(node.meta.get("val"), "shape", None) for node in places]
    if not all(shape and all(isinstance(n, int) for n in shape) for shape in shapes):
        return ()
    return tuple(torch.randn(*shape) for shape in shapes if shape)


class ExportedGraph:
    """The graph of a program of torch.export.

    Parameters
    ----------
    module : torch.fx.GraphModule
        Of ``program.module()``.
    """

    def __init__(self, module: Any) -> None:
        self.module = module

    def __deepcopy__(self, _: Any) -> "ExportedGraph":
        return self  # it is only read

    def calls(self) -> Iterator[tuple[str, list[Any]]]:
        """Yield name and arguments of operations, of which those that are not constant are None."""
        for node in self.module.graph.nodes:
            if is_operation(node):
                yield _short(node), _map(_arguments(node), self._constant)

    def run(self, given: Sequence[Any], function: Run) -> Any:
        """Run the graph; ``function`` computes what tensors are made of.

        Raises
        ------
        ConvertError
            If an operation is not known.
        OperationError
            If one cannot be called with what it is given.
        """
        values: dict[Any, Any] = {}
        left = iter(given)
        for done, node in enumerate(self.module.graph.nodes):
            if node.op == "placeholder":
                values[node] = next(left, None)
            elif node.op == "output":
                return _map(list(node.args), values.__getitem__)[0]
            else:
                try:
                    values[node] = self._node(node, values, function)
                except ConvertError:
                    raise
                except Exception as error:  # of any type: it is PyTorch's
                    raise OperationError(_short(node), error, done) from error
        return None

    def _node(self, node: Any, values: dict[Any, Any], function: Run) -> Any:
        if node.op == "get_attr":
            return self._constant(node)
        if is_operation(node):
            args = _map(_arguments(node), values.__getitem__)
            return function(_short(node), node.target._schema, args)
        if node.op == "call_function":
            return node.target(*_map(list(node.args), values.__getitem__))
        return None

    def _constant(self, node: Any) -> Any:
        if node.op != "get_attr":
            return None
        found = self.module
        for part in str(node.target).split("."):
            found = getattr(found, part)
        return found


def is_operation(node: Any) -> bool:
    """Return whether a node of a graph of torch.fx calls one of PyTorch's operations."""
    return node.op == "call_function" and hasattr(node.target, "_schema")


def _short(node: Any) -> str:
    """Return the name of what a node calls."""
    if not is_operation(node):
        return getattr(node.target, "__name__", str(node.target))
    return str(node.target._schema.name).removeprefix("aten::")


def _arguments(node: Any) -> list[Any]:
    """Return the arguments of a node in the order of its schema."""
    rest = node.target._schema.arguments[len(node.args) :]
    return [*node.args, *(node.kwargs.get(a.name, a.default_value) for a in rest)]


def _map(value: Any, look: Callable[[Any], Any]) -> Any:
    """Return arguments with what ``look`` says of each node."""
    if isinstance(value, torch.fx.Node):
        return look(value)
    if isinstance(value, list | tuple):
        return type(value)(_map(item, look) for item in value)
    return value
