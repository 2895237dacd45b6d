"""What each layer is: its equations, the shapes of its parameters and the width of its state.

A layer here is a specification, a frozen dataclass without weights and without arithmetic. The
arithmetic stands in kernels/reference.py; the weights live in a :class:`streamlstm.Model`.
Activations are named by text, with their parameters in brackets where they have any
(:mod:`streamlstm.network.activations`): ``"tanh"``, ``"hard_sigmoid(0.2, 0.5)"``.
"""

from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

from ..errors import ModelError
from .activations import parse_activation

Shapes = dict[str, tuple[int, ...]]
MAX_CATEGORIES = 2**24  # up to here every integer is a float32


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
        H, width of the cell state, and of the hidden state unless it is projected.
    projection_size : int, optional
        P: the hidden state is ``weight_hr @ h'``, of width P (LSTMP).
    peephole : bool
        The gates see the cell state: ``i += p_i * c``, ``f += p_f * c``, ``o += p_o * c'``.
    coupled : bool
        ``1 - sigmoid(i)`` takes the place of the forget gate; the rows of f are left out
        everywhere.
    layer_norm : bool
        Each gate's ``weight_ih @ x + weight_hh @ h`` is shifted to mean 0 and scaled to variance 1
        over its H units (variance + 1e-5), then multiplied by ``norm_weight``; ``bias`` follows.
    gate_clip, cell_clip, projection_clip : float, optional
        Bounds (both signs) of what goes into the activations of the gates and the candidate, of
        c', and of the projected h'. ``gate_clip`` is what ONNX Runtime makes of ONNX's clip.
    gate_activation, candidate_activation, cell_activation : str
        In the place of sigmoid, of the tanh of g, and of the tanh of c'.
    initial_state : bool
        A new stream starts from ``initial_h`` and ``initial_c`` instead of zeros.

    Notes
    -----
    Parameters are ``weight_ih[4H, F]``, ``weight_hh[4H, H]`` and ``bias[4H]``, gate by gate as
    PyTorch stores them; PyTorch's two biases are added into one. Where asked for:
    ``weight_hr[P, H]`` (then ``weight_hh[4H, P]``), ``peephole[3H]`` in the order i, f, o
    (``[2H]``: i, o, if coupled), ``norm_weight[4H]``, ``initial_h``, ``initial_c``.

    References
    ----------
    S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997;
    F. Gers et al., "Learning to Forget", Neural Computation 12(10), 2000 (the forget gate);
    F. Gers et al., JMLR 3, 2002 (peepholes); H. Sak et al., Interspeech 2014 (projection);
    J. Ba et al., "Layer Normalization", 2016; K. Greff et al., "LSTM: A Search Space Odyssey",
    2017 (coupled gates).
    """

    input_size: int
    hidden_size: int
    projection_size: int | None = None
    peephole: bool = False
    coupled: bool = False
    layer_norm: bool = False
    gate_clip: float | None = None
    cell_clip: float | None = None
    projection_clip: float | None = None
    gate_activation: str = "sigmoid"
    candidate_activation: str = "tanh"
    cell_activation: str = "tanh"
    initial_state: bool = False
    kind: ClassVar[str] = "lstm"

    def __post_init__(self) -> None:
        _check(self)
        if self.projection_clip is not None and self.projection_size is None:
            raise ModelError("LSTM: projection_clip needs a projection_size.")

    @property
    def output_size(self) -> int:
        """Width of what the layer hands on: P where it is projected, H elsewhere."""
        return self.projection_size or self.hidden_size

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates in the order in which their rows stand."""
        return ("i", "g", "o") if self.coupled else ("i", "f", "g", "o")

    @property
    def state(self) -> dict[str, int]:
        """Name and width of each vector that the layer remembers, in the order of the state row."""
        return {"h": self.output_size, "c": self.hidden_size}

    def parameters(self) -> Shapes:
        """Name and shape of each parameter."""
        F, H, P = self.input_size, self.hidden_size, self.output_size
        rows = len(self.gates) * H
        shapes: Shapes = {"weight_ih": (rows, F), "weight_hh": (rows, P), "bias": (rows,)}
        if self.projection_size is not None:
            shapes["weight_hr"] = (P, H)
        if self.peephole:
            shapes["peephole"] = (rows - H,)
        if self.layer_norm:
            shapes["norm_weight"] = (rows,)
        if self.initial_state:
            shapes |= {"initial_h": (P,), "initial_c": (H,)}
        return shapes


