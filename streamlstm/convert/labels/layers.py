"""Layers as PyTorch has them, and their assembly into a model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...errors import ConvertError
from ...network.layers import Dense, Embedding, LayerNorm
from ..common.builder import ModelBuilder
from ..common.error_context import layer_errors
from ..common.weights import Float64Array, Weights, to_float64
from .recurrent import add_recurrent, recurrent_width

InitialState = Any  # None, h0, or (h0, c0): tensors or arrays
Affine = tuple[ArrayLike, ArrayLike]  # weight, bias: x * weight + bias

ORDER = (
    "Layers are taken one behind the other, in the order in which they are registered: if forward "
    "does anything else, give the module, which says what (from_torch(module), or module=; on the "
    "shell --module my_file:MyNet)."
)


@dataclass
class TorchLayer:
    """One layer, or one function between layers.

    Attributes
    ----------
    name : str
        As in ``named_modules``.
    kind : str
        recurrent, linear, batch_norm, layer_norm, embedding, function, rows (a layer over the rows
        of a window), branches, or table: an embedding or a linear layer without bias, which only
        the next layer can tell apart.
    weights : Weights
    options : dict
        Options of its kind: epsilon, activation, features, initial_state; dim of a softmax; both,
        of a bidirectional layer: "rows" or "ends"; layer, the one over rows as it is here;
        branches, lists of layers, and merge.
    steps : list
        For a function: names of activations and affine maps, in order.
    gap : str, optional
        Name of the child without weights that follows it, probably an activation.
    open : bool
        Whether nobody knows what ``forward`` applies to its output, as of a state dict.
    """

    name: str
    kind: str
    weights: Weights
    options: dict[str, Any] = field(default_factory=dict)
    steps: Sequence[str | Affine] = ()
    gap: str | None = None
    open: bool = False

    def copy(self) -> "TorchLayer":
        """Return a copy, of which all weights can be taken, those of branches too."""
        options = dict(self.options)
        if self.kind == "branches":
            options["branches"] = [[layer.copy() for layer in b] for b in options["branches"]]
        return replace(self, weights=self.weights.copy(), options=options)

    @property
    def width(self) -> int | None:
        """Number of input values; None where any number will do."""
        shapes = self.weights.shapes
        if self.kind == "recurrent":
            return recurrent_width(self.weights)
        if self.kind in ("batch_norm", "layer_norm"):
            size = self.options.get("features")
            name = "running_mean" if self.kind == "batch_norm" else "weight"
            return size or (shapes[name][0] if shapes.get(name) else None)
        if self.kind == "rows":
            width: int = self.options["layer"].input_size
            return width
        if self.kind == "branches":
            firsts = [_next_width(branch, 0) for branch in self.options["branches"]]
            return next((width for width in firsts if width is not None), None)
        if self.kind in ("linear", "table"):
            shape = shapes.get("weight", ())
            return shape[1] if len(shape) == 2 else None
        return None


def to_array(tensor: Any, where: str) -> Float64Array:
    """Return a tensor of any float type, or an array, as float64."""
    if hasattr(tensor, "detach"):
        if tensor.is_meta:
            raise ConvertError(f"{where}: the weights are on the meta device: load them first.")
        if type(tensor).__name__.startswith("Uninitialized"):
            raise ConvertError(f"{where}: a lazy module has no weights before it is called once.")
        if tensor.is_quantized or tensor.is_complex():
            raise ConvertError(f"{where}: expected floating-point numbers, got {tensor.dtype}.")
        tensor = tensor.detach().cpu().double().numpy()
    return to_float64(tensor, where)


def make_weights(name: str, tensors: Mapping[str, Any]) -> Weights:
    """Return the weights of one layer; ``tensors`` may hold tensors or arrays."""
    return Weights(name, {key: to_array(value, f"{name}.{key}") for key, value in tensors.items()})


def assemble(
    layers: Sequence[TorchLayer],
    activations: dict[str, str],
    initial_states: Sequence[InitialState],
) -> ModelBuilder:
    """Return the model of these layers; parameters as for :func:`streamlstm.from_torch`."""
    _check_activations(layers, activations)
    _assign_initial_states(layers, initial_states)
    _check_linear_pairs(layers, activations)
    builder = ModelBuilder(_next_width(layers, 0))
    for n, layer in enumerate(layers):
        with layer_errors(layer.name):
            _add(builder, layer, _next_width(layers, n + 1), first=n == 0)
        layer.weights.finish()
        if layer.name in activations:
            with layer_errors(layer.name):
                builder.activate(activations[layer.name], layer.name)
        elif layer.gap is not None:
            raise ConvertError(
                f"a state dict does not say what {layer.gap}, between {layer.name} and "
                f"{layers[n + 1].name}, is: give the module, or its activation as "
                f"activations={{{layer.name!r}: 'relu'}}, on the shell --activation "
                f"{layer.name}=relu ('linear' if it is none, as dropout)."
            )
    return builder


def _check_linear_pairs(layers: Sequence[TorchLayer], activations: Mapping[str, str]) -> None:
    """Ask for what a state dict does not say: nobody trains two linear layers with nothing between.

    A batch normalisation between them changes nothing of that.
    """
    before: TorchLayer | None = None
    for n, layer in enumerate(layers):
        linear = layer.kind == "linear" or (layer.kind == "table" and n > 0)
        fits = before is not None and before.weights.shapes["weight"][0] == layer.width
        if before is not None and fits and linear and before.open:
            raise ConvertError(
                f"a state dict does not say what forward applies between {before.name} and "
                f"{layer.name}, and with nothing between both would be one linear layer: give the "
                f"module, on the shell --module, or the activation as activations="
                f"{{{before.name!r}: 'relu'}}, on the shell --activation {before.name}=relu "
                "('linear' if there is none)."
            )
        told = layer.name in activations or layer.gap is not None
        if linear and not told:
            before = layer
        elif layer.kind != "batch_norm" or told:
            before = None


def _add(builder: ModelBuilder, layer: TorchLayer, next_width: int | None, first: bool) -> None:
    kind, weights, name = layer.kind, layer.weights, layer.name
    if kind == "table":
        kind = _resolve_table(layer, next_width, first)
    if kind == "embedding":
        _add_embedding(builder, layer, next_width, first)
        return
    if None not in (builder.width, layer.width) and builder.width != layer.width:
        raise ConvertError(
            f"{name} takes {layer.width} values, but the layer before it returns "
            f"{builder.width}. {ORDER}"
        )
    if kind == "recurrent":
        add_recurrent(builder, weights, name, **layer.options)
    elif kind == "linear":
        _add_linear(builder, weights, name)
    elif kind == "rows":
        made = layer.options["layer"]
        builder.add(made, {key: weights.take(key) for key in weights.shapes}, name)
    elif kind == "branches":
        _add_branches(builder, layer)
    elif kind == "batch_norm":
        _add_batch_norm(builder, layer)
    elif kind == "layer_norm":
        _add_layer_norm(builder, layer)
    else:
        for step in layer.steps:
            if isinstance(step, str):
                builder.activate(step, name)
            else:
                builder.scale(*step, name)


def _add_branches(builder: ModelBuilder, layer: TorchLayer) -> None:
    parts = [builder.branch() for _ in layer.options["branches"]]
    for part, layers in zip(parts, layer.options["branches"], strict=True):
        for n, inner in enumerate(layers):
            _add(part, inner, _next_width(layers, n + 1), first=False)
            inner.weights.finish()
    builder.join(parts, layer.options["merge"], layer.name)


def _add_linear(builder: ModelBuilder, weights: Weights, name: str) -> None:
    weight = weights.take("weight")
    O, K = weight.shape
    builder.add(Dense(K, O), {"weight": weight, "bias": weights.take_or("bias", (O,), 0)}, name)


def _add_batch_norm(builder: ModelBuilder, layer: TorchLayer) -> None:
    weights, name = layer.weights, layer.name
    mean = weights.take("running_mean")
    N = mean.shape[0]
    deviation = np.sqrt(weights.take("running_var", (N,)) + layer.options["epsilon"])
    if "num_batches_tracked" in weights:
        weights.take("num_batches_tracked", ())
    builder.normalise(mean, deviation, name)
    builder.scale(weights.take_or("weight", (N,), 1), weights.take_or("bias", (N,), 0), name)


def _add_layer_norm(builder: ModelBuilder, layer: TorchLayer) -> None:
    weights, name = layer.weights, layer.name
    N = layer.width or 0
    gain, bias = weights.take_or("weight", (N,), 1), weights.take_or("bias", (N,), 0)
    builder.add(LayerNorm(N, layer.options["epsilon"]), {"weight": gain, "bias": bias}, name)


def _add_embedding(
    builder: ModelBuilder, layer: TorchLayer, next_width: int | None, first: bool
) -> None:
    """Append an embedding; inputs of the next layer beyond its vector are numeric features."""
    weight = layer.weights.take("weight")
    if not first:
        raise ConvertError(
            f"{layer.name} is an embedding: expected it to be the first layer. {ORDER}"
        )
    categories, dimension = weight.shape
    numeric = 0 if next_width is None else next_width - dimension
    if numeric < 0:
        raise ConvertError(
            f"{layer.name}: its vectors have {dimension} values, but what follows takes "
            f"{next_width}. {ORDER}"
        )
    builder.add(Embedding(1 + numeric, categories, dimension), {"weight": weight}, layer.name)


def _resolve_table(layer: TorchLayer, next_width: int | None, first: bool) -> str:
    """Return whether a matrix without bias is an embedding or a linear layer."""
    rows, columns = layer.weights.shapes["weight"]
    hint = layer.name.lower().rsplit(".", 1)[-1]
    linear = next_width in (None, rows)
    embedding = first and next_width is not None and next_width >= columns
    if not (linear and embedding):
        return "embedding" if embedding else "linear"
    if "emb" in hint:
        return "embedding"
    if rows != columns or any(word in hint for word in ("lin", "fc", "dense", "proj", "head")):
        return "linear"
    raise ConvertError(
        f"{layer.name}.weight {rows, columns} may be an embedding or a linear layer without bias: "
        "give the module instead of its state dict."
    )


def _next_width(layers: Sequence[TorchLayer], n: int) -> int | None:
    """Return the input width of the first layer from ``n`` on that has one."""
    for layer in layers[n:]:
        if n == 0 and layer.kind in ("embedding", "table"):
            return None  # the next layer decides how many inputs an embedding has
        if layer.width is not None:
            return layer.width
    return None


def _check_activations(layers: Sequence[TorchLayer], activations: Mapping[str, str]) -> None:
    names = [layer.name for layer in layers]
    for name in activations.keys() - set(names):
        raise ConvertError(
            f"activations: there is no layer {name!r}; there are {', '.join(names)}."
        )


def _assign_initial_states(layers: Sequence[TorchLayer], states: Sequence[InitialState]) -> None:
    """Assign the caller's initial states to the recurrent layers."""
    recurrent = [layer for layer in layers if layer.kind == "recurrent"]
    if states and len(states) != len(recurrent):
        raise ConvertError(
            f"initial_state: expected one for each of {len(recurrent)} recurrent modules, got "
            f"{len(states)}."
        )
    for layer, state in zip(recurrent, states, strict=False):
        if state is not None:
            vectors = state if isinstance(state, tuple | list) else (state,)
            layer.options["initial_state"] = list(_vectors(vectors, layer.name))


def _vectors(vectors: Sequence[Any], name: str) -> Iterator[Float64Array]:
    for letter, vector in zip("hc", vectors, strict=False):
        yield to_array(vector, f"{name}: initial {letter}")
