"""Explains one step: the values of every gate of every layer.

The forget gate says what share of each cell stays, the input gate what share of the candidate is
added, the output gate what share of the cell goes into the hidden state.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.reference import ReferenceBackend
from ..network.layers import Layer
from ..network.model import Model
from .prediction import ResultLayout

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """The values of one layer in a step.

    Attributes
    ----------
    layer : Layer
        The layer.
    values : dict of str to float32[H]
        An LSTM has ``input_gate``, ``forget_gate``, ``candidate``, ``output_gate``, ``cell``; a GRU
        ``reset_gate``, ``update_gate``, ``candidate``; every recurrent layer has ``hidden``,
        every other one ``output``. Cell and hidden state are those after the step.
    """

    layer: Layer
    values: dict[str, Float32Array]

    def __getattr__(self, name: str) -> Float32Array:
        """Return the vector of that name."""
        try:
            return self.values[name]
        except KeyError:
            known = ", ".join(self.values)
            raise AttributeError(
                f"a {self.layer.kind} layer has no {name}; it has {known}"
            ) from None


@dataclass(frozen=True, eq=False)
class Explanation:
    """The values that a network would compute for one observation.

    Attributes
    ----------
    layers : tuple of LayerTrace
        One for each layer of the model.
    prediction : float32[O] or float64[O]
        What :meth:`streamlstm.Engine.step` would return, to rounding.
    """

    layers: tuple[LayerTrace, ...]
    prediction: NDArray[Any]


class Explainer:
    """Traces observations through one model, by the reference backend.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._reference = ReferenceBackend(model)

    def explain(self, row: Float32Array, x: Float32Array, time: float | None) -> Explanation:
        """Trace one observation x[F] through all layers, starting from the state row[R]."""
        moment = np.array([np.nan if time is None else time])
        results, traces = self._reference.trace(row[None].copy(), x[None], moment)
        layers = []
        for layer, trace in zip(self.model.layers, traces, strict=True):
            output = trace.pop("output")
            trace["hidden" if "h" in layer.state else "output"] = output
            vectors = {name: np.array(value[0], np.float32) for name, value in trace.items()}
            layers.append(LayerTrace(layer, vectors))
        result = np.array(results[0], np.float32)
        return Explanation(tuple(layers), ResultLayout.of(self.model).outputs_of(result))
