"""A model: layers, weights, names, scaling, and the checks that they fit together."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ModelError
from .layers import Embedding, Layer, describe_layer, layer_to_dict

if TYPE_CHECKING:
    from .check import PrecisionCheck

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scaling:
    """A shift and a scale for each of ``n`` columns: ``z = (x - mean) / scale``.

    Parameters
    ----------
    mean : float32[n]
        In the unit of the series.
    scale : float32[n]
        In the unit of the series; finite and greater than zero.
    """

    mean: Float32Array
    scale: Float32Array

    def __post_init__(self) -> None:
        for name in ("mean", "scale"):
            object.__setattr__(self, name, _float32(f"scaling.{name}", getattr(self, name)))
        if self.mean.ndim != 1 or self.mean.shape != self.scale.shape:
            raise ModelError(
                "scaling: expected mean and scale to be vectors of one length, "
                f"got shapes {self.mean.shape} and {self.scale.shape}."
            )
        # The kernels multiply by 1 / scale, which below this is no float32.
        if not (self.scale >= np.finfo(np.float32).tiny).all():
            raise ModelError("scaling: expected every scale to be greater than zero.")

    @classmethod
    def identity(cls, n: int) -> "Scaling":
        """Return the scaling that changes nothing, for ``n`` columns."""
        return cls(np.zeros(n, np.float32), np.ones(n, np.float32))

    def apply(self, x: ArrayLike) -> NDArray[Any]:
        """Return ``(x - mean) / scale``: from the unit of the series to the network's."""
        return (np.asarray(x) - self.mean) / self.scale

    def invert(self, z: ArrayLike) -> NDArray[Any]:
        """Return ``z * scale + mean``: from the network's unit to that of the series."""
        return np.asarray(z) * self.scale + self.mean


