"""A node of an ONNX graph, with its attributes."""

from typing import Any

import numpy as np

from ...errors import ConvertError


def shortest_float(value: float) -> float:
    """Return a float32 attribute with the fewest digits that identify it: 0.3, not 0.30000001."""
    return float(str(np.float32(value)))


class Node:
    """A node as handlers use it.

    Attributes
    ----------
    op : str
        LSTM, Gemm, ...
    opset : int
        Version of its domain.
    inputs, outputs : list of str
        Names of tensors; "" for one that is omitted.
    """

    def __init__(self, proto: Any, opsets: dict[str, int]) -> None:
        from onnx import helper

        self.proto = proto
        self.op: str = proto.op_type
        self.domain: str = "" if proto.domain == "ai.onnx" else proto.domain
        self.opset = opsets.get(self.domain, 1)
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self._attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}

    def __str__(self) -> str:
        """Return operator and name, or the names of the outputs if it has none."""
        name = self.proto.name or ", ".join(filter(None, self.outputs))
        return f"{self.op} {name!r}"

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute: a number, a text, or a list of them."""
        value = self._attributes.get(name, default)
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, list) and value and isinstance(value[0], bytes):
            return [text.decode() for text in value]
        return value

    def constant(self, value: Any) -> Any:
        """Return an input that must be a constant.

        Raises
        ------
        ConvertError
            If it depends on the input of the graph.
        """
        if not isinstance(value, np.ndarray | np.generic):
            raise ConvertError(f"{self}: expected a constant, got a computed value.")
        return np.asarray(value)

    def axes(self, value: Any = None) -> list[int] | None:
        """Return axes given as an input (new opsets) or as an attribute (old ones)."""
        given = self.attribute("axes") if value is None else self.constant(value).reshape(-1)
        return None if given is None else [int(n) for n in given]
