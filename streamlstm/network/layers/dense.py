"""Fully connected layer."""

from dataclasses import dataclass

from .base import Layer, Shapes


@dataclass(frozen=True)
class Dense(Layer, kind="dense"):
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

    output_size: int
    activation: str = "linear"
    allows_softmax = True

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        return {"weight": (self.output_size, self.input_size), "bias": (self.output_size,)}
