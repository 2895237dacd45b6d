"""Adam with clipped gradients, and the running average of the weights it passes through."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Adam:
    """Adam (Kingma and Ba, 2015) on one flat vector of parameters.

    ::

        g = gradient * min(1, clip / |gradient|)
        m = b1 * m + (1 - b1) * g;  v = b2 * v + (1 - b2) * g^2
        theta -= rate * (m / (1 - b1^k)) / (sqrt(v / (1 - b2^k)) + eps)

    The weights jitter around a good place long before they settle; their running average is that
    place. It is what is validated and kept. On the taxi series it took a seventh off the error.

    Parameters
    ----------
    theta : float[P]
        The parameters; changed in place.
    clip : float
        The longest gradient that is let through.
    decay : float
        Of the running average, for each update.

    Attributes
    ----------
    average : float[P]
        The running average of ``theta``.
    """

    def __init__(self, theta: Array, clip: float = 1.0, decay: float = 0.99) -> None:
        self.theta = theta
        self.average = theta.copy()
        self._clip, self._decay = clip, decay
        self._m, self._v = np.zeros_like(theta), np.zeros_like(theta)
        self._updates = 0

    def update(self, gradient: Array, rate: float) -> None:
        """Take one step against the gradient, float[P], which is used up.

        A gradient that is not finite is passed over: one bad batch must not end a training.
        """
        b1, b2 = 0.9, 0.999
        length = float(np.linalg.norm(gradient))
        if not np.isfinite(length):
            return
        if length > self._clip:
            gradient *= self._clip / length
        self._updates += 1
        self._m += (1 - b1) * (gradient - self._m)
        self._v += (1 - b2) * (gradient * gradient - self._v)
        m_hat = self._m / (1 - b1**self._updates)
        v_hat = self._v / (1 - b2**self._updates)
        self.theta -= rate * m_hat / (np.sqrt(v_hat) + 1e-8)
        # Young averages forget faster, or they would hold on to the weights of the start.
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self.average += (1 - decay) * (self.theta - self.average)
