"""Random modules of PyTorch over windows, of the kinds that public code has, as ONNX graphs."""

from io import BytesIO
from random import Random
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

# A piece takes and gives [batch, rows, features].
FUNCTIONS = (torch.tanh, torch.relu, torch.sigmoid, F.gelu, F.silu, F.leaky_relu, F.mish, F.elu)
ODD = (torch.cos, torch.abs, torch.square, lambda y: y.cumsum(1), lambda y: y / (1 + y**2))


class RandomWindows(nn.Module):  # type: ignore[misc]
    """A random network over windows of ``rows`` rows of ``features``."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = Random(seed)
        torch.manual_seed(seed)
        self.rows = self.random.choice([2, 5, 8])
        self.features = self.random.choice([1, 3, 4])
        self.pieces = nn.ModuleList()
        self.calls: list[Any] = []
        T, N = self.rows, self.features
        for _ in range(self.random.randint(1, 4)):
            kind = self.random.choice(KINDS)
            made = kind(self, T, N)
            if made is not None:
                call, T, N = made
                self.calls.append(call)
        self.head = self.random.choice(["last", "mean", "max", "flatten", "first", "sum", "all"])
        self.final = self._keep(nn.Linear(T * N if self.head == "flatten" else N, 2))

    def _keep(self, module: nn.Module) -> nn.Module:
        self.pieces.append(module)
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 2)
        for name, weight in module.named_parameters():
            if weight.dim() == 1:  # biases and gains that initialise as 0 and 1
                nn.init.uniform_(weight, 0.5, 1.5) if "weight" in name else nn.init.normal_(weight)
        return module

    def forward(self, x: Any) -> Any:
        """Apply the pieces, and a head."""
        for call in self.calls:
            x = call(x)
        if self.head == "flatten":
            return self.final(x.flatten(1))
        if self.head == "all":
            return self.final(x)
        y = {
            "last": lambda: x[:, -1],
            "first": lambda: x[:, 0],
            "mean": lambda: x.mean(1),
            "max": lambda: x.amax(1),
            "sum": lambda: x.sum(dim=1),
        }[self.head]()
        return self.final(y)

    def to_onnx(self, opset: int) -> bytes:
        """Return the graph."""
        target = BytesIO()
        torch.onnx.export(
            self.eval(),
            (torch.zeros(2, self.rows, self.features),),
            target,
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
        )
        return target.getvalue()


Made = tuple[Any, int, int] | None


def linear(net: Any, T: int, N: int) -> Made:
    O = net.random.choice([1, 4, 6])
    layer, function = net._keep(nn.Linear(N, O)), net.random.choice(FUNCTIONS)
    return (lambda x: function(layer(x))), T, O


def recurrent(net: Any, T: int, N: int) -> Made:
    kind, H = net.random.choice([nn.LSTM, nn.GRU, nn.RNN]), net.random.choice([2, 5])
    both = net.random.random() < 0.4
    layer = net._keep(kind(N, H, net.random.choice([1, 2]), batch_first=True, bidirectional=both))
    return (lambda x: layer(x)[0]), T, H * (1 + both)


def convolution(net: Any, T: int, N: int) -> Made:
    k, d, s = (net.random.choice(c) for c in ([1, 2, 3], [1, 2], [1, 1, 2]))
    reach, pad = (k - 1) * d, net.random.choice([0, 1, (k - 1) * d])
    rows = (T + 2 * pad - reach - 1) // s + 1
    if rows < 1:
        return None
    groups = net.random.choice([1, N])
    O = net.random.choice([1, 2]) * N if groups > 1 else 4
    layer = net._keep(nn.Conv1d(N, O, k, s, pad, d, groups))
    causal = pad == reach and s == 1 and net.random.random() < 0.5
    if causal:
        return (lambda x: layer(x.transpose(1, 2))[..., :T].transpose(1, 2)), T, O
    return (lambda x: layer(x.transpose(1, 2)).transpose(1, 2)), rows, O


def pool(net: Any, T: int, N: int) -> Made:
    kind = net.random.choice([nn.MaxPool1d, nn.AvgPool1d])
    if T < 3:
        return None
    layer = kind(2, net.random.choice([1, 2]), net.random.choice([0, 1]))
    rows = (T + 2 * layer.padding - 2) // layer.stride + 1 if isinstance(layer.stride, int) else 0
    rows = layer(torch.zeros(1, N, T)).shape[2]
    return (lambda x: layer(x.transpose(1, 2)).transpose(1, 2)), rows, N


def norm(net: Any, T: int, N: int) -> Made:
    kind = net.random.choice(["layer", "both", "batch", "rows", "group", "instance"])
    layer: Any = {
        "layer": lambda: nn.LayerNorm(N),
        "both": lambda: nn.LayerNorm([T, N]),
        "batch": lambda: nn.BatchNorm1d(N),
        "rows": lambda: nn.BatchNorm1d(T),
        "group": lambda: nn.GroupNorm(2 if N % 2 == 0 else 1, N),
        "instance": lambda: nn.InstanceNorm1d(N, affine=True),
    }[kind]()
    if T == 1 or N == 1:
        return None
    net._keep(layer)
    if kind in ("batch", "group", "instance"):
        return (lambda x: layer(x.transpose(1, 2)).transpose(1, 2)), T, N
    return layer, T, N


def attention(net: Any, T: int, N: int) -> Made:
    heads = 2 if N % 2 == 0 else 1
    layer = net._keep(nn.MultiheadAttention(N, heads, batch_first=True))
    kind = net.random.choice(["self", "residual", "last", "causal"])
    mask = torch.triu(torch.full((T, T), float("-inf")), 1) if kind == "causal" else None

    def call(x: Any) -> Any:
        query = x[:, -1:] if kind == "last" else x
        y = layer(query, x, x, attn_mask=mask, need_weights=kind == "self")[0]
        return x + y if kind == "residual" else y

    return call, 1 if kind == "last" else T, N


def encoder(net: Any, T: int, N: int) -> Made:
    options = {
        "norm_first": net.random.random() < 0.5,
        "activation": net.random.choice(["relu", "gelu"]),
    }
    layer = net._keep(nn.TransformerEncoderLayer(N, 1, 6, batch_first=True, **options))
    return layer, T, N


def additive(net: Any, T: int, N: int) -> Made:
    score, wide = net._keep(nn.Linear(4, 1)), net._keep(nn.Linear(N, 4))
    if net.random.random() < 0.5:
        return (lambda x: torch.softmax(score(torch.tanh(wide(x))), 1) * x), T, N

    def call(x: Any) -> Any:
        shares = torch.softmax(score(torch.tanh(wide(x))).squeeze(-1), -1)
        return torch.bmm(shares.unsqueeze(1), x)

    return call, 1, N


def residual(net: Any, T: int, N: int) -> Made:
    layer, function = net._keep(nn.Linear(N, N)), net.random.choice(FUNCTIONS)
    kind = net.random.choice(["add", "gate", "concatenate", "larger"])
    if kind == "concatenate":
        return (lambda x: torch.cat([x, function(layer(x))], -1)), T, 2 * N
    if kind == "gate":
        return (lambda x: x * torch.sigmoid(layer(x))), T, N
    if kind == "larger":
        return (lambda x: torch.maximum(x, layer(x))), T, N
    return (lambda x: x + function(layer(x))), T, N


def rows(net: Any, T: int, N: int) -> Made:
    kind = net.random.choice(["flip", "second", "later", "less last", "roll", "positions"])
    if T < 3:
        return None
    if kind == "positions":
        places = nn.Parameter(torch.randn(1, T, N))
        net.register_parameter(f"places{len(net.calls)}", places)
        return (lambda x: x + places), T, N
    if kind == "second":
        return (lambda x: x[:, ::2]), -(-T // 2), N
    if kind == "later":
        return (lambda x: x[:, 1:]), T - 1, N
    if kind == "less last":
        return (lambda x: x - x[:, -1:]), T, N
    if kind == "roll":
        return (lambda x: torch.cat([x[:, 1:], x[:, :1]], 1)), T, N
    return (lambda x: x.flip(1)), T, N


def along(net: Any, T: int, N: int) -> Made:
    layer = net._keep(nn.Linear(T, net.random.choice([T, 3])))
    return (lambda x: layer(x.transpose(1, 2)).transpose(1, 2)), layer.out_features, N


def squeezed(net: Any, T: int, N: int) -> Made:
    layer = net._keep(nn.Linear(N, N))
    return (lambda x: x * torch.sigmoid(layer(x.mean(1, keepdim=True)))), T, N


def odd(net: Any, T: int, N: int) -> Made:
    function = net.random.choice(ODD)
    return function, T, N


KINDS = [
    *(linear, recurrent, convolution, pool, norm, attention, encoder, additive, residual, rows),
    *(along, squeezed, odd, linear, recurrent),
]
