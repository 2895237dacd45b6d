"""Modules that look over the rows of a window, compared with PyTorch window by window."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl

from .torch_networks import Network

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
nn = torch.nn
F = torch.nn.functional
ROWS, WIDTH = 8, 2


def rnn(kind: str = "LSTM", inputs: int = WIDTH, units: int = 5, **options: Any) -> Any:
    return getattr(nn, kind)(inputs, units, batch_first=True, **options)


def last_states(n: Any, x: Any) -> Any:
    _, (h, _) = n.rnn(x)
    return n.head(torch.cat((h[-2], h[-1]), 1))


def ends_of_outputs(n: Any, x: Any) -> Any:
    y = n.rnn(x)[0]
    return n.head(torch.cat((y[:, -1, :5], y[:, 0, 5:]), -1))


def convolved(n: Any, x: Any) -> Any:
    y = n.pool(torch.relu(n.conv(x.permute(0, 2, 1))))
    return n.head(n.rnn(y.transpose(1, 2))[0][:, -1])


def flat_convolution(n: Any, x: Any) -> Any:
    y = F.max_pool1d(F.relu(n.norm(n.conv(x.transpose(1, 2)))), 2)
    return n.head(y.flatten(1))


def padded(n: Any, x: Any) -> Any:
    y = torch.tanh(n.conv(F.pad(x.transpose(1, 2), (4, 0))))
    return n.head(n.rnn(y.transpose(1, 2))[0])[:, -1]


def chomped(n: Any, x: Any) -> Any:
    y = torch.tanh(n.conv(x.transpose(1, 2))[:, :, :-4].contiguous())
    return n.head(n.rnn(y.transpose(1, 2))[0])[:, -1]


def twice_chomped(n: Any, x: Any) -> Any:
    y = torch.relu(n.conv(x.transpose(1, 2))[..., :-2])
    return n.head(torch.relu(n.more(y)[..., :-4])[:, :, -1])


def decoded(n: Any, x: Any) -> Any:
    _, (h, _) = n.rnn(x)
    return n.head(n.decoder(h[-1].unsqueeze(1).repeat(1, 3, 1))[0])


def network(name: str) -> Any:
    both = {"bidirectional": True}
    heads: dict[str, Callable[[Any, Any], Any]] = {
        "flatten": lambda n, x: n.head(n.rnn(x)[0].reshape(len(x), -1)),
        "mean": lambda n, x: n.head(n.rnn(x)[0].mean(dim=1)),
        "max": lambda n, x: n.head(n.rnn(x)[0].max(dim=1)[0]),
        "amax": lambda n, x: n.head(torch.amax(n.rnn(x)[0], 1)),
        "reverse": lambda n, x: n.head(n.rnn(x.flip(1))[0][:, -1]),
    }
    if name in heads:
        wide = 5 * ROWS if name == "flatten" else 5
        return Network(heads[name], rnn=rnn(num_layers=2), head=nn.Linear(wide, 2))
    conv = {"head": nn.Linear(5, 1), "rnn": rnn(inputs=6)}
    dilated = {"kernel_size": 3, "dilation": 2}
    makers: dict[str, Callable[[], Any]] = {
        "states of both": lambda: Network(
            last_states, rnn=rnn(num_layers=2, **both), head=nn.Linear(10, 2)
        ),
        "ends of both": lambda: Network(
            ends_of_outputs, rnn=rnn("GRU", **both), head=nn.Linear(10, 2)
        ),
        "last of both": lambda: Network(
            lambda n, x: n.head(n.rnn(x)[0][:, -1]), rnn=rnn("RNN", **both), head=nn.Linear(10, 2)
        ),
        "convolution": lambda: Network(
            convolved, conv=nn.Conv1d(2, 6, 3, padding=1, groups=2), pool=nn.MaxPool1d(2), **conv
        ),
        "flat convolution": lambda: Network(
            flat_convolution,
            conv=nn.Conv1d(2, 6, 3, stride=2, padding=1),
            norm=nn.BatchNorm1d(6),
            head=nn.Linear(12, 3),
        ),
        "padded": lambda: Network(padded, conv=nn.Conv1d(2, 6, **dilated), **conv),
        "chomped": lambda: Network(chomped, conv=nn.Conv1d(2, 6, padding=4, **dilated), **conv),
        "chomped twice": lambda: Network(
            twice_chomped,
            conv=nn.Conv1d(2, 6, 3, padding=2),
            more=nn.Conv1d(6, 4, padding=4, **dilated),
            head=nn.Linear(4, 1),
        ),
        "decoder": lambda: Network(
            decoded, rnn=rnn(), decoder=rnn(inputs=5, units=6), head=nn.Linear(6, 2)
        ),
        "channels": lambda: nn.Sequential(
            *(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.AvgPool1d(2, stride=1, padding=1)),
            *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 1)),
        ),
    }
    return makers[name]()


NAMES = (
    *("flatten", "mean", "max", "amax", "reverse", "states of both", "ends of both"),
    *("last of both", "convolution", "flat convolution", "padded", "chomped", "decoder"),
    *("channels", "chomped twice"),
)


@pytest.mark.parametrize("name", NAMES)
def test_every_window_equals_pytorch(name: str) -> None:
    torch.manual_seed(1)
    module = network(name).eval()
    for parameter in module.parameters():
        parameter.data = 0.5 * torch.randn_like(parameter)
    model = sl.from_torch(module, window=ROWS)
    assert model.window == ROWS
    assert model.metadata["compared"].startswith("its forward")
    assert sl.compare(model, module).agrees
    X = np.random.default_rng(0).standard_normal((20, WIDTH)).astype(np.float32)
    windows = np.stack([X[t : t + ROWS] for t in range(len(X) - ROWS + 1)])
    given = windows.transpose(0, 2, 1) if name == "channels" else windows
    with torch.no_grad():
        expected = module(torch.tensor(np.ascontiguousarray(given))).reshape(len(windows), -1)
    Y = sl.Engine(model, 1, "reference").run("a", X)[ROWS - 1 :]
    assert np.abs(Y - expected.numpy()).max() < 1e-5


@pytest.mark.parametrize("name", ["padded", "chomped"])
def test_causal_convolutions_are_stepped(name: str) -> None:
    module = network(name)
    module._call = {"padded": padded, "chomped": chomped}[name]
    model = sl.from_torch(module)
    assert model.window is None
    assert model.layers[0] == sl.Conv1D(2, 6, 3, dilation=2, pad_left=4, activation="tanh")
    assert sl.compare(model, module).agrees


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mean", "takes the values of 13 steps at once, a window: give the number of its rows"),
        ("last of both", "bidirectional: .* give the number of its rows"),
        ("flatten", r"if it takes windows of T rows, give .*window=T.*takes 40 values"),
        ("convolution", "another number of steps than the input: .*window=T"),
    ],
)
def test_without_a_number_of_rows_they_are_refused(name: str, words: str) -> None:
    with pytest.raises(sl.ConvertError, match=words):
        sl.from_torch(network(name))


@pytest.mark.parametrize(("name", "head"), [("last of both", "last"), ("states of both", "ends")])
def test_a_bidirectional_state_dict(name: str, head: str, tmp_path: Path) -> None:
    module = network(name).eval()
    torch.save(module.state_dict(), tmp_path / "w.pt")
    options = {"window": ROWS, "bidirectional": head}
    model = sl.load_any(tmp_path / "w.pt", **options)
    assert model.layers == sl.from_torch(module, window=ROWS).layers
    assert sl.compare(model, tmp_path / "w.pt", **options).agrees
    assert sl.compare(model, module).agrees
