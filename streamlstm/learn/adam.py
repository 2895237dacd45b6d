"""Adam with gradient clipping, weight decay, and the exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Adam:
    """Adam (Kingma and Ba, 2015) on one flat vector of parameters.

    ::

        g = gradient * min(1, clip / |gradient|)
        m = b1 * m + (1 - b1) * g;  v = b2 * v + (1 - b2) * g^2
        theta -= rate * weight_decay * decayed * theta
        theta -= rate * (m / (1 - b1^k)) / (sqrt(v / (1 - b2^k)) + eps)

    The decay of weights is apart from the gradient (AdamW: Loshchilov and Hutter, 2019), so that
    weights with large gradients decay like all others.

    The weights oscillate around an optimum long before they converge; their moving average is close
    to it. The average is validated and exported: on the taxi series it lowered the error
    by a seventh.

    Parameters
    ----------
    theta : float[P]
        The parameters; updated in place.
    clip : float
        Maximum norm of the gradient.
    decay : float
        Decay of the moving average per update.
    weight_decay : float
        How far weights shrink towards 0 with each update, as a fraction of ``rate``.
    decayed : float[P], optional
        1 for the parameters that shrink, 0 for those that do not; by default all do.

    Attributes
    ----------
    average : float[P]
        The moving average of ``theta``.
    """

    def __init__(
        self,
        theta: Array,
        clip: float = 1.0,
        decay: float = 0.99,
        weight_decay: float = 0.0,
        decayed: Array | None = None,
    ) -> None:
        self.theta = theta
        self.average = theta.copy()
        self._clip, self._decay = clip, decay
        self._weight_decay = weight_decay
        self._decayed = np.ones_like(theta) if decayed is None else decayed
        self._m, self._v = np.zeros_like(theta), np.zeros_like(theta)
        self._updates = 0

    def update(self, gradient: Array, rate: float) -> None:
        """Update ``theta`` by the gradient, float[P], which is overwritten.

        A gradient that is not finite is skipped: one bad batch must not end a training run.
        """
        b1, b2 = 0.9, 0.999
        norm = float(np.linalg.norm(gradient))
        if not np.isfinite(norm):
            return
        if norm > self._clip:
            gradient *= self._clip / norm
        self._updates += 1
        self._m += (1 - b1) * (gradient - self._m)
        self._v += (1 - b2) * (gradient * gradient - self._v)
        m_hat = self._m / (1 - b1**self._updates)
        v_hat = self._v / (1 - b2**self._updates)
        if self._weight_decay:
            self.theta *= 1 - rate * self._weight_decay * self._decayed
        self.theta -= rate * m_hat / (np.sqrt(v_hat) + 1e-8)
        # A smaller decay at first, or the average would stay near the initial weights.
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self.average += (1 - decay) * (self.theta - self.average)

    def state(self) -> dict[str, Array]:
        """Return everything that changes, as arrays by name: ``restore`` continues from it."""
        return {
            "theta": self.theta,
            "average": self.average,
            "m": self._m,
            "v": self._v,
            "updates": np.array([self._updates], np.int64),
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        """Continue from what ``state`` returned, bit for bit."""
        self.theta[:], self.average[:] = state["theta"], state["average"]
        self._m[:], self._v[:] = state["m"], state["v"]
        self._updates = int(state["updates"][0])
