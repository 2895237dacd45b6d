"""Steps of one stream through the compiled head and mix, and through their specification.

    python -m tests.unit.online_stream LANES

prints a hash of a stream's columns after some hundred steps with vectors of that width.
"""

import sys
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BEFORE, BEHIND = 3, 16  # floats around a stream's columns that no step may touch


@dataclass(frozen=True)
class Steps:
    """What comes to a stream: h[n, H], values now[n, O], labels[n, O], the network's y[n, O]."""

    h: Array
    now: Array
    labels: Array
    y: Array

    def rows(self, first: int, last: int) -> "Steps":
        """Return some of the steps."""
        return Steps(*(part[first:last] for part in vars(self).values()))

    def astype(self, dtype: Any) -> "Steps":
        """Return the same in another precision."""
        return Steps(*(part.astype(dtype) for part in vars(self).values()))


def made_up(head: Any, n: int, seed: int = 0, missing: float = 0.1) -> Steps:
    """Make steps: random walks that a network forecasts badly, though its h says more."""
    rng = np.random.default_rng(seed)
    H, O = head.units, len(head.scale)
    h = np.tanh(rng.standard_normal((n, H)))
    moves = h @ rng.standard_normal((H, O)) / H**0.5 + 0.3 * rng.standard_normal((n, O))
    now = np.concatenate([np.zeros((1, O)), np.cumsum(moves * head.scale, axis=0)[:-1]])
    labels = np.where(rng.random((n, O)) < missing, np.nan, now)
    y = now + 0.1 * rng.standard_normal((n, O))
    return Steps(h, now, labels, y).astype(np.float32)


@cache
def compiled() -> tuple[Any, Any]:
    """Return compiled functions that step a stream, and that learn from a label."""
    from numba import njit

    from streamlstm.kernels.online import adaptation as kernel
    from streamlstm.kernels.online.outcomes import APPLIED

    @njit(error_model="numpy")
    def run(S, at, K, k, W, w, hidden, h, now, labels, y, number):  # type: ignore[no-untyped-def]
        O, sizes = len(now[0]), kernel.sizes_of(K, k)
        for t in range(len(h)):
            for n in range(len(h[t])):
                S[hidden + n] = h[t, n]
            kernel.update(S, at, sizes, K, k, labels.ravel(), t * O, W, w)
            kernel.predict(
                S, at, sizes, K, k, hidden, now.ravel(), t * O, y.ravel(), t * O, number + t, W, w
            )

    @njit(error_model="numpy")
    def label(S, at, K, k, number, Y, W, w):  # type: ignore[no-untyped-def]
        step, found = kernel.find_step(S, at, K, k, number)
        if found != APPLIED:
            return found
        return kernel.learn_step(S, at, K, k, step, Y, 0, W, w)

    return run, label


class Compiled:
    """A stream stepped by the compiled kernels."""

    def __init__(self, head: Any) -> None:
        from streamlstm.online import adaptation

        self._step, self._label = compiled()
        self.head, self.size = head, len(adaptation.initial(head))
        around = np.full(BEHIND, 777, np.float32)
        self.S = np.concatenate(
            [around[:BEFORE], adaptation.initial(head), around, np.zeros(head.units, np.float32)]
        )
        self.K = np.concatenate([around[:2], adaptation.constants(head)])
        self.W = np.full(1 + head.scratch + BEHIND, 555, np.float32)
        self.number = 0

    @property
    def columns(self) -> Array:
        """The stream's columns, float32[1, n]."""
        return self.S[None, BEFORE : BEFORE + self.size]

    def step(self, steps: Steps) -> Array:
        """Return forecasts[n, O]."""
        y = steps.y.copy()
        hidden = len(self.S) - self.head.units
        parts = (steps.h, steps.now, steps.labels, y)
        self._step(self.S, BEFORE, self.K, 2, self.W, 1, hidden, *parts, self.number)
        self.number += len(y)
        assert (self.S[:BEFORE] == 777).all()
        assert (self.S[BEFORE + self.size : hidden] == 777).all()
        assert (self.W[[0, *range(-BEHIND, 0)]] == 555).all()
        return y

    def learn(self, number: int, labels: Array) -> int:
        """Learn from outside."""
        return int(self._label(self.S, BEFORE, self.K, 2, number, labels, self.W, 1))


class Specified:
    """The same stream stepped by the specification, in any precision."""

    def __init__(self, head: Any, dtype: Any) -> None:
        from streamlstm.online import adaptation

        self.head, self.dtype, self.number = head, dtype, 0
        row = adaptation.initial(head)[None].astype(dtype)
        self.state = adaptation.split(head, row)

    @property
    def columns(self) -> Array:
        """The stream's columns, [1, n]."""
        return np.concatenate(list(self.state.values()), axis=1)

    def step(self, steps: Steps) -> Array:
        """Return forecasts[n, O]."""
        from streamlstm.online import adaptation

        steps, told = steps.astype(self.dtype), []
        for t in range(len(steps.h)):
            row = steps.rows(t, t + 1)
            numbers = [self.number + t]
            y, self.state = adaptation.step(
                row.h, row.now, row.labels, row.y, numbers, self.state, self.head
            )
            told.append(y[0])
        self.number += len(told)
        return np.array(told)

    def learn(self, number: int, labels: Array) -> int:
        """Learn from outside."""
        from streamlstm.online import adaptation

        code, self.state = adaptation.label_update(number, labels, self.state, self.head)
        return code


def main() -> None:
    """Print a hash of the columns after some steps."""
    import hashlib

    from tests.contract.forced import force

    force(int(sys.argv[1]))
    from streamlstm.online.adaptation import Adaptation

    digest = hashlib.sha256()
    head = Adaptation(5, 1, (1.0,))
    for units, seasons in ((1, ()), (5, (2,)), (13, ()), (32, (3, 4))):
        one = replace(head, units=units, seasons=seasons)
        stream = Compiled(one)
        digest.update(stream.step(made_up(one, 300)).tobytes())
        digest.update(stream.columns.tobytes())
    print(digest.hexdigest())


if __name__ == "__main__":
    main()
