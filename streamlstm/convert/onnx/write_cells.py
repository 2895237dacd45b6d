"""Writes recognised cells as nodes of ONNX."""

from typing import Any

import numpy as np

from ...errors import ConvertError
from ..loops.cells import Cell

ACTIVATIONS = {
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Relu": "relu",
    "Softsign": "softsign",
    "Softplus": "softplus",
}
_NAMES = {name: op for op, name in ACTIVATIONS.items()} | {"linear": "Affine"}


class CellWriter:
    """Writes cells as nodes of ONNX.

    Parameters
    ----------
    name : str
        Prefix of the names of new tensors.
    opset : int
    """

    def __init__(self, name: str, opset: int) -> None:
        self.name, self.opset, self.nodes = name, opset, []  # type: ignore[var-annotated]

    def write(
        self, cells: list[Cell], series: str, starts: Any
    ) -> tuple[list[str], dict[int, str]]:
        """Write cells over ``series[T, batch, F]``.

        Returns
        -------
        every : list of str
            For each cell its hidden states, [T, batch, H].
        last : dict of int to str
            By the number of each state what it is in the end, [batch, H].
        """
        every: list[str] = []
        last: dict[int, str] = {}
        for k, cell in enumerate(cells):
            x = series if cell.source < 0 else every[cell.source]
            arrays = [
                self._constant(f"{k}.{name}", array[None])
                for name, array in (
                    ("W", cell.weight_x),
                    ("R", cell.weight_h),
                    ("B", np.concatenate([cell.bias_x, cell.bias_h])),
                )
            ]
            kept = [n for n in (cell.h, cell.c) if n >= 0]
            initial = [self._axis("Unsqueeze", starts[n], 0, f"{k}.start.{n}") for n in kept]
            inputs = [x, *arrays, "", *initial]
            if cell.peephole is not None:
                inputs.append(self._constant(f"{k}.P", cell.peephole[None]))
            outputs = [f"{self.name}.{k}.Y", *(f"{self.name}.{k}.last.{n}" for n in kept)]
            self._node(cell.kind, inputs, outputs, **_options(cell))
            every.append(self._axis("Squeeze", outputs[0], 1, f"{k}.every"))
            last |= {
                n: self._axis("Squeeze", output, 0, f"{k}.end.{n}")
                for n, output in zip(kept, outputs[1:], strict=True)
            }
        return every, last

    def rename(self, tensor: str, name: str) -> None:
        """Give a tensor another name."""
        self._node("Identity", [tensor], [name])

    def _axis(self, op: str, x: str, axis: int, name: str) -> str:
        output = f"{self.name}.{name}"
        if self.opset < 13:
            self._node(op, [x], [output], axes=[axis])
        else:
            axes = self._constant(f"{name}.axis", np.array([axis], np.int64))
            self._node(op, [x, axes], [output])
        return output

    def _constant(self, name: str, array: Any) -> str:
        from onnx import numpy_helper

        output, values = f"{self.name}.{name}", np.asarray(array)
        if values.dtype == np.float64:  # scaled on the way here; the graph is one of float32
            values = values.astype(np.float32)
        self._node("Constant", [], [output], value=numpy_helper.from_array(values))
        return output

    def _node(self, op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0], **attributes))


def _options(cell: Cell) -> dict[str, Any]:
    """Return the attributes of a node; Affine is the activation that changes nothing."""
    H = cell.weight_h.shape[1]
    options: dict[str, Any] = {"hidden_size": H}
    names, alphas, betas = [], [], []
    for text in cell.activations:
        name, *numbers = text.split()
        if name not in _NAMES and name != "hard_sigmoid":
            raise ConvertError(f"its activation {text} is none of a cell in ONNX")
        names.append(_NAMES.get(name, "HardSigmoid"))
        if name in ("linear", "hard_sigmoid"):
            alpha, beta = (float(n) for n in numbers or ("1", "0"))
            alphas.append(alpha)
            betas.append(beta)
    options["activations"] = names
    if alphas:
        options |= {"activation_alpha": alphas, "activation_beta": betas}
    if cell.kind == "GRU":
        options["linear_before_reset"] = int(cell.before_reset)
    return options
