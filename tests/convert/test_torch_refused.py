"""Modules of PyTorch that are refused, and those whose softmax is ambiguous."""

from typing import Any

import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

from .stepping import TOLERANCE, difference
from .torch_networks import STEPS, scramble, sequence

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
nn = torch.nn

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


class Own(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 4)
        self.register_buffer("mean", torch.ones(2))


class Opaque(nn.Module):  # type: ignore[misc, name-defined]
    pass


REFUSED = {
    "bidirectional": (nn.LSTM(2, 3, bidirectional=True), "bidirectional"),
    "attention": (
        nn.MultiheadAttention(4, 2),
        "takes query and key and value, and a stream has one",
    ),
    "transformer": (nn.TransformerEncoderLayer(4, 2, 8), "expected a window"),
    "convolution": (nn.Conv1d(2, 3, 3), "convolution over 3 steps at once"),
    "unknown activation": (
        nn.Sequential(nn.Linear(2, 3), nn.Hardshrink()),
        r"1 \(Hardshrink\) calls torch.hardshrink: there is no layer",
    ),
    "unknown module": (nn.Sequential(nn.Linear(2, 3), Opaque()), r"1 \(Opaque\)"),
    "weights of its own": (Own(), r"weights of its own, mean \(2,\).*input_scaling"),
    "statistics of the batch": (nn.BatchNorm1d(3, track_running_stats=False), "batch it sees"),
    "norm over two axes": (nn.LayerNorm((3, 4)), r"\(3, 4\)"),
    "softmax over the batch": (
        nn.Sequential(nn.Linear(2, 3), nn.Softmax(0)),
        "several streams at once",
    ),
    "embedding that changes": (nn.Embedding(3, 4, max_norm=1.0), "max_norm"),
    "embedding in the middle": (
        nn.Sequential(nn.Linear(2, 3), nn.Embedding(3, 4)),
        "expected it to be the first",
    ),
    "nothing": (nn.Sequential(), "no layer|cannot be converted"),
    "layers that do not fit": (
        nn.Sequential(nn.LSTM(2, 3), nn.Linear(4, 1)),
        "1 takes 4 values.*returns 3",
    ),
}


