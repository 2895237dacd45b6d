"""Networks of PyTorch with random weights, and what they compute."""

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
nn = torch.nn

STEPS = 200


class Network(nn.Module):  # type: ignore[misc, name-defined]
    """Layers, and a function that calls them."""

    def __init__(self, forward: Callable[[Any, Any], Any], **layers: Any) -> None:
        super().__init__()
        self._call = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Any) -> Any:
        return self._call(self, x)


def scramble(module: Any, seed: int) -> Any:
    """Give every row of every weight a scale of its own, every statistic a value."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: Any, low: float = -1.0) -> None:
        rows = torch.rand(tensor.shape[:1], generator=generator) + 0.3
        values = torch.rand(tensor.shape, generator=generator) * (1 - low) + low
        tensor.copy_(values * rows.reshape(-1, *[1] * (tensor.dim() - 1)))

    with torch.no_grad():
        for tensor in module.parameters():
            draw(tensor)
        for name, tensor in module.named_buffers():
            if tensor.is_floating_point():
                draw(tensor, 0.5 if "var" in name else -1.0)
    return module.eval()


def sequence(modules: Any, x: Any, states: Any = None) -> Any:
    """Run x[1, T, F] through modules, states by recurrent module; return y[T, O]."""
    states = iter(states or ())
    for module in modules:
        if isinstance(module, nn.RNNBase):
            x, _ = module(x, next(states, None))
        elif isinstance(module, nn.BatchNorm1d):
            x = module(x.transpose(1, 2)).transpose(1, 2)
        elif isinstance(module, nn.Sequential):
            x = sequence(module, x)[None]
        else:
            x = module(x)
    return x[0]


def first(*modules: Any) -> Any:
    """A module with children in this order; it has no forward, which nobody needs here."""
    return nn.ModuleList(modules)
