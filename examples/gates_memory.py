"""What the gates are worth: a task that an LSTM learns and a plain RNN does not.

    python examples/gates_memory.py [--lag 50 --lag 200] [--out memory.png]

The adding problem (Hochreiter and Schmidhuber, 1997): of two inputs a step, one is a random number,
the other marks two of the steps, one at the beginning and one in the middle. The answer, after the
last step, is the sum of the two marked numbers. Who ignores the marks is off by 1/6 on average
(squared); to do better, a number has to be kept for the whole lag.

The gradient says why a plain RNN cannot learn it: on its way back through the steps it is
multiplied by the same matrix and by the slope of tanh each time, and vanishes. In an LSTM it goes
back along the cell state, where it is multiplied by the forget gate alone, which begins near 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlstm.learn.adam import Adam
from streamlstm.learn.bptt import Tape
from streamlstm.learn.network import RecurrentNetwork

HIDDEN, BATCH, RATE = 32, 32, 5e-3
BASELINE = 1 / 6  # mean squared error of always answering 1
Array = NDArray[Any]


def sequences(rng: np.random.Generator, lag: int) -> tuple[Array, Array]:
    """Return inputs, float32[lag, B, 2], and sums, float32[B, 1]."""
    X = np.zeros((lag, BATCH, 2), np.float32)
    X[:, :, 0] = rng.random((lag, BATCH))
    first, second = rng.integers(0, lag // 10, BATCH), rng.integers(lag // 10, lag // 2, BATCH)
    windows = np.arange(BATCH)
    X[first, windows, 1] = X[second, windows, 1] = 1
    return X, X[first, windows, :1] + X[second, windows, :1]


def make_network(cell: str, lag: int, rng: np.random.Generator) -> RecurrentNetwork:
    """Return a network with its first weights.

    An LSTM's gates begin with time constants from 1 to the lag (Tallec and Ollivier, 2018).
    """
    network = RecurrentNetwork(2, (HIDDEN,), 1, cell=cell)
    network.initialize(rng)
    if cell == "lstm":
        bias, H = network.matrices[0][0][-1], HIDDEN
        bias[H : 2 * H] = np.log(rng.uniform(1, lag - 1, H))
        bias[:H] = -bias[H : 2 * H]
    network.head_matrix[-1] = 1  # the mean of the answers
    return network


def train(cell: str, lag: int, updates: int) -> tuple[list[float], Array]:
    """Return the squared error of each update, and the first gradient's size at each step."""
    rng = np.random.default_rng(1)
    network = make_network(cell, lag, rng)
    tape, adam = Tape(network, lag, BATCH), Adam(network.theta)
    errors: list[float] = []
    sizes = np.zeros(lag)
    for update in range(updates):
        X, sums = sequences(rng, lag)
        error = tape.forward(X)[-1] - sums
        d_outputs = np.zeros((lag, BATCH, 1), np.float32)
        d_outputs[-1] = 2 * error / BATCH
        gradient = tape.backward(d_outputs)
        if update == 0:
            sizes = gradient_sizes(tape)
        errors.append(float((error**2).mean()))
        adam.update(gradient, RATE)
    return errors, sizes


def gradient_sizes(tape: Tape) -> Array:
    """Return the norm of the gradient of each step's pre-activations, float[lag]."""
    (layer,) = tape.recurrent
    return np.asarray(np.linalg.norm(layer.product.Z.reshape(tape.T, -1), axis=1))


def draw(results: dict[tuple[str, int], tuple[list[float], Array]], out: Path) -> None:
    """Draw learning curves and gradients, a row for each lag."""
    from matplotlib.figure import Figure

    lags = sorted({lag for _, lag in results})
    figure = Figure(figsize=(9, 3 * len(lags)), layout="constrained")
    axes = figure.subplots(len(lags), 2, squeeze=False)
    for (curve, gradient), lag in zip(axes, lags, strict=True):
        for cell in ("lstm", "rnn"):
            errors, sizes = results[cell, lag]
            smooth = np.convolve(errors, np.ones(20) / 20, "valid")
            curve.plot(smooth, label=cell.upper())
            gradient.semilogy(np.arange(1, lag + 1), np.maximum(sizes, 1e-30), label=cell.upper())
        curve.axhline(BASELINE, color="#999999", linestyle=":", label="without memory")
        curve.set(title=f"lag of {lag} steps", xlabel="update", ylabel="squared error", ylim=0)
        gradient.set(title="gradient before the first update", xlabel="step", ylabel="norm")
        curve.legend()
    figure.savefig(out, dpi=120)


def main() -> None:
    """Train both networks on each lag, print what they reach, and draw it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--lag", type=int, action="append", help="steps; may be repeated")
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--out", type=Path, help="a picture, such as memory.png")
    arguments = parser.parse_args()
    results = {}
    print(f"squared error without memory: {BASELINE:.3f}")
    for lag in arguments.lag or [50, 200]:
        for cell in ("lstm", "rnn"):
            errors, sizes = results[cell, lag] = train(cell, lag, arguments.updates)
            reached = float(np.mean(errors[-50:]))
            left = sizes[0] / sizes[-1]
            print(
                f"{cell.upper():<4} lag {lag:>3}: squared error {reached:.3f}; the gradient at the "
                f"first step is {left:.1e} of that at the last"
            )
    if arguments.out:
        draw(results, arguments.out)


if __name__ == "__main__":
    main()
