"""Plain recurrent layer."""

from dataclasses import dataclass

from .base import Layer, Shapes


@dataclass(frozen=True)
class RNN(Layer, kind="rnn"):
    """A plain recurrent (Elman) layer.

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

    hidden_size: int
    activation: str = "tanh"
    gate_clip: float | None = None
    initial_state: bool = False

    @property
    def output_size(self) -> int:
        """Width of the output: H."""
        return self.hidden_size

    @property
    def state(self) -> dict[str, int]:
        """Name and width of each state vector."""
        return {"h": self.hidden_size}

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        F, H = self.input_size, self.hidden_size
        shapes: Shapes = {"weight_ih": (H, F), "weight_hh": (H, H), "bias": (H,)}
        if self.initial_state:
            shapes["initial_h"] = (H,)
        return shapes
