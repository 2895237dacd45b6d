"""How fast is training? One update on a batch of windows, next to PyTorch's nn.LSTM and nn.GRU.

    python -m benchmarks.training [--json FILE]

An update is forward, Huber loss, backward through time, clipping and Adam, on B windows of T steps
with a dense head of one output; streamlstm also keeps its running average of the weights. All on
one thread. Gradients are compared before anything is timed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlstm.learn.adam import Adam
from streamlstm.learn.bptt import Tape
from streamlstm.learn.loss import huber
from streamlstm.learn.network import RecurrentNetwork

from .harness import Row, interleaved, parser, report, steps

# H, F, T, B: the defaults of `streamlstm train`, and wider batches.
SIZES = ((64, 1, 64, 8), (32, 8, 64, 64), (64, 8, 64, 64), (128, 8, 64, 64), (256, 8, 64, 64))
RATE = 1e-3
Float32Array = NDArray[np.float32]
Update = Callable[[], object]
Gradients = Callable[[], list[Any]]


def our_training(
    network: RecurrentNetwork, X: Float32Array, D: Float32Array
) -> tuple[Update, Gradients]:
    """Return an update, and what gives the gradient of each matrix."""
    tape, adam = Tape(network, *X.shape[:2]), Adam(network.theta)
    weights = np.ones((*X.shape[:2], 1), np.float32)

    def gradient() -> Any:
        _, d_Y = huber(tape.forward(X), D, weights, delta=1.0)
        return tape.backward(d_Y)

    return lambda: adam.update(gradient(), RATE), lambda: network.views(gradient())


def torch_training(
    network: RecurrentNetwork, X: Float32Array, D: Float32Array
) -> tuple[Update, Gradients] | None:
    """Return the same for PyTorch, with the same weights; None if it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    weights, head = network.weights()
    layer = getattr(torch.nn, network.cell.upper())(network.input_size, network.hidden_sizes[0])
    # Two biases there; an LSTM has one here.
    b_ih = weights["bias_ih"] if network.cell == "gru" else weights["bias"]
    b_hh = weights["bias_hh"] if network.cell == "gru" else np.zeros_like(b_ih)
    dense = torch.nn.Linear(network.hidden_sizes[0], 1)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor(weights["weight_ih"]))
        layer.weight_hh_l0.copy_(torch.tensor(weights["weight_hh"]))
        layer.bias_ih_l0.copy_(torch.tensor(b_ih))
        layer.bias_hh_l0.copy_(torch.tensor(b_hh))
        dense.weight.copy_(torch.tensor(head["weight"]))
        dense.bias.copy_(torch.tensor(head["bias"]))
    parameters = [*layer.parameters(), *dense.parameters()]
    adam = torch.optim.Adam(parameters, lr=RATE)
    x, d = torch.tensor(X), torch.tensor(D)

    def backward() -> None:
        adam.zero_grad()
        torch.nn.functional.huber_loss(dense(layer(x)[0]), d).backward()

    def update() -> None:
        backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()

    def gradients() -> list[Any]:
        backward()
        d_ih, d_hh, d_b_ih, d_b_hh, d_weight, d_head = (p.grad.numpy() for p in parameters)
        head = np.vstack([d_weight.T, d_head])
        if network.cell == "gru":
            return [np.vstack([d_ih.T, d_b_ih]), np.vstack([d_hh.T, d_b_hh]), head]
        return [np.vstack([d_ih.T, d_hh.T, d_b_ih]), head]

    return update, gradients


def measure(cell: str, H: int, F: int, T: int, B: int) -> dict[str, float]:
    """Return the seconds of one update for streamlstm and PyTorch."""
    rng = np.random.default_rng(H)
    network = RecurrentNetwork(F, (H,), 1, cell=cell)
    network.theta[:] = rng.uniform(-1, 1, network.theta.shape) / H**0.5
    X = rng.standard_normal((T, B, F)).astype(np.float32)
    D = rng.standard_normal((T, B, 1)).astype(np.float32)
    theirs = torch_training(network, X, D)
    update, gradients = our_training(network, X, D)
    cases = {"streamlstm": update}
    if theirs is not None:
        for ours, wanted in zip(gradients(), theirs[1](), strict=True):
            difference = np.abs(ours - wanted).max() / np.abs(wanted).max()
            if not difference < 1e-4:
                raise SystemExit(f"gradients differ by {difference:.1e}: nothing was timed")
        cases["PyTorch"] = theirs[0]
    return interleaved(cases, rounds=21, seconds=0.05)


def main() -> None:
    """Measure every size and print the table."""
    arguments = parser(__doc__ or "").parse_args()
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    cases = [(cell, *size) for cell in ("lstm", "gru") for size in SIZES]
    for cell, H, F, T, B in steps(cases, "training"):
        times = measure(cell, H, F, T, B)
        theirs = times.get("PyTorch")
        ratio = None if theirs is None else theirs / times["streamlstm"]
        rows.append(
            {
                "cell": cell,
                "H": str(H),
                "F": str(F),
                "T": str(T),
                "B": str(B),
                "update ms": times["streamlstm"] * 1e3,
                "observations/s": T * B / times["streamlstm"],
                "PyTorch ms": None if theirs is None else theirs * 1e3,
                "PyTorch observations/s": None if theirs is None else T * B / theirs,
                "times PyTorch": ratio,
            }
        )
        if ratio is not None:
            ratios[f"training/PyTorch {cell} H={H} F={F} T={T} B={B}"] = ratio
    note = "times PyTorch: how many times faster an update is."
    if not ratios:
        note += "\nNot installed, left out: PyTorch (pip install -e '.[bench]')."
    report("training", rows, ratios, arguments.json, note)


if __name__ == "__main__":
    main()
