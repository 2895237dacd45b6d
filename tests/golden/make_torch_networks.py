"""Make torch_*.npz and torch_*.pt: networks of PyTorch as state dicts, with their outputs.

    pip install torch==2.13.0
    python tests/golden/make_torch_networks.py

Every .npz holds the state dict (``state.NAME``), 200 observations ``x[T, F]``, PyTorch's outputs
``y[T, O]`` over the whole sequence, and ``options`` of from_torch as JSON. The state starts from
other values than zero wherever the state dict has ``h0`` and ``c0``.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

STEPS = 200


class Network(nn.Module):
    """Layers in the order in which they are registered; a recurrent one may have h0 and c0."""

    def __init__(self, *layers: nn.Module, trained: tuple[int, int] | None = None) -> None:
        super().__init__()
        for n, layer in enumerate(layers):
            self.add_module(f"{type(layer).__name__.lower()}{n}", layer)
        if trained is not None:
            levels, width = trained
            self.h0 = nn.Parameter(torch.zeros(levels, 1, width))
            if any(isinstance(layer, nn.LSTM) for layer in layers):
                self.c0 = nn.Parameter(torch.zeros(levels, 1, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.children():
            if isinstance(layer, nn.RNNBase):
                state = (self.h0, self.c0) if hasattr(self, "c0") else getattr(self, "h0", None)
                x = layer(x, state)[0]
            elif isinstance(layer, nn.BatchNorm1d):
                x = layer(x.transpose(1, 2)).transpose(1, 2)
            elif isinstance(layer, nn.Embedding):
                x = torch.cat([layer(x[..., 0].long()), x[..., 1:]], -1)
            else:
                x = layer(x)
        return x


def cases() -> dict[str, tuple[Network, int, dict[str, Any]]]:
    """Return the networks, how many features they take, and options."""
    first = {"batch_first": True}
    return {
        "lstm_trained_state": (
            Network(nn.LSTM(3, 12, 2, **first), nn.Linear(12, 2), trained=(2, 12)),
            3,
            {},
        ),
        "lstm_projected": (Network(nn.LSTM(2, 11, 2, proj_size=5, **first)), 2, {}),
        "lstm_no_bias": (Network(nn.LSTM(4, 9, bias=False, **first), nn.Linear(9, 1)), 4, {}),
        "gru_trained_state": (
            Network(nn.GRU(3, 13, 2, **first), nn.Linear(13, 2), trained=(2, 13)),
            3,
            {},
        ),
        "rnn_relu": (
            Network(nn.RNN(3, 6, nonlinearity="relu", **first), nn.Linear(6, 2)),
            3,
            {"rnn_activation": "relu"},
        ),
        "norms": (
            Network(
                nn.BatchNorm1d(3),
                nn.LSTM(3, 8, **first),
                nn.LayerNorm(8),
                nn.Linear(8, 6),
                nn.BatchNorm1d(6),
                nn.GRU(6, 5, **first),
            ),
            3,
            {},
        ),
        "embedding": (
            Network(nn.Embedding(9, 4), nn.GRU(6, 7, **first), nn.Linear(7, 9)),
            3,
            {},
        ),
    }


def scramble(network: nn.Module, seed: int, spread: float) -> None:
    """Randomize weights, with a scale that differs by row."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                rows = torch.rand(tensor.shape[0], generator=generator) + 0.4
                values = torch.randn(tensor.shape, generator=generator) * spread
                tensor.copy_(values * rows.reshape(-1, *[1] * (tensor.dim() - 1)))
        for name, tensor in network.named_buffers():
            if name.endswith("running_var"):
                tensor.abs_().add_(0.5)


def make(name: str, network: Network, features: int, options: dict[str, Any]) -> None:
    """Write one case."""
    # A ReLU network of larger weights grows without bound.
    scramble(network, len(name), 0.15 if name == "rnn_relu" else 0.4)
    network.eval()
    x = torch.randn(1, STEPS, features, generator=torch.Generator().manual_seed(1))
    if name == "embedding":
        x[..., 0] = torch.randint(0, 9, (1, STEPS), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        y = network(x)
    state = {f"state.{key}": value.numpy() for key, value in network.state_dict().items()}
    path = Path(__file__).with_name(f"torch_{name}.npz")
    np.savez_compressed(path, x=x[0].numpy(), y=y[0].numpy(), options=json.dumps(options), **state)
    if name == "norms":
        torch.save(network.state_dict(), path.with_suffix(".pt"))
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, torch {torch.__version__}")


if __name__ == "__main__":
    for case, (network, features, options) in cases().items():
        make(case, network, features, options)
