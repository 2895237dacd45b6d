"""Modules whose ``forward`` does more than call its layers in order: converted, or refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

from .stepping import TOLERANCE, difference

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
nn = torch.nn
F = torch.nn.functional

STEPS = 200


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Give each network the same weights in every run."""
    torch.manual_seed(0)


class Network(nn.Module):  # type: ignore[misc, name-defined]
    """Layers registered in another order than ``forward`` calls them, one of them never called."""

    def __init__(self, forward: Callable[[Any, Any], Any], kind: str = "LSTM") -> None:
        super().__init__()
        self.last = nn.Linear(4, 4)
        self.unused = nn.Linear(4, 4)
        self.act = nn.Tanh()
        self.rnn = getattr(nn, kind)(4, 4, 2, batch_first=True)
        self.middle = nn.Linear(4, 4)
        self.register_buffer("mean", torch.tensor([1.0, -2.0, 0.5, 3.0]))
        self.start = nn.Parameter(torch.randn(2, 1, 4))
        self.how = forward

    def forward(self, x: Any) -> Any:
        return self.how(self, x)


def states(n: Any, x: Any) -> Any:
    start = n.start.expand(-1, x.shape[0], -1).contiguous()
    return n.rnn(x, (start, 0.5 * start))[0]


def copied(y: Any) -> Any:
    """Copy step after step into a new tensor, with a function on the way."""
    found = torch.zeros_like(y)
    for t in range(y.shape[1]):
        found[:, t] = F.elu(3 * y[:, t])
    return found


