"""Computes nodes of ONNX graphs whose inputs are all constants."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ConvertError
from .node import Node


def compute(
    node: Node, given: Mapping[str, NDArray[Any]], opsets: Sequence[Any]
) -> list[NDArray[Any] | None]:
    """Return the outputs of a node, None for those that it leaves out.

    Parameters
    ----------
    node : Node
    given : dict of str to array
        Its inputs by name.
    opsets : sequence of onnx.OperatorSetIdProto

    Raises
    ------
    ConvertError
        If ONNX's own evaluator cannot compute it.
    """
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    names = [name for name in dict.fromkeys(node.inputs) if name]
    made = [name for name in node.outputs if name]
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in listed]
        for listed in (names, made)
    ]
    graph = helper.make_graph([node.proto], "constant", *infos)
    try:
        evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets))
        found = evaluator.run(None, {name: given[name] for name in names})
    except Exception as error:  # of any type, depending on the operator
        raise ConvertError(f"{node}: cannot compute this constant: {error}.") from None
    values = dict(zip(made, map(np.asarray, found), strict=True))
    return [values.get(name) for name in node.outputs]
