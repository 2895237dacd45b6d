"""What PyTorch's modules and state dicts are read into, and its way into a chain of layers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...errors import ConvertError
from ...network.layers import Dense, Embedding, LayerNorm
from ..common.chain import Chain
from ..common.refusal import naming
from ..common.weights import Float64Array, Weights, to_float64
from .recurrent import add_recurrent, recurrent_width

InitialState = Any  # None, h0, or (h0, c0): tensors or arrays
Scale = tuple[ArrayLike, ArrayLike]  # x * first + second

_ORDER = (
    "Layers are taken in the order in which they are registered: if forward calls them in another "
    "order, give a torch.nn.Sequential of them in that order."
)


@dataclass
class Part:
    """One layer as PyTorch has it.

    Attributes
    ----------
    name : str
        As ``named_modules`` says it.
    kind : str
        recurrent, linear, batch_norm, layer_norm, embedding, table (an embedding or a linear layer
        without bias: only what follows can say) or function.
    weights : Weights
    options : dict
        What the kind needs: epsilon, activation, features, initial_state; a softmax's dim.
    steps : list
        Of a function: activations by name and scales, one after the other.
    gap : str, optional
        Name of a child that stands after it and has no weights: an activation, most likely.
    """

    name: str
    kind: str
    weights: Weights
    options: dict[str, Any] = field(default_factory=dict)
    steps: Sequence[str | Scale] = ()
    gap: str | None = None

    @property
    def width(self) -> int | None:
        """How many values it takes; None where every number will do."""
        shapes = self.weights.shapes
        if self.kind == "recurrent":
            return recurrent_width(self.weights)
        if self.kind in ("batch_norm", "layer_norm"):
            size = self.options.get("features")
            name = "running_mean" if self.kind == "batch_norm" else "weight"
            return size or (shapes[name][0] if shapes.get(name) else None)
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
    parts: Sequence[Part], activations: dict[str, str], initial_states: Sequence[InitialState]
) -> Chain:
    """Put the parts into a chain; parameters as of :func:`streamlstm.from_torch`."""
    _check_activations(parts, activations)
    _place_initial_states(parts, initial_states)
    chain = Chain(_next_width(parts, 0))
    for n, part in enumerate(parts):
        with naming(part.name):
            _add(chain, part, _next_width(parts, n + 1), first=n == 0)
        part.weights.finish()
        if part.name in activations:
            with naming(part.name):
                chain.activate(activations[part.name], part.name)
        elif part.gap is not None:
            raise ConvertError(
                f"a state dict does not say what {part.gap}, between {part.name} and "
                f"{parts[n + 1].name}, is: give the module, or its activation as "
                f"activations={{{part.name!r}: 'relu'}}, on the shell --activation "
                f"{part.name}=relu ('linear' if it is none, as dropout)."
            )
    return chain


def _add(chain: Chain, part: Part, next_width: int | None, first: bool) -> None:
    kind, weights, name = part.kind, part.weights, part.name
    if kind == "table":
        kind = _resolve_table(part, next_width, first)
    if kind == "embedding":
        _add_embedding(chain, part, next_width, first)
        return
    if None not in (chain.width, part.width) and chain.width != part.width:
        raise ConvertError(
            f"{name} takes {part.width} values, but what stands before it hands on {chain.width}. "
            f"{_ORDER}"
        )
    if kind == "recurrent":
        add_recurrent(chain, weights, name, **part.options)
    elif kind == "linear":
        _add_linear(chain, weights, name)
    elif kind == "batch_norm":
        _add_batch_norm(chain, part)
    elif kind == "layer_norm":
        _add_layer_norm(chain, part)
    else:
        for step in part.steps:
            if isinstance(step, str):
                chain.activate(step, name)
            else:
                chain.scale(*step, name)


def _add_linear(chain: Chain, weights: Weights, name: str) -> None:
    weight = weights.take("weight")
    if weight.ndim != 2:
        raise ConvertError(f"{name}.weight: expected shape (outputs, inputs), got {weight.shape}.")
    O, K = weight.shape
    chain.add(Dense(K, O), {"weight": weight, "bias": weights.take_or("bias", (O,), 0)}, name)


def _add_batch_norm(chain: Chain, part: Part) -> None:
    weights, name = part.weights, part.name
    mean = weights.take("running_mean")
    N = mean.shape[0]
    deviation = np.sqrt(weights.take("running_var", (N,)) + part.options["epsilon"])
    if "num_batches_tracked" in weights:
        weights.take("num_batches_tracked", ())
    chain.normalise(mean, deviation, name)
    chain.scale(weights.take_or("weight", (N,), 1), weights.take_or("bias", (N,), 0), name)


def _add_layer_norm(chain: Chain, part: Part) -> None:
    weights, name = part.weights, part.name
    N = part.width or 0
    gain, bias = weights.take_or("weight", (N,), 1), weights.take_or("bias", (N,), 0)
    chain.add(LayerNorm(N, part.options["epsilon"]), {"weight": gain, "bias": bias}, name)


def _add_embedding(chain: Chain, part: Part, next_width: int | None, first: bool) -> None:
    """Append an embedding; what the next layer takes beyond its vector are numeric features."""
    weight = part.weights.take("weight")
    if not first:
        raise ConvertError(
            f"{part.name} is an embedding: expected it to be the first layer. {_ORDER}"
        )
    categories, dimension = weight.shape
    numeric = 0 if next_width is None else next_width - dimension
    if numeric < 0:
        raise ConvertError(
            f"{part.name}: its vectors have {dimension} values, but what follows takes "
            f"{next_width}. {_ORDER}"
        )
    chain.add(Embedding(1 + numeric, categories, dimension), {"weight": weight}, part.name)


def _resolve_table(part: Part, next_width: int | None, first: bool) -> str:
    """Say whether a matrix without bias is an embedding or a linear layer."""
    rows, columns = part.weights.shapes["weight"]
    hint = part.name.lower().rsplit(".", 1)[-1]
    linear = next_width in (None, rows)
    embedding = first and next_width is not None and next_width >= columns
    if not (linear and embedding):
        return "embedding" if embedding else "linear"
    if "emb" in hint:
        return "embedding"
    if rows != columns or any(word in hint for word in ("lin", "fc", "dense", "proj", "head")):
        return "linear"
    raise ConvertError(
        f"{part.name}.weight {rows, columns} may be an embedding or a linear layer without bias: "
        "give the module instead of its state dict."
    )


def _next_width(parts: Sequence[Part], n: int) -> int | None:
    """Return how many values the first part from ``n`` on takes that says so."""
    for part in parts[n:]:
        if n == 0 and part.kind in ("embedding", "table"):
            return None  # an embedding's inputs are known when what follows it is
        if part.width is not None:
            return part.width
    return None


def _check_activations(parts: Sequence[Part], activations: Mapping[str, str]) -> None:
    names = [part.name for part in parts]
    for name in activations.keys() - set(names):
        raise ConvertError(
            f"activations: there is no layer {name!r}; there are {', '.join(names)}."
        )


def _place_initial_states(parts: Sequence[Part], states: Sequence[InitialState]) -> None:
    """Give each recurrent part its initial state."""
    recurrent = [part for part in parts if part.kind == "recurrent"]
    if states and len(states) != len(recurrent):
        raise ConvertError(
            f"initial_state: expected one for each of {len(recurrent)} recurrent modules, got "
            f"{len(states)}."
        )
    for part, state in zip(recurrent, states, strict=False):
        if state is not None:
            vectors = state if isinstance(state, tuple | list) else (state,)
            part.options["initial_state"] = list(_vectors(vectors, part.name))


def _vectors(vectors: Sequence[Any], name: str) -> Iterator[Float64Array]:
    for letter, vector in zip("hc", vectors, strict=False):
        yield to_array(vector, f"{name}: initial {letter}")
