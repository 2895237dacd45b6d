"""Long short-term memory."""

from dataclasses import dataclass

from ...errors import ModelError
from .base import Layer, Shapes


@dataclass(frozen=True)
class LSTM(Layer, kind="lstm"):
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
    PyTorch stores them; PyTorch's two biases are added into one. Where the option is set:
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.projection_clip is not None and self.projection_size is None:
            raise ModelError("LSTM: projection_clip needs a projection_size.")

    @property
    def output_size(self) -> int:
        """Width of the output: P where it is projected, H elsewhere."""
        return self.projection_size or self.hidden_size

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates in the order of their rows."""
        return ("i", "g", "o") if self.coupled else ("i", "f", "g", "o")

    @property
    def state(self) -> dict[str, int]:
        """Name and width of each state vector, in the order of the state row."""
        return {"h": self.output_size, "c": self.hidden_size}

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
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
