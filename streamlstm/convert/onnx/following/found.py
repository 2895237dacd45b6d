"""What a followed graph computes, and what the axes of its input are."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ....errors import ConvertError
from ...common.builder import ModelBuilder
from ...labels.chain import Output
from ...labels.layers import assemble


@dataclass(frozen=True)
class Layout:
    """What the axes of a graph's input are.

    Attributes
    ----------
    order : str
        A letter for each axis: b for streams, t for rows, f for features, 1 for none.
    streams, rows, width : int
        S, T and F of a call.
    windowed : bool
        Whether the rows are a window.
    """

    order: str
    streams: int
    rows: int
    width: int
    windowed: bool

    @property
    def usual(self) -> bool:
        """Whether the features are on an axis behind that of the rows."""
        return self.order.find("f") > self.order.find("t") or "f" not in self.order

    def arranged(self, X: Any) -> Any:
        """Return X[S, T, F] as the graph takes it."""
        axes = ["btf".index(c) for c in self.order if c != "1"]
        rest = [n for n in range(3) if n not in axes]
        found = X.transpose([*axes, *rest]).reshape([X.shape[n] for n in axes])
        for place, c in enumerate(self.order):
            if c == "1":
                found = np.expand_dims(found, place)
        return found


@dataclass
class FoundGraph:
    """What a graph computes: its output ``name`` in a layout of its input.

    Attributes
    ----------
    compared : str
        What it was compared with, "no: ..." if with nothing.
    """

    layout: Layout
    name: str
    output: Output
    compared: str = ""

    def builder(self) -> ModelBuilder:
        """Return the layers."""
        layers = [layer.copy() for layer in self.output.layers]
        if not layers:
            raise ConvertError("it has no layers")
        builder = assemble(layers, {}, [])
        if self.layout.windowed:
            builder.window = self.layout.rows
        return builder

    @property
    def options(self) -> dict[str, Any]:
        """Options of the model: its residual connection."""
        residual = self.output.residual
        if residual.skip is None:
            return {}
        return {"skip": residual.skip, "skip_scale": residual.scale}
