"""Layers as they are found in a file, folded together where that gives the same numbers.

Converters put in what they read, in order; out comes a :class:`streamlstm.Model` with as few
layers as there can be. Everything is folded in float64.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...errors import ConvertError, ModelError
from ...network.layers import LSTM, Dense, Layer, LayerNorm, Pointwise
from ...network.model import Model
from ...network.scaling import Scaling
from .weights import Float64Array

Arrays = dict[str, Float64Array]


class Chain:
    """A network while it is being read.

    Parameters
    ----------
    width : int, optional
        F, features of one observation; the first layer says it if it is left out.
    """

    def __init__(self, width: int | None = None) -> None:
        self.layers: list[Layer] = []
        self.weights: list[Arrays] = []
        self._width = width
        self._scaling: tuple[Float64Array, Float64Array] | None = None

    @property
    def width(self) -> int | None:
        """How many values the last layer hands on; None if nothing is known yet."""
        return self.layers[-1].output_size if self.layers else self._width

    def add(self, layer: Layer, weights: Mapping[str, ArrayLike], name: str = "") -> None:
        """Append a layer; a scaling that stands before it goes into its weights.

        Parameters
        ----------
        layer : layer specification
        weights : mapping of str to array
            What ``layer.parameters()`` lists.
        name : str
            How the file calls the layer, for the message if it does not fit.

        Raises
        ------
        ConvertError
            If it takes another number of values than come in, or a weight has another shape.
        """
        where = name or f"layer {len(self.layers)} ({layer.kind})"
        if self.width not in (None, layer.input_size):
            raise ConvertError(
                f"{where} takes {layer.input_size} values, but what stands before it hands on "
                f"{self.width}."
            )
        arrays = {key: np.array(values, np.float64) for key, values in weights.items()}
        _check_arrays(layer, arrays, where)
        if self._take_scaling(layer, arrays):
            self.layers.pop()
            self.weights.pop()
        self.layers.append(layer)
        self.weights.append(arrays)

    def scale(self, weight: ArrayLike, bias: ArrayLike, name: str = "") -> None:
        """Append ``y = x * weight + bias``; numbers, or one for each of the N values."""
        N = self._need_width(name)
        weight, bias = (np.broadcast_to(np.asarray(a, np.float64), N) for a in (weight, bias))
        if (weight == 1).all() and (bias == 0).all():
            return
        last = self.layers[-1] if self.layers else None
        if isinstance(last, LayerNorm) or _is_linear(last):
            arrays = self.weights[-1]
            factor = weight[:, None] if isinstance(last, Dense) else weight
            arrays["weight"] = arrays["weight"] * factor
            arrays["bias"] = arrays["bias"] * weight + bias
        else:
            self.add(Pointwise(N), {"weight": weight, "bias": bias}, name)

    def normalise(self, mean: ArrayLike, deviation: ArrayLike, name: str = "") -> None:
        """Append ``y = (x - mean) / deviation``, which is input scaling if nothing is before it.

        Folded into weights, a mean far from zero would cost digits; the engine subtracts it first.
        """
        N = self._need_width(name)
        mean, deviation = (np.broadcast_to(np.asarray(a, np.float64), N) for a in (mean, deviation))
        if self.layers or self._scaling is not None or not (deviation > 0).all():
            self.scale(1 / deviation, -mean / deviation, name)
        else:
            self._scaling = mean, deviation

    def activate(self, activation: str, name: str = "") -> None:
        """Append an activation; it becomes that of the layer before if that has none."""
        last = self.layers[-1] if self.layers else None
        N = self._need_width(name)
        if activation == "linear":
            return
        if isinstance(last, Dense):
            if last.activation == "linear":
                self.layers[-1] = Dense(last.input_size, last.output_size, activation)
                return
        elif isinstance(last, Pointwise) and last.activation == "linear":
            self.layers[-1] = Pointwise(last.input_size, activation)
            return
        self.add(Pointwise(N, activation), {"weight": np.ones(N), "bias": np.zeros(N)}, name)

    def build(self, source: str, **options: Any) -> Model:
        """Return the model.

        Parameters
        ----------
        source : str
            The framework, kept in the metadata.
        **options
            As :class:`streamlstm.Model` takes them; ``horizon`` is 0, no forecast, if left out.

        Raises
        ------
        ConvertError
            If there is no layer, or something does not fit.
        """
        if not self.layers:
            N = self._need_width("the network")
            self.add(Pointwise(N), {"weight": np.ones(N), "bias": np.zeros(N)})
        self._place_scaling(options)
        options["metadata"] = {"source": source, **(options.get("metadata") or {})}
        options.setdefault("horizon", 0)
        try:
            return Model(self.layers, self.weights, **options)
        except ModelError as error:
            raise ConvertError(str(error)) from None

    def _need_width(self, name: str) -> int:
        if self.width is None:
            raise ConvertError(
                f"{name or 'the first layer'}: nothing before it says how many values come in."
            )
        return self.width

    def _place_scaling(self, options: dict[str, Any]) -> None:
        """Hand the scaling in front to the model, or to the first layer if the caller has one."""
        if self._scaling is None:
            return
        mean, deviation = self._scaling
        if options.get("input_scaling") is None:
            options["input_scaling"] = Scaling(
                mean.astype(np.float32), deviation.astype(np.float32)
            )
            return
        rest = Chain(len(mean))
        rest.scale(1 / deviation, -mean / deviation)
        for layer, weights in zip(self.layers, self.weights, strict=True):
            rest.add(layer, weights)
        self.layers, self.weights = rest.layers, rest.weights

    def _take_scaling(self, layer: Layer, arrays: Arrays) -> bool:
        """Fold a linear Pointwise before ``layer`` into its weights, if it is there and can be."""
        last = self.layers[-1] if self.layers else None
        if not (isinstance(last, Pointwise) and last.activation == "linear"):
            return False
        weight, bias = self.weights[-1]["weight"], self.weights[-1]["bias"]
        key = "weight" if isinstance(layer, Dense) else "weight_ih"
        if key not in arrays or (isinstance(layer, LSTM) and layer.layer_norm):
            return False
        shift = "bias_ih" if "bias_ih" in arrays else "bias"
        arrays[shift] = arrays[shift] + arrays[key] @ bias
        arrays[key] = arrays[key] * weight
        return True


def _is_linear(layer: Layer | None) -> bool:
    return isinstance(layer, Dense | Pointwise) and layer.activation == "linear"


def _check_arrays(layer: Layer, arrays: Arrays, where: str) -> None:
    shapes = layer.parameters()
    for key, shape in shapes.items():
        if key not in arrays:
            raise ConvertError(f"{where} lacks {key}, shape {shape}.")
        if arrays[key].shape != shape:
            raise ConvertError(f"{where}.{key}: expected shape {shape}, got {arrays[key].shape}.")
    if arrays.keys() - shapes.keys():
        extra = ", ".join(f"{key} {arrays[key].shape}" for key in arrays.keys() - shapes.keys())
        raise ConvertError(f"{where} has weights that it should not have: {extra}.")