class Model:
    """A network ready to be stepped: what it computes, and what its numbers mean.

    One step is ``y = output_scaling.invert(layers(input_scaling.apply(x)))``; where ``skip``
    names an input, that input is added: ``y[o] += skip_scale[o] * x[skip[o]]``.

    Parameters
    ----------
    layers : sequence of layer specifications
        Applied in order; each takes what the one before hands on.
    weights : sequence of dict of str to array
        For each layer the arrays that ``layer.parameters()`` lists; kept as float32.
    inputs, outputs : sequence of str, optional
        Names of the F features and the O outputs; ``x0, x1, ...`` and ``y0, y1, ...`` if left out.
    input_scaling, output_scaling : Scaling, optional
        In the unit of the series; none if left out.
    skip : sequence of int, optional
        For each output the index of the input that is added to it, or -1 for none. With it a
        network predicts the change of a series instead of its level.
    skip_scale : sequence of float, optional
        For each output what that input is multiplied by; 1 for all if left out. It is kept as
        float32[O], or None where it changes nothing.
    horizon : int
        How many steps ahead of its observation a prediction speaks of; 0 if it is no forecast.
    metadata : mapping of str to str, optional
        Anything worth keeping about where the model came from. It changes no result.

    Raises
    ------
    ModelError
        If anything does not fit; the message names the layer, the parameter and the shapes.
    """

    layers: tuple[Layer, ...]
    weights: tuple[dict[str, Float32Array], ...]

    def __init__(
        self,
        layers: Sequence[Layer],
        weights: Sequence[Mapping[str, ArrayLike]],
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
        input_scaling: Scaling | None = None,
        output_scaling: Scaling | None = None,
        skip: Sequence[int] | None = None,
        horizon: int = 1,
        metadata: Mapping[str, str] | None = None,
        skip_scale: ArrayLike | None = None,
    ) -> None:
        self.layers = tuple(layers)
        _check_chain(self.layers)
        if len(weights) != len(self.layers):
            raise ModelError(
                f"expected weights for {len(self.layers)} layers, got {len(weights)} sets."
            )
        self.weights = tuple(
            _check_weights(n, layer, given)
            for n, (layer, given) in enumerate(zip(self.layers, weights, strict=True))
        )
        F, O = self.input_size, self.output_size
        self.inputs = _check_names("inputs", inputs, "x", F)
        self.outputs = _check_names("outputs", outputs, "y", O)
        self.input_scaling = _check_scaling("input_scaling", input_scaling, F)
        self.output_scaling = _check_scaling("output_scaling", output_scaling, O)
        if self.categories and (self.input_scaling.mean[0], self.input_scaling.scale[0]) != (0, 1):
            raise ModelError("input_scaling: expected 0 and 1 for the category in the first input.")
        self.skip = _check_skip(skip, F, O)
        self.skip_scale = _check_skip_scale(skip_scale, self.skip, O)
        if not isinstance(horizon, int) or isinstance(horizon, bool) or horizon < 0:
            raise ModelError(f"horizon: expected an integer of 0 or more, got {horizon!r}.")
        self.horizon = horizon
        self.metadata = {str(key): str(value) for key, value in (metadata or {}).items()}

    @property
    def input_size(self) -> int:
        """F, features of one observation."""
        return self.layers[0].input_size

    @property
    def output_size(self) -> int:
        """O, outputs of one prediction."""
        return self.layers[-1].output_size

    @property
    def categories(self) -> int:
        """How many categories the first input may name; 0 if it is an ordinary number."""
        first = self.layers[0]
        return first.categories if isinstance(first, Embedding) else 0

    @property
    def skip_factors(self) -> Float32Array:
        """What the input that ``skip`` adds to each output is multiplied by: float32[O]."""
        return np.ones(self.output_size, np.float32) if self.skip_scale is None else self.skip_scale

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that change with anything that changes a result or a name."""
        digest = hashlib.sha256(json.dumps(self.specification(), sort_keys=True).encode())
        for name, array in sorted(self.arrays().items()):
            digest.update(name.encode() + b"\0" + array.tobytes())
        return digest.hexdigest()[:32]

    def specification(self) -> dict[str, Any]:
        """Return everything but the arrays and the metadata, as plain values for JSON."""
        return {
            "layers": [layer_to_dict(layer) for layer in self.layers],
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "skip": None if self.skip is None else list(self.skip),
            "horizon": self.horizon,
        }

    def arrays(self) -> dict[str, Float32Array]:
        """Return every array under the name that it has in a model file."""
        arrays = {
            f"layers.{n}.{name}": array
            for n, weights in enumerate(self.weights)
            for name, array in weights.items()
        }
        for side in ("input", "output"):
            scaling: Scaling = getattr(self, f"{side}_scaling")
            arrays[f"{side}_scaling.mean"] = scaling.mean
            arrays[f"{side}_scaling.scale"] = scaling.scale
        if self.skip_scale is not None:
            arrays["skip_scale"] = self.skip_scale
        return arrays

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one .safetensors file (docs/model-file.md)."""
        from .modelfile import save_model

        save_model(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Model":
        """Read a model from a .safetensors file; nothing from the file is ever executed.

        Raises
        ------
        ModelFileError
            If the file is missing, damaged, foreign, or written by a newer version.
        """
        from .modelfile import load_model

        return load_model(path)

    def to_onnx(self, path: str | PathLike[str]) -> None:
        """Write one step of the model as an ONNX graph, state in and out.

        Names and shapes of its inputs and outputs: :func:`streamlstm.convert.to_onnx`.

        Raises
        ------
        ConvertError
            If onnx is not installed.
        """
        from .convert import to_onnx

        to_onnx(self, path)

    def with_weights(self, weights: Sequence[Mapping[str, ArrayLike]]) -> "Model":
        """Return this model with other weights for its layers, one set for each."""
        return Model(
            self.layers,
            weights,
            self.inputs,
            self.outputs,
            self.input_scaling,
            self.output_scaling,
            self.skip,
            self.horizon,
            self.metadata,
            self.skip_scale,
        )

    def check(self, weights: str = "float16", steps: int = 200, seed: int = 0) -> "PrecisionCheck":
        """Measure what weights of 16 bits cost, on random observations.

        Parameters
        ----------
        weights : {"float16", "bfloat16"}
            As for :class:`streamlstm.Engine`.
        steps : int
            How many observations each of 16 streams gets.
        seed : int
            Of the observations, which are normal in the unit that the input scaling gives.

        Returns
        -------
        PrecisionCheck
            The largest and the usual difference, next to the spread of the predictions.

        Raises
        ------
        ModelError
            If there is no such precision, or a weight is too large for it.
        """
        from .check import check_precision_cost

        return check_precision_cost(self, weights, steps, seed)

    def __repr__(self) -> str:
        """Show the layers, one after the other."""
        chain = " -> ".join(describe_layer(layer) for layer in self.layers)
        return f"<Model {', '.join(self.inputs)} -> {chain} -> {', '.join(self.outputs)}>"


def _float32(name: str, values: ArrayLike) -> Float32Array:
    try:
        # Always a copy: a caller who goes on training must not change a model that is in use.
        array = np.array(values, dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name}: expected an array of numbers: {error}.") from None
    if not np.isfinite(array).all():
        raise ModelError(f"{name}: expected finite numbers, found NaN, infinite or beyond float32.")
    array.flags.writeable = False
    return array


def _check_chain(layers: tuple[Layer, ...]) -> None:
    if not layers:
        raise ModelError("expected at least one layer, got none.")
    for n in range(1, len(layers)):
        if isinstance(layers[n], Embedding):
            raise ModelError(f"layer {n} is an embedding: expected it to be the first layer.")
        given, wanted = layers[n - 1].output_size, layers[n].input_size
        if given != wanted:
            raise ModelError(
                f"layer {n} ({layers[n].kind}) takes {wanted} values, but layer {n - 1} "
                f"({layers[n - 1].kind}) hands on {given}."
            )


def _check_weights(n: int, layer: Layer, given: Mapping[str, ArrayLike]) -> dict[str, Float32Array]:
    shapes = layer.parameters()
    where = f"layer {n} ({layer.kind})"
    for name in shapes.keys() - given.keys():
        raise ModelError(f"{where} lacks {name}, shape {shapes[name]}.")
    for name in given.keys() - shapes.keys():
        raise ModelError(f"{where} has no parameter {name!r}; it has {', '.join(shapes)}.")
    arrays = {name: _float32(f"{where} {name}", given[name]) for name in shapes}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ModelError(f"{where} {name}: expected shape {shape}, got {arrays[name].shape}.")
    return arrays


def _check_names(what: str, names: Sequence[str] | None, letter: str, n: int) -> tuple[str, ...]:
    if names is None:
        return tuple(f"{letter}{index}" for index in range(n))
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        raise ModelError(f"{what}: expected a sequence of {n} names, got {names!r}.")
    if len(names) != n:
        raise ModelError(f"{what}: expected {n} names, got {len(names)}: {', '.join(names)}.")
    if len(set(names)) != n:
        raise ModelError(f"{what}: expected every name once, got {', '.join(names)}.")
    return tuple(names)


def _check_scaling(what: str, scaling: Scaling | None, n: int) -> Scaling:
    if scaling is None:
        return Scaling.identity(n)
    if scaling.mean.shape != (n,):
        raise ModelError(f"{what}: expected {n} columns, got {scaling.mean.shape[0]}.")
    return scaling


def _check_skip(
    skip: Sequence[int] | None, input_size: int, output_size: int
) -> tuple[int, ...] | None:
    if skip is None:
        return None
    indices = tuple(int(index) for index in skip)
    if len(indices) != output_size or not all(-1 <= index < input_size for index in indices):
        raise ModelError(
            f"skip: expected for each of {output_size} outputs an input's index from 0 to "
            f"{input_size - 1}, or -1 for none; got {list(skip)}."
        )
    return None if all(index < 0 for index in indices) else indices


def _check_skip_scale(
    scale: ArrayLike | None, skip: tuple[int, ...] | None, output_size: int
) -> Float32Array | None:
    if scale is None:
        return None
    factors = _float32("skip_scale", scale)
    if factors.shape != (output_size,):
        raise ModelError(
            f"skip_scale: expected a number for each of {output_size} outputs, got shape "
            f"{factors.shape}."
        )
    if skip is None:
        raise ModelError("skip_scale: expected a skip, which says what is scaled, got none.")
    factors = np.where(np.array(skip) < 0, np.float32(1), factors)  # these add nothing
    factors.flags.writeable = False
    return None if (factors == 1).all() else factors
