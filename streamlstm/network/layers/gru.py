"""Gated recurrent unit."""

from dataclasses import dataclass

from .base import Layer, Shapes


@dataclass(frozen=True)
class GRU(Layer, kind="gru"):
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

    hidden_size: int
    reset_after: bool = True
    gate_clip: float | None = None
    gate_activation: str = "sigmoid"
    candidate_activation: str = "tanh"
    initial_state: bool = False

    @property
    def output_size(self) -> int:
        """Width of the output: H."""
        return self.hidden_size

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates in the order of their rows."""
        return ("r", "z", "n")

    @property
    def state(self) -> dict[str, int]:
        """Name and width of each state vector."""
        return {"h": self.hidden_size}

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
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
