"""What each layer is: its equations, the shapes of its parameters and the width of its state.

A layer here is a specification, a frozen dataclass without weights and without arithmetic. The
arithmetic stands in kernels/reference.py; the weights live in a :class:`streamlstm.Model`.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

from .errors import ModelError

Activation = Literal["linear", "relu", "tanh", "sigmoid"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)


@dataclass(frozen=True)
class LSTM:
    """A long short-term memory layer.

    With gates ``i, f, g, o`` (input, forget, candidate, output) stacked in this order::

        i, f, g, o = split(weight_ih @ x + weight_hh @ h + bias)
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')

    Parameters
    ----------
    input_size : int
        F, features of one observation.
    hidden_size : int
        H, width of the hidden state and of the cell state.

    Notes
    -----
    Parameters are ``weight_ih[4H, F]``, ``weight_hh[4H, H]`` and ``bias[4H]``, gate by gate as
    PyTorch stores them; PyTorch's two biases are added into one.

    References
    ----------
    S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997;
    F. Gers et al., "Learning to Forget", Neural Computation 12(10), 2000 (the forget gate).
    """

    input_size: int
    hidden_size: int
    kind: ClassVar[str] = "lstm"

    def __post_init__(self) -> None:
        _check_sizes(self, input_size=self.input_size, hidden_size=self.hidden_size)

    @property
    def output_size(self) -> int:
        """Width of what the layer hands on: H."""
        return self.hidden_size

    @property
    def state(self) -> dict[str, int]:
        """Name and width of each vector that the layer remembers, in the order of the state row."""
        return {"h": self.hidden_size, "c": self.hidden_size}

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter."""
        F, H = self.input_size, self.hidden_size
        return {"weight_ih": (4 * H, F), "weight_hh": (4 * H, H), "bias": (4 * H,)}


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: ``y = activation(weight @ x + bias)``.

    Parameters
    ----------
    input_size : int
        K, width of what comes in.
    output_size : int
        O, width of what goes out.
    activation : {"linear", "relu", "tanh", "sigmoid"}
        Applied to every output.

    Notes
    -----
    Parameters are ``weight[O, K]`` and ``bias[O]``.
    """

    input_size: int
    output_size: int
    activation: Activation = "linear"
    kind: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        _check_sizes(self, input_size=self.input_size, output_size=self.output_size)
        if self.activation not in ACTIVATIONS:
            raise ModelError(
                f"Dense: expected an activation out of {', '.join(ACTIVATIONS)}, "
                f"got {self.activation!r}."
            )

    @property
    def state(self) -> dict[str, int]:
        """A dense layer remembers nothing."""
        return {}

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter."""
        return {"weight": (self.output_size, self.input_size), "bias": (self.output_size,)}


Layer = LSTM | Dense
KINDS: dict[str, type[LSTM] | type[Dense]] = {"lstm": LSTM, "dense": Dense}


def layer_to_dict(layer: Layer) -> dict[str, Any]:
    """Return the specification as plain values for JSON, the kind first.

    What has its default value is left out, so that a layer that gains an option later keeps its
    description, and a model its fingerprint.
    """
    given = {
        field.name: getattr(layer, field.name)
        for field in fields(layer)
        if getattr(layer, field.name) != field.default
    }
    return {"kind": layer.kind, **given}


def layer_from_dict(spec: dict[str, Any]) -> Layer:
    """Build a layer from what :func:`layer_to_dict` returned.

    Raises
    ------
    ModelError
        If the kind is unknown or the fields are not those of the kind.
    """
    fields = dict(spec)
    kind = fields.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ModelError(f"expected a layer of kind {' or '.join(KINDS)}, got {kind!r}.")
    try:
        return KINDS[kind](**fields)
    except TypeError as error:
        raise ModelError(f"a layer of kind {kind!r} cannot have these fields: {error}.") from None


def _check_sizes(layer: Layer, **sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ModelError(
                f"{type(layer).__name__}: expected {name} to be an integer of 1 or more, "
                f"got {size!r}."
            )
