"""Random modules of PyTorch, of the kinds that public code has, and their numbers step by step."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

Array = np.ndarray[Any, Any]
Function = Callable[[Any], Any]

# At most one of these between two layers; the second list has no layer here, or none in general.
FUNCTIONS: list[Function] = [
    torch.tanh,
    torch.relu,
    torch.sigmoid,
    torch.abs,
    F.leaky_relu,
    F.elu,
    F.silu,
    F.gelu,
    F.softplus,
    F.hardtanh,
    lambda y: F.leaky_relu(y, 0.2),
    lambda y: y.clamp(-1, 1),
    lambda y: y.clamp(min=0),
    lambda y: torch.clamp(y, max=0.3),
    lambda y: F.relu(y, inplace=True),
    lambda y: y.clone().tanh_(),
    lambda y: torch.softmax(y, -1),
    lambda y: F.log_softmax(y, dim=-1),
    lambda y: F.dropout(y, 0.3, training=False),
    lambda y: 2 * y,
    lambda y: y / 3 - 0.5,
    lambda y: 1 - y,
    lambda y: -y,
    lambda y: (y - 0.2) * 4 + 1,
    lambda y: y * torch.sigmoid(y),
    lambda y: F.relu(y - 3) + 0.1,
    lambda y: F.elu(0.01 * y),
    lambda y: torch.exp(0.1 * torch.tanh(y)),
    lambda y: nn.Sequential(nn.Dropout(0.5), nn.ReLU6()).eval()(y),
    lambda y: y,
]
ODD: list[Function] = [
    torch.square,
    torch.cos,
    lambda y: y**3,
    lambda y: torch.where(y > 0, y, 0.01 * y),
    lambda y: y * y,
    lambda y: torch.sign(y),
    lambda y: F.relu(y) - 0.5 * F.relu(-y),
    lambda y: torch.sqrt(y.abs()),
    lambda y: torch.log1p(y.abs()),
    lambda y: F.hardshrink(y),
    lambda y: torch.maximum(y, 0.1 * y),
    lambda y: y.cumsum(-1),
    lambda y: y.round(),
    lambda y: F.normalize(y, dim=-1),
    lambda y: y - y.max(),
    lambda y: y.flip(-1),
]
OVER_TIME: list[Function] = [
    lambda y: y.flip(1),
    lambda y: y - y.mean(1, keepdim=True),
    lambda y: y.cumsum(1),
    lambda y: F.pad(y, (0, 0, 1, 0))[:, :-1],
    lambda y: torch.roll(y, 1, 1),
    lambda y: F.softmax(y, 1),
    lambda y: y[:, torch.randperm(y.shape[1])] if y.shape[1] > 1 else y,
    lambda y: torch.cumulative_trapezoid(y, dim=1),
]


class RandomNetwork(nn.Module):  # type: ignore[misc]
    """One network out of very many, by its seed; ``odd`` ones do what has no layer somewhere.

    Attributes
    ----------
    features : int
        F.
    last : bool
        Whether it returns the last step only.
    time_first : bool
        Whether it takes float[T, S, F].
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.draw = draw = Random(seed)
        self.features = draw.choice([1, 1, 2, 3])
        H = draw.choice([1, 3, 4])
        kind = draw.choice(["LSTM", "LSTM", "GRU", "RNN", "LSTMCell", "GRUCell"])
        self.time_first = draw.random() < 0.2 and not kind.endswith("Cell")
        self.cells = kind.endswith("Cell")
        self.squeezed = self.features == 1 and draw.random() < 0.3 and not self.time_first
        layers = draw.choice([1, 2])
        self.lstm = kind.startswith("LSTM")
        if self.cells:
            self.rnn: Any = getattr(nn, kind)(self.features, H)
        else:
            more = {"batch_first": not self.time_first, "dropout": 0.0}
            self.rnn = getattr(nn, kind)(self.features, H, layers, **more)
        self.last = draw.random() < 0.4
        self.from_state = self.last and not self.cells and draw.random() < 0.5
        sizes = [H, *(draw.choice([1, 2, 4]) for _ in range(draw.choice([0, 1, 2])))]
        self.linear = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))
        self.odd = draw.random() < 0.25
        odd = draw.choice(ODD if draw.random() < 0.7 else OVER_TIME)
        self.before = self.pick(draw, [*FUNCTIONS[17:28], FUNCTIONS[11], *[FUNCTIONS[-1]] * 9])
        self.between = [self.pick(draw, FUNCTIONS) for _ in sizes]
        if self.odd and not self.time_first:
            over_time = odd in OVER_TIME and self.last
            self.between[0 if over_time else draw.randrange(len(sizes))] = odd
        self.residual = sizes[-1] == self.features and draw.random() < 0.3
        self.skips = draw.random() < 0.2  # around the last linear layer
        self.two = draw.random() < 0.15
        self.ends = draw.choice(["", "", "squeeze", "tuple", "dict", "list"])
        self.constant = torch.tensor([draw.uniform(-3, 3) for _ in range(self.features)])
        self.scaled = draw.random() < 0.3
        self.factor = draw.choice([0.01, 1, 1, 1, 30])
        self.eval()

    def pick(self, draw: Random, choices: list[Function]) -> Function:
        return draw.choice(choices)

    def run(self, x: Any) -> Any:
        """Return the outputs of the recurrent part, of all steps or the last."""
        if not self.cells:
            y, state = self.rnn(x)
            if self.from_state:
                return (state[0] if self.lstm else state)[-1]
            if self.last:
                return y[-1] if self.time_first else y[:, -1, :]
            return y
        state, found = None, []
        for t in range(x.shape[1]):
            state = self.rnn(x[:, t], state)
            found.append(state[0] if self.lstm else state)
        return found[-1] if self.last else torch.stack(found, 1)

    def forward(self, given: Any) -> Any:
        """Return what the network computes."""
        x = given.unsqueeze(-1) if self.squeezed else given
        inner = (x - self.constant) / 3 if self.scaled else x
        y = self.between[0](self.run(self.before(inner)))
        for linear, function in zip(self.linear, self.between[1:], strict=True):
            z = linear(self.factor * y)
            if self.skips and z.shape == y.shape:
                z = z + y
            y = function(z)
        if self.residual:
            tail = x[-1] if self.time_first else x[:, -1]
            y = y + (tail if self.last else x)
        if self.two:
            y = torch.cat([y, 2 * y - 1], -1)
        if self.ends == "squeeze" and y.shape[-1] == 1:
            return y.squeeze(-1)
        return {"tuple": (y, None), "dict": {"y": y}, "list": [y]}.get(self.ends, y)

    def steps(self, X: Array) -> Array:
        """Return what it gives for each step of float64[T, F], from the series up to it."""
        with torch.no_grad():
            x = torch.tensor(X)[None]
            if not self.last:
                return np.asarray(self._call(x).reshape(len(X), -1).numpy())
            each = [self._call(x[:, : t + 1]).reshape(-1).numpy() for t in range(len(X))]
            return np.stack(each)

    def _call(self, x: Any) -> Any:
        if self.squeezed:
            x = x[..., 0]
        y = self(x.transpose(0, 1) if self.time_first else x)
        return y[0] if isinstance(y, tuple | list) else y["y"] if isinstance(y, dict) else y


def series(seed: int, F: int, T: int = 40) -> Array:
    """Return a random walk, float64[T, F], that gets large."""
    rng = np.random.default_rng(seed)
    X = np.cumsum(rng.standard_normal((T, F)), axis=0) * rng.choice([0.1, 1, 10])
    return np.asarray(X.astype(np.float32), np.float64)