TAKEN: dict[str, Callable[[Any, Any], Any]] = {
    "another order": lambda n, x: n.last(n.middle(n.rnn(x)[0])),
    "functions": lambda n, x: n.last(F.leaky_relu(n.middle(torch.tanh(n.rnn(x)[0])), 0.3)),
    "one activation twice": lambda n, x: n.last(n.act(n.middle(n.act(n.rnn(x)[0])))),
    "one layer twice": lambda n, x: n.last(n.last(n.rnn(x)[0])),
    "scaling": lambda n, x: 2 * n.last(n.rnn((x - n.mean) / 3)[0]) - n.mean,
    "scaling in place": lambda n, x: n.last(n.rnn(x)[0]).mul_(3).add_(1),
    "the input added": lambda n, x: x + n.last(n.rnn(x)[0]),
    "inputs added crosswise": lambda n, x: n.last(n.rnn(x)[0]) + x[..., [3, 0, 0, 1]],
    "a scaled input added": lambda n, x: 3 * (x + n.last(n.rnn(x)[0])),
    "softmax by number": lambda n, x: torch.softmax(n.last(n.rnn(x)[0]), dim=2),
    "exp": lambda n, x: torch.exp(n.last(n.rnn(x)[0])),
    "layer norm": lambda n, x: n.last(F.layer_norm(n.rnn(x)[0], (4,), eps=1e-3)),
    "clamp": lambda n, x: n.last(n.rnn(x)[0]).clamp(-0.2, 0.1),
    "a clamp far out": lambda n, x: n.last(n.rnn(torch.clamp(x, -8, 8))[0]),
    "a state of its own": lambda n, x: n.last(states(n, x)),
    "zeros for a state": lambda n, x: n.last(n.rnn(x, 2 * [torch.zeros(2, len(x), 4)])[0]),
    "a weight used again": lambda n, x: F.linear(n.rnn(x)[0], n.last.weight),
    "two heads": lambda n, x: torch.cat([n.last(n.rnn(x)[0]), n.middle(n.rnn(x)[0])], -1),
    "two heads and a function": lambda n, x: torch.cat(
        [torch.tanh(n.last(n.rnn(x)[0])), torch.tanh(n.middle(n.rnn(x)[0]))], -1
    ),
    "a sum of two layers": lambda n, x: n.last(n.rnn(x)[0]) - n.middle(n.rnn(x)[0]),
    "a layer and what it takes": lambda n, x: (lambda y: y + n.last(y))(n.rnn(x)[0]),
    "an absolute value": lambda n, x: n.last(torch.abs(n.rnn(x)[0] - 0.1)),
    "a mean of the features": lambda n, x: n.last(n.rnn(x)[0] - n.rnn(x)[0].mean(-1, keepdim=True)),
    "a gate on itself": lambda n, x: (lambda y: n.middle(y * torch.sigmoid(y)))(
        n.last(n.rnn(x)[0])
    ),
    "a matrix": lambda n, x: n.rnn(x)[0] @ n.last.weight.T + n.last.bias,
    "a copy in place": lambda n, x: copied(n.rnn(x)[0]),
    "a convolution of kernel 1": lambda n, x: F.conv1d(
        n.rnn(x)[0].transpose(1, 2), n.last.weight[:, :, None], n.last.bias
    ).transpose(1, 2),
    "a test of its numbers": lambda n, x: n.rnn(x)[0] if not torch.isnan(x).any() else x,
    "axes exchanged twice": lambda n, x: n.last(n.rnn(x)[0].permute(0, 2, 1).transpose(1, 2)),
    "more than one output": lambda n, x: {"y": n.last(n.rnn(x)[0]), "n": torch.ones(3)},
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_chain_in_forward_is_converted(case: str) -> None:
    torch.manual_seed(len(case))
    module = Network(TAKEN[case]).eval()
    x = 3 * torch.randn(1, STEPS, 4)
    with torch.no_grad():
        expected = module(x)
    expected = expected["y"] if isinstance(expected, dict) else expected
    model = sl.from_torch(module)
    assert difference(model, x[0].numpy(), expected[0].numpy()) < TOLERANCE


def test_a_module_that_returns_the_last_step() -> None:
    torch.manual_seed(3)
    module = Network(lambda n, x: F.softmax(n.last(n.rnn(x)[1][0][-1]), dim=1)).eval()
    x = torch.randn(1, 30, 4)
    with torch.no_grad():
        expected = np.stack([module(x[:, : t + 1])[0].numpy() for t in range(30)])
    assert difference(sl.from_torch(module), x[0].numpy(), expected) < TOLERANCE


REFUSED: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "a mean over the time": (
        lambda n, x: n.last(n.rnn(x)[0].mean(1)),
        r"Network \(mean\) takes the values of 13 steps at once, a window",
    ),
    "a flattened window": (
        lambda n, x: F.linear(n.rnn(x)[0].flatten(1), torch.ones(2, 52)),
        "linear takes the values of 13 steps at once, a window",
    ),
    "the cell state": (lambda n, x: n.last(n.rnn(x)[1][1][-1]), "uses the cell state of rnn"),
    "the lower layer": (
        lambda n, x: n.last(n.rnn(x)[1][0][0]),
        "uses the hidden state of rnn, layer 0",
    ),
    "the future": (lambda n, x: n.last(n.rnn(x.flip(1))[0]), "rnn reads the series from its end"),
    "every other step": (
        lambda n, x: n.rnn(x[:, ::2])[0],
        "rnn reads the series with gaps",
    ),
    "a softmax over the time": (
        lambda n, x: F.softmax(n.last(n.rnn(x)[0]), dim=1),
        r"softmax takes the values of 13 steps at once, a window",
    ),
    "one over nobody says what": (
        lambda n, x: F.log_softmax(n.last(n.rnn(x)[0])),
        "log_softmax takes the values of several streams",
    ),
    "chunks of ten": (
        lambda n, x: n.last(torch.cat([n.rnn(c)[0] for c in x.split(10, 1)], 1)),
        "rnn starts anew at each step, or goes on from another state",
    ),
    "a square": (
        lambda n, x: n.last(n.rnn(x)[0] ** 2),
        r"Network calls Tensor\.pow: no layer here raises",
    ),
    "a convolution": (
        lambda n, x: F.conv1d(x.transpose(1, 2), torch.ones(4, 4, 3)).transpose(1, 2),
        "Network is a convolution over 3 steps at once",
    ),
    "a quotient": (
        lambda n, x: n.last(n.rnn(x)[0]) / n.middle(n.rnn(x)[0]),
        r"Network calls Tensor\.div: there is no",
    ),
    "a difference of steps": (
        lambda n, x: n.rnn(x[:, 1:] - x[:, :-1])[0],
        "joins the values of different steps",
    ),
    "a position": (
        lambda n, x: n.rnn(x + torch.arange(13.0)[:, None])[0],
        "rnn is given other values of add at some steps than at others",
    ),
    "a random state": (
        lambda n, x: n.rnn(x, (torch.randn(2, len(x), 4), torch.randn(2, len(x), 4)))[0],
        r"Network draws random numbers \(torch\.randn\) even where it predicts",
    ),
    "a state for each stream": (
        lambda n, x: n.rnn(x, (torch.arange(24.0).reshape(2, -1, 4)[:, : len(x)],) * 2)[0],
        "rnn starts from a state that differs from stream to stream",
    ),
    "steps in another order": (
        lambda n, x: n.rnn(x)[0].flip(1),
        "the output has its steps in another order",
    ),
    "dropout that never ends": (
        lambda n, x: F.dropout(n.rnn(x)[0], 0.5),
        "drops values at random even where it predicts",
    ),
    "a branch by numbers": (
        lambda n, x: n.rnn(x)[0] if float(x.mean()) > 5 else n.rnn(2 * x)[0],
        "reads numbers of its input",
    ),
    "numbers through NumPy": (
        lambda n, x: n.rnn(torch.as_tensor(np.sqrt(np.abs(x.numpy()))))[0],
        r"reads numbers of its input \(numpy\)",
    ),
    "a view changed in place": (
        lambda n, x: (lambda y: (y[:, :1].mul_(2), n.last(y))[1])(n.rnn(x)[0]),
        r"changes a tensor in place \(mul\) of which it uses a view",
    ),
    "padding": (
        lambda n, x: n.rnn(torch.cat([torch.zeros(len(x), 2, 4), x], 1))[0],
        "given numbers that do not come from the input, such as padding",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_forward_that_is_no_chain_is_refused_by_name(case: str) -> None:
    forward, message = REFUSED[case]
    module = Network(forward)
    del module.start, module.mean
    with pytest.raises(
        ConvertError, match=f"forward of Network computes something else.*{message}"
    ):
        sl.from_torch(module)


def test_features_computed_in_forward_are_refused() -> None:
    class Differences(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(4, 3, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.rnn(torch.cat([x, x.diff(dim=1, prepend=x[:, :1])], -1))[0]

    with pytest.raises(ConvertError, match="the forward of Differences computes something else"):
        sl.from_torch(Differences())


@pytest.mark.parametrize("needs", ["a state", "one feature without its axis"])
def test_other_forms_of_input(needs: str) -> None:
    class Called(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(1, 3, batch_first=True)

    def state(self: Any, x: Any, h: Any, c: Any) -> Any:
        return self.rnn(x, (h, c))

    def no_axis(self: Any, x: Any) -> Any:
        return torch.tanh(self.rnn(x.unsqueeze(-1))[0])

    forward = {"a state": state}.get(needs, no_axis)
    module = type("Called", (Called,), {"forward": forward})()
    layers = sl.from_torch(module).layers
    assert layers[0] == sl.LSTM(1, 3)
    assert len(layers) == (2 if forward is no_axis else 1)


def test_conversion_does_not_change_the_module() -> None:
    class Stateful(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(2, 3)
            self.drop = nn.Dropout(0.5)
            self.h: Any = None

        def forward(self, x: Any) -> Any:
            y, self.h = self.rnn(x, self.h)
            return self.drop(y)

    module = Stateful()
    torch.manual_seed(1)
    sl.from_torch(module)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
    assert module.h is None
    assert module.training
    assert not module.rnn._forward_hooks


def test_an_initial_state_and_skip_of_the_caller() -> None:
    class Plain(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(2, 2, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.rnn(x)[0]

    h0 = torch.randn(1, 1, 2)
    model = sl.from_torch(Plain(), initial_state=h0, skip=[1, 0])
    assert model.skip == (1, 0)
    assert np.allclose(model.weights[0]["initial_h"], h0[0, 0])


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_weights_computed_by_hooks() -> None:
    from torch.nn.utils import prune, spectral_norm, weight_norm

    for change in (
        weight_norm,
        spectral_norm,
        lambda linear: prune.random_unstructured(linear, "weight", 0.5),
    ):
        linear = change(nn.Linear(5, 3)).eval()
        x = torch.randn(STEPS, 5)
        with torch.no_grad():
            expected = linear(x).numpy()
        # A spectral norm of random vectors, without training, may scale weights by hundreds.
        tolerance = TOLERANCE * max(1, np.abs(expected).max())
        assert difference(sl.from_torch(nn.Sequential(linear)), x.numpy(), expected) < tolerance
        if change is not spectral_norm:
            model = sl.from_torch(linear.state_dict())
            assert difference(model, x.numpy(), expected) < tolerance


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_a_quantized_network_is_refused() -> None:
    with pytest.raises(ConvertError, match=r"0 .*quantized: bring the network .* floating point"):
        sl.from_torch(nn.Sequential(torch.ao.nn.quantized.Linear(2, 3)))
    with pytest.raises(ConvertError, match="quantized"):
        sl.from_torch({"fc._packed_params.dtype": torch.qint8})


def test_a_lazy_module_and_a_class_are_refused() -> None:
    with pytest.raises(ConvertError, match=r"0\.weight: a lazy module has no weights"):
        sl.from_torch(nn.Sequential(nn.LazyLinear(3)))
    with pytest.raises(ConvertError, match=r"expected a torch\.nn\.Module"):
        sl.from_torch(Network)