@pytest.mark.parametrize(("module", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_an_unsupported_module_is_refused(module: Any, message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        sl.from_torch(module)


SOFTMAX = ["Softmax", "LogSoftmax", "Softmin"]


@pytest.mark.parametrize("kind", SOFTMAX)
@pytest.mark.parametrize("dim", [None, 1])
def test_an_ambiguous_softmax_is_refused(kind: str, dim: int | None) -> None:
    softmax = getattr(nn, kind)(dim)
    message = rf"head\.1 has dim={dim}, .*recurrent layer.*use dim=-1, the features"

    class Network(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(2, 4)
            self.head = nn.Sequential(nn.Linear(4, 3), softmax)

    with pytest.raises(ConvertError, match=message):
        sl.from_torch(Network())


@pytest.mark.parametrize("kind", SOFTMAX)
@pytest.mark.parametrize("dim", [-2, 0, 1, 2, 3])
@pytest.mark.parametrize("recurrent", [True, False])
def test_a_softmax_with_a_dimension(kind: str, dim: int, recurrent: bool) -> None:
    layer = nn.GRU(2, 4, batch_first=True) if recurrent else nn.Linear(2, 4)
    module = scramble(nn.Sequential(layer, getattr(nn, kind)(dim)), 5)
    if dim != 2 and (recurrent or dim != 1):  # rows and sequences of them have features there
        words = r"(1 is over dimension|1 has dim=1|softmax|softmin).*(use dim=-1|window=T)"
        with pytest.raises(ConvertError, match=words):
            sl.from_torch(module)
        return
    x = torch.randn(STEPS, 2, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        whole = sequence(module, x[None]) if recurrent else module(x if dim == 1 else x[None])
        expected = whole.reshape(STEPS, -1).numpy()
    assert difference(sl.from_torch(module), x.numpy(), expected) < TOLERANCE


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
def test_a_softmax_without_dimension_on_rows() -> None:
    module = scramble(nn.Sequential(nn.Linear(2, 4), nn.Softmax()), 5)
    x = torch.randn(STEPS, 2, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = module(x).numpy()
    assert difference(sl.from_torch(module), x.numpy(), expected) < TOLERANCE


ROWS = 6


class Behind(nn.Module):  # type: ignore[misc, name-defined]
    """A layer between rows and a recurrent layer; of channels first if ``turned``."""

    def __init__(self, layer: Any, turned: bool = False) -> None:
        super().__init__()
        self.layer, self.turned = layer, turned
        self.rnn = nn.GRU(4, 3, batch_first=True)

    def forward(self, x: Any) -> Any:
        x = self.layer(x.transpose(1, 2)).transpose(1, 2) if self.turned else self.layer(x)
        return self.rnn(x)[0][:, -1]


NAMED: dict[str, tuple[Any, list[str]]] = {
    "groups": (
        Behind(nn.GroupNorm(2, 4), turned=True),
        [r"layer \(GroupNorm\) calls", "mean and variance of groups", "nn.LayerNorm over"],
    ),
    "each series": (
        Behind(nn.InstanceNorm1d(4), turned=True),
        ["mean and variance of the rows", "track_running_stats=True can be brought"],
    ),
    "a plane": (nn.Conv2d(1, 2, 3), ["over a plane", "nn.Conv1d can be"]),
    "two series": (nn.Bilinear(2, 2, 1), ["Bilinear takes input1 and input2", "divides it"]),
}


@pytest.mark.parametrize("case", NAMED)
def test_what_cannot_be_stepped_is_named_with_the_way(case: str) -> None:
    module, words = NAMED[case]
    for word in words:
        with pytest.raises(ConvertError, match=rf"^a PyTorch module: .*{word}"):
            sl.from_torch(module, window=ROWS)


OVER_ROWS = {
    "BatchNorm1d over the rows": Behind(nn.BatchNorm1d(ROWS)),
    "LayerNorm over rows and features": Behind(nn.LayerNorm([ROWS, 4])),
    "statistics of training": Behind(nn.InstanceNorm1d(4, track_running_stats=True), turned=True),
    "a linear layer over the rows": Behind(nn.Linear(ROWS, ROWS), turned=True),
}


@pytest.mark.parametrize("case", OVER_ROWS)
def test_a_layer_over_the_rows_of_a_window(case: str) -> None:
    module = scramble(OVER_ROWS[case], 3)
    x = torch.randn(ROWS, 4, generator=torch.Generator().manual_seed(2))
    model = sl.from_torch(module, window=ROWS, inputs=["a", "b", "c", "d"])
    with torch.no_grad():
        expected = module(x[None])[0].numpy()
    found = sl.Engine(model, 1, "reference").run("a", x.numpy())[-1]
    assert abs(found - expected).max() < TOLERANCE


class Flip(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        return x.flip(1)


def test_what_only_a_window_can_be_says_so() -> None:
    words = r"from its end.*of windows it can be brought: .*window=T"
    with pytest.raises(ConvertError, match=words):
        sl.from_torch(Behind(Flip()))


class _Looked(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(7, 4), nn.Embedding(24, 3)])
        self.rnn = nn.GRU(9, 4, batch_first=True)

    def forward(self, x: Any) -> Any:
        found = [table(x[..., n].long()) for n, table in enumerate(self.tables)]
        return self.rnn(torch.cat([*found, x[..., 2:]], -1))[0][:, -1]


class _Tail(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.rnn(x[:, -4:])[0][:, -1]


@pytest.mark.parametrize(
    ("kind", "words"),
    [(_Looked, r"with zeros, but not with random numbers.*embedding"), (_Tail, r"window=4\)")],
)
def test_what_is_said_of_categories_and_of_rows_left_out(kind: Any, words: str) -> None:
    with pytest.raises(ConvertError, match=words):
        sl.from_torch(
            kind(),
            window=6 if kind is _Tail else 40,
            inputs=list("abc" if kind is _Tail else "abcd"),
        )
