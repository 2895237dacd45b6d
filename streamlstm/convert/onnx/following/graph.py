"""A graph followed node by node: the labels of each tensor."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ....errors import ConvertError, ModelError
from ...labels.calls import embedding
from ...labels.scores import mask_scores
from ..constants import compute
from ..file import to_array
from ..local_functions import read_function
from ..node import Node
from . import arithmetic, moves, norms, products, rows
from .calls import RowByRow
from .functions import function, is_function
from .live import Following, Live, Value, any_live, live

Handler = Callable[[Following, Node, list[Value]], list[Value]]
_DOMAINS = ("", "ai.onnx.ml", "com.microsoft")
_MALFORMED = (ValueError, IndexError, KeyError, TypeError, AttributeError)
_HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(arithmetic.ARITHMETIC, arithmetic.arithmetic),
    "MatMul": products.matmul,
    "FusedMatMul": products.matmul,
    "Gemm": products.gemm,
    "Einsum": products.einsum,
    "Conv": rows.convolution,
    **dict.fromkeys(("MaxPool", "AveragePool"), rows.pooling),
    **dict.fromkeys(("GlobalMaxPool", "GlobalAveragePool"), rows.global_pooling),
    **dict.fromkeys(rows.REDUCTIONS, rows.reduce),
    **dict.fromkeys(("Softmax", "LogSoftmax"), rows.softmax_node),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), rows.recurrent),
    "LayerNormalization": norms.layer_norm,
    "InstanceNormalization": norms.instance_norm,
    "GroupNormalization": norms.group_norm,
    "BatchNormalization": norms.batch_norm,
}


class FollowedGraph:
    """What the tensors of a graph hold.

    Parameters
    ----------
    model : onnx.ModelProto
    following : Following
    inputs : mapping of str to Live
    constants : mapping of str to array

    Attributes
    ----------
    values : dict of str to Value
        By the names of tensors.
    followed : int
        Nodes that could be followed, of those that depend on the input.
    """

    def __init__(
        self,
        model: Any,
        following: Following,
        inputs: Mapping[str, Live],
        constants: Mapping[str, Any],
    ) -> None:
        self._opsets = {
            "" if entry.domain == "ai.onnx" else entry.domain: entry.version
            for entry in model.opset_import
        }
        self._imports = list(model.opset_import)
        self._following = following
        self._rows = RowByRow(model.graph.node)
        self.values: dict[str, Value] = {**constants, **inputs}
        self.followed = 0
        self._run(model.graph.node)

    def _run(self, protos: Sequence[Any]) -> None:
        for proto in protos:
            node = Node(proto, self._opsets)
            self._following.at(node)
            try:
                outputs = self._outputs(node)
            except ModelError as error:
                problem = ConvertError(f"{node} is not as ONNX defines it: {error}.")
                outputs = [Live((), None, problem=problem)] * len(node.outputs)
            except ConvertError as error:
                outputs = [Live((), None, problem=error)] * len(node.outputs)
            except _MALFORMED as error:  # of NumPy, for shapes that do not fit
                problem = ConvertError(f"{node} is given what it cannot take: {error}.")
                outputs = [Live((), None, problem=problem)] * len(node.outputs)
            for name, value in zip(node.outputs, outputs, strict=False):
                if name:
                    self.values[name] = value

    def _outputs(self, node: Node) -> list[Value]:
        missing = [n for n in node.inputs if n and n not in self.values]
        if missing:
            raise ConvertError(f"{node}: its input {missing[0]!r} is not followed.")
        inputs = [self.values[name] if name else None for name in node.inputs]
        if node.op == "If" and isinstance(inputs[0], np.ndarray):
            return self._branch(node, bool(inputs[0]))
        if not any_live(inputs):
            return [*compute(node, self.values, self._imports)]
        for value in inputs:
            if isinstance(value, Live) and value.is_lost:
                assert value.problem is not None
                raise value.problem
        found = self._followed(node, inputs)
        self.followed += 1
        return found

    def _followed(self, node: Node, inputs: list[Value]) -> list[Value]:
        call = read_function(node)
        if call is not None:
            return self._rows.call(self._following, node, call, inputs)
        if node.op == "Shape":
            shape = inputs[0].shape[node.attribute("start", 0) : node.attribute("end")]
            return [np.array(shape, np.int64)]
        if node.op == "Size":
            return [np.array(int(np.prod(inputs[0].shape)), np.int64)]
        if node.op in ("Cast", "CastLike"):
            return moves.cast(node, inputs)
        if node.op == "Gather" and isinstance(inputs[1], Live):
            return [self._embedded(node, inputs)]
        if node.op == "Where" and not isinstance(inputs[0], Live) and node.op in moves.MOVES:
            return self._chosen(node, inputs)
        if node.op in moves.MOVES and node.op != "Where":
            return moves.move(node, inputs, self._imports)
        if is_function(node):
            return function(self._following, node, inputs)
        if node.domain not in _DOMAINS or node.op not in _HANDLERS:
            raise ConvertError(f"{node} cannot be followed: no layer computes this.")
        return _HANDLERS[node.op](self._following, node, inputs)

    def _chosen(self, node: Node, inputs: list[Value]) -> list[Value]:
        """Return what a constant mask chooses; scores that it leaves out are masked."""
        condition, yes, no = inputs
        for kept, other, mask in ((yes, no, condition), (no, yes, ~np.asarray(condition))):
            left_out = (
                isinstance(kept, Live) and not isinstance(other, Live) and np.size(other) == 1
            )
            if left_out and float(np.reshape(other, ())) <= -1e4 and not np.all(mask):
                shape = np.broadcast_shapes(kept.shape, np.shape(mask))
                labels = np.broadcast_to(self._following.whole(kept), shape)
                added = np.broadcast_to(np.where(mask, 0, -np.inf), shape)
                return [live(mask_scores(self._following, labels, added))]
        return moves.move(node, inputs, self._imports)

    def _embedded(self, node: Node, inputs: list[Value]) -> Live:
        table, x = inputs
        if isinstance(table, Live) or np.ndim(table) != 2 or node.attribute("axis", 0) != 0:
            raise ConvertError(f"{node}: expected to gather rows of a constant matrix.")
        array = np.asarray(table, np.float64)
        return live(embedding(self._following, str(node), x.labels, array))

    def _branch(self, node: Node, condition: bool) -> list[Value]:
        branch = node.attribute("then_branch" if condition else "else_branch")
        for initializer in branch.initializer:
            self.values[initializer.name] = to_array(initializer)
        self._run(branch.node)
        return [self.values[output.name] for output in branch.output]