@dataclass(frozen=True)
class GRU:
    """A gated recurrent unit layer.

    With gates ``r, z, n`` (reset, update, candidate) stacked in this order and ``a = weight_ih @ x
    + bias_ih``, ``b = weight_hh @ h + bias_hh``::

        r = sigmoid(a_r + b_r)
        z = sigmoid(a_z + b_z)
        n = tanh(a_n + r * b_n)                                      reset_after
        n = tanh(a_n + weight_hh_n @ (r * h) + bias_hh_n)            otherwise
        h' = (1 - z) * n + z * h

    Parameters
    ----------
    input_size : int
        F.
    hidden_size : int
        H.
    reset_after : bool
        The reset gate acts after the recurrent product, as in PyTorch, cuDNN and Keras' default,
        or before it, as in the first publication. ONNX calls it linear_before_reset.
    gate_clip : float, optional
        Bounds (both signs) what goes into the activations.
    gate_activation, candidate_activation : str
        In the place of sigmoid and tanh.
    initial_state : bool
        A new stream starts from ``initial_h`` instead of zeros.

    Notes
    -----
    Parameters are ``weight_ih[3H, F]``, ``weight_hh[3H, H]``, ``bias_ih[3H]``, ``bias_hh[3H]``.

    References
    ----------
    K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014.
    """

    input_size: int
    hidden_size: int
    reset_after: bool = True
    gate_clip: float | None = None
    gate_activation: str = "sigmoid"
    candidate_activation: str = "tanh"
    initial_state: bool = False
    kind: ClassVar[str] = "gru"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def output_size(self) -> int:
        """Width of what the layer hands on: H."""
        return self.hidden_size

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates in the order in which their rows stand."""
        return ("r", "z", "n")

    @property
    def state(self) -> dict[str, int]:
        """Name and width of each vector that the layer remembers."""
        return {"h": self.hidden_size}

    def parameters(self) -> Shapes:
        """Name and shape of each parameter."""
        F, H = self.input_size, self.hidden_size
        shapes: Shapes = {
            "weight_ih": (3 * H, F),
            "weight_hh": (3 * H, H),
            "bias_ih": (3 * H,),
            "bias_hh": (3 * H,),
        }
        if self.initial_state:
            shapes["initial_h"] = (H,)
        return shapes


@dataclass(frozen=True)
class RNN:
    """A plain recurrent layer, which the LSTM improved on.

    ``h' = activation(weight_ih @ x + weight_hh @ h + bias)``

    Parameters
    ----------
    input_size : int
        F.
    hidden_size : int
        H.
    activation : str
    gate_clip : float, optional
        Bounds (both signs) what goes into the activation.
    initial_state : bool
        A new stream starts from ``initial_h`` instead of zeros.

    Notes
    -----
    Parameters are ``weight_ih[H, F]``, ``weight_hh[H, H]`` and ``bias[H]``.

    References
    ----------
    J. Elman, "Finding Structure in Time", Cognitive Science 14(2), 1990.
    """

    input_size: int
    hidden_size: int
    activation: str = "tanh"
    gate_clip: float | None = None
    initial_state: bool = False
    kind: ClassVar[str] = "rnn"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def output_size(self) -> int:
        """Width of what the layer hands on: H."""
        return self.hidden_size

    @property
    def state(self) -> dict[str, int]:
        """Name and width of each vector that the layer remembers."""
        return {"h": self.hidden_size}

    def parameters(self) -> Shapes:
        """Name and shape of each parameter."""
        F, H = self.input_size, self.hidden_size
        shapes: Shapes = {"weight_ih": (H, F), "weight_hh": (H, H), "bias": (H,)}
        if self.initial_state:
            shapes["initial_h"] = (H,)
        return shapes


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: ``y = activation(weight @ x + bias)``.

    Parameters
    ----------
    input_size : int
        K, width of what comes in.
    output_size : int
        O, width of what goes out.
    activation : str
        Applied to every output; ``"softmax"`` and ``"log_softmax"`` to all of them together.

    Notes
    -----
    Parameters are ``weight[O, K]`` and ``bias[O]``.
    """

    input_size: int
    output_size: int
    activation: str = "linear"
    kind: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def state(self) -> dict[str, int]:
        """A dense layer remembers nothing."""
        return {}

    def parameters(self) -> Shapes:
        """Name and shape of each parameter."""
        return {"weight": (self.output_size, self.input_size), "bias": (self.output_size,)}


