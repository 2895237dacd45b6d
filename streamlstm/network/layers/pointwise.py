"""Scale, shift and activation of every value."""

from dataclasses import dataclass

from .base import Layer, Shapes


@dataclass(frozen=True)
class Pointwise(Layer, kind="pointwise"):
    """Scale, shift and activation of every value: ``y = activation(x * weight + bias)``.

    Batch normalisation in inference is this layer, and so is an activation of its own.

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

    activation: str = "linear"
    allows_softmax = True

    @property
    def output_size(self) -> int:
        """Width of the output."""
        return self.input_size

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        return {"weight": (self.input_size,), "bias": (self.input_size,)}
