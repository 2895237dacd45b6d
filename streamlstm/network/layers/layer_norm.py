"""Layer normalisation."""

from dataclasses import dataclass

from .base import Layer, Shapes


@dataclass(frozen=True)
class LayerNorm(Layer, kind="layer_norm"):
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

    epsilon: float = 1e-5

    @property
    def output_size(self) -> int:
        """Width of the output."""
        return self.input_size

    def parameters(self) -> Shapes:
        """Return name and shape of each parameter."""
        return {"weight": (self.input_size,), "bias": (self.input_size,)}