@dataclass(frozen=True)
class Pointwise:
    """Scale, shift and activation of every value: ``y = activation(x * weight + bias)``.

    Batch normalisation in inference is this, and so is an activation that stands by itself.

    Parameters
    ----------
    input_size : int
        N, width of what comes in and goes out.
    activation : str
        As for :class:`Dense`.

    Notes
    -----
    Parameters are ``weight[N]`` and ``bias[N]``.
    """

    input_size: int
    activation: str = "linear"
    kind: ClassVar[str] = "pointwise"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def output_size(self) -> int:
        """Width of what the layer hands on."""
        return self.input_size

    @property
    def state(self) -> dict[str, int]:
        """The layer remembers nothing."""
        return {}

    def parameters(self) -> Shapes:
        """Name and shape of each parameter."""
        return {"weight": (self.input_size,), "bias": (self.input_size,)}


@dataclass(frozen=True)
class LayerNorm:
    """Layer normalisation: ``y = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias``.

    Parameters
    ----------
    input_size : int
        N, width of what comes in and goes out.
    epsilon : float
        Added to the variance.

    Notes
    -----
    Parameters are ``weight[N]`` and ``bias[N]``.

    References
    ----------
    J. Ba et al., "Layer Normalization", 2016.
    """

    input_size: int
    epsilon: float = 1e-5
    kind: ClassVar[str] = "layer_norm"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def output_size(self) -> int:
        """Width of what the layer hands on."""
        return self.input_size

    @property
    def state(self) -> dict[str, int]:
        """The layer remembers nothing."""
        return {}

    def parameters(self) -> Shapes:
        """Name and shape of each parameter."""
        return {"weight": (self.input_size,), "bias": (self.input_size,)}


@dataclass(frozen=True)
class Embedding:
    """A vector for each of N categories, in the place of the integer in the first input.

    ``y = [weight[x[0]], x[1], x[2], ...]``: events come as integers from 0 to N - 1, alone or with
    numeric features after them. It is the first layer of a model if it is there at all.

    Parameters
    ----------
    input_size : int
        F: one category and F - 1 numeric features.
    categories : int
        N.
    dimension : int
        D, width of each vector.

    Notes
    -----
    The parameter is ``weight[N, D]``. An observation whose first feature is no integer from 0 to
    N - 1 is refused.
    """

    input_size: int
    categories: int
    dimension: int
    kind: ClassVar[str] = "embedding"

    def __post_init__(self) -> None:
        _check(self)
        if self.categories > MAX_CATEGORIES:
            raise ModelError(
                f"Embedding: expected at most {MAX_CATEGORIES} categories, got {self.categories}."
            )

    @property
    def output_size(self) -> int:
        """Width of what the layer hands on: D + F - 1."""
        return self.dimension + self.input_size - 1

    @property
    def state(self) -> dict[str, int]:
        """The layer remembers nothing."""
        return {}

    def parameters(self) -> Shapes:
        """Name and shape of each parameter."""
        return {"weight": (self.categories, self.dimension)}


Layer = LSTM | GRU | RNN | Dense | Pointwise | LayerNorm | Embedding
KINDS: dict[str, type[Layer]] = {
    kind.kind: kind for kind in (LSTM, GRU, RNN, Dense, Pointwise, LayerNorm, Embedding)
}


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
    given = dict(spec)
    kind = given.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ModelError(f"expected a layer of kind {', '.join(KINDS)}, got {kind!r}.")
    try:
        return KINDS[kind](**given)
    except TypeError as error:
        raise ModelError(f"a layer of kind {kind!r} cannot have these fields: {error}.") from None


def describe_layer(layer: Layer) -> str:
    """Return a layer as one would write it: sizes first, then what differs from the default."""
    words = []
    for field in fields(layer):
        value = getattr(layer, field.name)
        if field.default is MISSING:
            words.append(repr(value))
        elif value != field.default:
            words.append(f"{field.name}={value!r}")
    return f"{type(layer).__name__}({', '.join(words)})"


_SIZES = ("input_size", "hidden_size", "output_size", "categories", "dimension")
_LEAVES_ALL = ("dense", "pointwise")  # where an activation may look at all outputs together


def _check(layer: Layer) -> None:
    """Check every field by what its name says it is."""
    for field in fields(layer):
        name, value = field.name, getattr(layer, field.name)
        where = f"{type(layer).__name__}: expected {name} to be"
        if name in _SIZES or (name == "projection_size" and value is not None):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ModelError(f"{where} an integer of 1 or more, got {value!r}.")
        elif name.endswith("activation"):
            parse_activation(value, together=layer.kind in _LEAVES_ALL)
        elif name == "epsilon" or name.endswith("_clip"):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < float("inf")):
                raise ModelError(f"{where} a number greater than zero, got {value!r}.")
        elif name != "projection_size" and not isinstance(value, bool):
            raise ModelError(f"{where} True or False, got {value!r}.")
