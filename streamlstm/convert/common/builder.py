"""Builds a model layer by layer, and folds layers together where the results stay the same.

Converters append the layers of their source in order; the result is a :class:`streamlstm.Model`
with as few layers as possible. Folding is computed in float64.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...errors import ConvertError, ModelError
from ...network.layers import LSTM, Conv1D, Dense, Layer, LayerNorm, Parallel, Pointwise
from ...network.model import Model
from ...network.scaling import Scaling
from ...network.window import can_be_stepped
from .error_context import AdvisedError
from .scalers import as_scaling
from .weights import Float64Array

_WHOLE = (
    "with nothing yet: layers and weights are all in the file; sl.compare and convert --check run "
    "both"
)
Arrays = dict[str, Float64Array]
_MOST_ARRAYS = 1024  # of branches


class ModelBuilder:
    """Builds a model from the layers of a network, in order.

    Parameters
    ----------
    width : int, optional
        F, features of one observation; by default the input size of the first layer.
    inside : bool
        Whether these are layers of a branch, which have no input scaling of their own.

    Attributes
    ----------
    notes : list of str
        Remarks of the converter; they become ``metadata["notes"]`` of the model.
    window : int, optional
        The fixed number of rows that the network takes in its file: if the caller does not say
        otherwise, a recurrent one becomes a window model.
    """

    def __init__(self, width: int | None = None, inside: bool = False) -> None:
        self._inside = inside
        self.layers: list[Layer] = []
        self.weights: list[Arrays] = []
        self.notes: list[str] = []
        self.window: int | None = None
        self._width = width
        self._scaling: tuple[Float64Array, Float64Array] | None = None

    @property
    def width(self) -> int | None:
        """Output size of the last layer; None before the first layer if F is not known."""
        return self.layers[-1].output_size if self.layers else self._width

    def add(self, layer: Layer, weights: Mapping[str, ArrayLike], name: str = "") -> None:
        """Append a layer; a scaling before it is folded into its weights.

        Parameters
        ----------
        layer : layer specification
        weights : mapping of str to array
            Those of ``layer.parameters()``.
        name : str
            Name of the layer in the source, for error messages.

        Raises
        ------
        ConvertError
            If its input size is not the output size before it, or a weight has another shape.
        """
        where = name or f"layer {len(self.layers)} ({layer.kind})"
        if self.width not in (None, layer.input_size):
            raise ConvertError(
                f"{where} takes {layer.input_size} values, but the layer before it returns "
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
        """Append ``y = x * weight + bias``; each a number or float64[N]."""
        N = self.need_width(name)
        weight, bias = (np.broadcast_to(np.asarray(a, np.float64), N) for a in (weight, bias))
        if (weight == 1).all() and (bias == 0).all():
            return
        last = self.layers[-1] if self.layers else None
        if isinstance(last, LayerNorm) or _is_linear(last):
            arrays = self.weights[-1]
            factor = weight.reshape(-1, *[1] * (arrays["weight"].ndim - 1))
            arrays["weight"] = arrays["weight"] * factor
            arrays["bias"] = arrays["bias"] * weight + bias
        else:
            self.add(Pointwise(N), {"weight": weight, "bias": bias}, name)

    def normalise(self, mean: ArrayLike, deviation: ArrayLike, name: str = "") -> None:
        """Append ``y = (x - mean) / deviation``; as the first layer it becomes input scaling.

        Folding a mean far from zero into weights would lose digits; the engine subtracts it first.
        """
        N = self.need_width(name)
        mean, deviation = (np.broadcast_to(np.asarray(a, np.float64), N) for a in (mean, deviation))
        first = not self.layers and self._scaling is None and not self._inside
        if not first or not (deviation > 0).all():
            self.scale(1 / deviation, -mean / deviation, name)
        else:
            self._scaling = mean, deviation

    def activate(self, activation: str, name: str = "") -> None:
        """Append an activation; a layer without one takes it as its own."""
        last = self.layers[-1] if self.layers else None
        N = self.need_width(name)
        if activation == "linear":
            return
        if isinstance(last, Dense | Conv1D):
            if last.activation == "linear":
                self.layers[-1] = replace(last, activation=activation)
                return
        elif isinstance(last, Pointwise) and last.activation == "linear":
            self.layers[-1] = Pointwise(last.input_size, activation)
            return
        self.add(Pointwise(N, activation), {"weight": np.ones(N), "bias": np.zeros(N)}, name)

    def branch(self) -> "ModelBuilder":
        """Return the builder of a branch that parts here, for :meth:`join`."""
        return ModelBuilder(self.width, inside=True)

    def join(self, parts: Sequence["ModelBuilder"], merge: str, name: str = "") -> None:
        """Append branches that are merged, as :class:`streamlstm.Parallel` does."""
        branches = [part.layers for part in parts]
        weights = {
            f"{b}.{n}.{key}": array
            for b, part in enumerate(parts)
            for n, arrays in enumerate(part.weights)
            for key, array in arrays.items()
        }
        if len(weights) > _MOST_ARRAYS:
            raise AdvisedError(
                f"{name or 'a layer'} joins branches that share what comes before again and again, "
                f"{len(weights)} arrays if it is written out for each, as of a recurrent layer "
                "that is written out step by step. Bring that as one layer (LSTM, GRU, RNN), or "
                "the network from the software that it was made with."
            )
        self.notes += [n for part in parts for n in part.notes if n not in self.notes]
        self.add(Parallel(self.need_width(name), branches, merge), weights, name)

    def build(self, source: str, *, compared: str = "", **options: Any) -> Model:
        """Return the model.

        Parameters
        ----------
        source : str
            Name of the framework, for the metadata.
        compared : str
            What the conversion was compared with, "no: ..." if with nothing; it becomes
            ``metadata["compared"]``, which the model shows. By default that the file says all.
        **options
            Those of :class:`streamlstm.Model`; ``horizon`` is 0, no forecast, by default.

        Raises
        ------
        ConvertError
            If there is no layer, or an option does not fit the layers.
        """
        if not self.layers:
            N = self.need_width("the network")
            self.add(Pointwise(N), {"weight": np.ones(N), "bias": np.zeros(N)})
        self._read_scalings(options)
        self._place_scaling(options)
        if self.window is not None and any(x.state or x.over_rows for x in self.layers):
            self._take_window(options, self.window)
        options["metadata"] = {"source": source, **(options.get("metadata") or {})}
        options["metadata"].setdefault("compared", compared or _WHOLE)
        if self.notes:
            options["metadata"].setdefault("notes", " ".join(self.notes))
        options.setdefault("horizon", 0)
        try:
            return Model(self.layers, self.weights, **options)
        except ModelError as error:
            raise ConvertError(str(error)) from None

    def _read_scalings(self, options: dict[str, Any]) -> None:
        """Read scalings that are files, mappings or scalers; their names are those of columns."""
        sizes = {"inputs": self.layers[0].input_size, "outputs": self.layers[-1].output_size}
        for side, size in sizes.items():
            key = f"{side.removesuffix('s')}_scaling"
            if options.get(key) is not None:
                options[key], names = as_scaling(options[key], side, size, options.get(side))
                if names is not None and options.get(side) is None:
                    options[side] = names

    def _take_window(self, options: dict[str, Any], rows: int) -> None:
        if "window" not in options:
            options["window"] = rows
            note = (
                f"The network takes windows of {rows} row{'s' * (rows != 1)}, so each step runs it "
                f"over the last {rows} from its initial state."
            )
            if can_be_stepped(self.layers):
                note += (
                    " With --stateful (window=None) it keeps its state from step to step instead, "
                    "and predicts something else."
                )
            self.notes.append(note)

    def need_width(self, name: str) -> int:
        """Return the width; refuse a layer, by its name, whose inputs are not known."""
        if self.width is None:
            raise ConvertError(
                f"{name or 'the first layer'}: the number of its inputs is not known."
            )
        return self.width

    def _place_scaling(self, options: dict[str, Any]) -> None:
        """Pass the leading scaling to the model, or fold it if the caller gives a scaling."""
        if self._scaling is None:
            return
        mean, deviation = self._scaling
        if options.get("input_scaling") is None:
            options["input_scaling"] = Scaling(
                mean.astype(np.float32), deviation.astype(np.float32)
            )
            return
        rest = ModelBuilder(len(mean))
        rest.scale(1 / deviation, -mean / deviation)
        for layer, weights in zip(self.layers, self.weights, strict=True):
            rest.add(layer, weights)
        self.layers, self.weights = rest.layers, rest.weights

    def _take_scaling(self, layer: Layer, arrays: Arrays) -> bool:
        """Fold a linear Pointwise before ``layer`` into its weights; False if there is none."""
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
    return isinstance(layer, Dense | Pointwise | Conv1D) and layer.activation == "linear"


def _check_arrays(layer: Layer, arrays: Arrays, where: str) -> None:
    shapes = layer.parameters()
    for key, shape in shapes.items():
        if key not in arrays:
            raise ConvertError(f"{where} lacks {key}, shape {shape}.")
        if arrays[key].shape != shape:
            raise ConvertError(f"{where}.{key}: expected shape {shape}, got {arrays[key].shape}.")
    if arrays.keys() - shapes.keys():
        extra = ", ".join(f"{key} {arrays[key].shape}" for key in arrays.keys() - shapes.keys())
        raise ConvertError(f"{where} has unexpected weights: {extra}.")
