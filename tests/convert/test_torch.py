"""Random networks of PyTorch, converted and compared with PyTorch over a sequence."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

from .stepping import BACKENDS, TOLERANCE, difference

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
nn = torch.nn

STEPS = 200
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


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


CASES: dict[str, Any] = {
    "lstm": lambda: [nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 2)],
    "lstm, three layers, dropout": lambda: [nn.LSTM(3, 5, 3, batch_first=True, dropout=0.5)],
    "lstm, no bias": lambda: [nn.LSTM(2, 7, bias=False, batch_first=True), nn.Linear(7, 1)],
    "lstm, projected": lambda: [nn.LSTM(3, 9, 2, batch_first=True, proj_size=4), nn.Linear(4, 2)],
    "lstm, one unit": lambda: [nn.LSTM(1, 1, batch_first=True)],
    "gru": lambda: [nn.GRU(3, 8, batch_first=True), nn.Linear(8, 2)],
    "gru, two layers, no bias": lambda: [nn.GRU(3, 6, 2, bias=False, batch_first=True)],
    "rnn, tanh": lambda: [nn.RNN(3, 8, batch_first=True), nn.Linear(8, 2)],
    "rnn, relu": lambda: [
        nn.RNN(3, 4, nonlinearity="relu", bias=False, batch_first=True),
        nn.Sigmoid(),
    ],
    "all norms": lambda: [
        nn.BatchNorm1d(3),
        nn.LSTM(3, 6, batch_first=True),
        nn.LayerNorm(6, eps=1e-3),
        nn.Dropout(0.5),
        nn.Linear(6, 5),
        nn.BatchNorm1d(5, eps=1e-2),
        nn.ReLU(),
        nn.BatchNorm1d(5, affine=False),
        nn.GRU(5, 4, batch_first=True),
        nn.LayerNorm(4, elementwise_affine=False),
        nn.BatchNorm1d(4),
    ],
    "mixed, nested": lambda: [
        nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Sequential(nn.Identity(), nn.Linear(6, 4))),
        nn.GRU(4, 5, batch_first=True),
        nn.LSTM(5, 6, batch_first=True),
        nn.RNN(6, 3, batch_first=True),
        nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(3, 2), nn.LogSoftmax(-1)),
    ],
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_a_random_network_equals_pytorch(case: str, backend: str) -> None:
    module = scramble(first(*CASES[case]()), seed=len(case))
    model = sl.from_torch(module)
    x = torch.randn(1, STEPS, model.input_size, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = sequence(module, x).numpy()
    assert difference(model, x[0].numpy(), expected, backend) < TOLERANCE


ACTIVATIONS = [
    nn.ReLU(),
    nn.ReLU6(),
    nn.Tanh(),
    nn.Sigmoid(),
    nn.Hardsigmoid(),
    nn.Hardtanh(-0.5, 0.7),
    nn.LeakyReLU(0.3),
    nn.PReLU(),
    nn.ELU(0.7),
    nn.CELU(0.6),
    nn.SELU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Hardswish(),
    nn.Mish(),
    nn.Softplus(),
    nn.Softplus(beta=3.0),
    nn.Softsign(),
    nn.LogSigmoid(),
    nn.Threshold(0.3, 0.0),
    nn.Softmax(-1),
    nn.LogSoftmax(-1),
    nn.Softmin(-1),
    nn.Identity(),
    nn.Flatten(2),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_an_activation_equals_pytorch(activation: Any) -> None:
    modules = first(nn.LSTM(2, 4, batch_first=True), activation, nn.Linear(4, 3), activation)
    module = scramble(modules, 3)
    x = torch.randn(1, STEPS, 2, generator=torch.Generator().manual_seed(2)) * 3
    with torch.no_grad():
        expected = sequence(module, x).numpy()
    assert difference(sl.from_torch(module), x[0].numpy(), expected) < TOLERANCE


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_initial_states_are_converted(kind: str) -> None:
    module = scramble(getattr(nn, kind)(3, 5, 2, batch_first=True), 1)
    h0, c0 = torch.randn(2, 2, 1, 5, generator=torch.Generator().manual_seed(2))
    state = (h0, c0) if kind == "LSTM" else h0
    x = torch.randn(1, STEPS, 3, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = module(x, state)[0][0].numpy()
    model = sl.from_torch(module, initial_state=[state])
    assert difference(model, x[0].numpy(), expected) < TOLERANCE
    assert difference(sl.from_torch(module), x[0].numpy(), expected) > 1e-3


class Trained(nn.Module):  # type: ignore[misc, name-defined]
    """A usual network, with a trained initial state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 4, batch_first=True)
        self.loss = nn.MSELoss()
        self.head = nn.Linear(4, 1)
        self.h0 = nn.Parameter(torch.zeros(1, 1, 4))
        self.c0 = nn.Parameter(torch.zeros(1, 1, 4))

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x, (self.h0, self.c0))[0])


@pytest.mark.parametrize("source", ["module", "state dict", "file", "checkpoint"])
def test_every_source_of_a_network(source: str, tmp_path: Path) -> None:
    module = scramble(Trained(), 4)
    x = torch.randn(1, STEPS, 2, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = module(x)[0].numpy()
    given: Any = {"module": module, "state dict": module.state_dict()}.get(source)
    if given is None:
        given = tmp_path / "model.pt"
        state = module.state_dict()
        torch.save(state if source == "file" else {"epoch": 1, "model_state_dict": state}, given)
    assert difference(sl.from_torch(given), x[0].numpy(), expected) < TOLERANCE


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
def test_a_cell_is_converted_to_a_layer(kind: str) -> None:
    cell = scramble(getattr(nn, kind)(3, 5), 6)
    x = torch.randn(STEPS, 1, 3, generator=torch.Generator().manual_seed(3))
    state, expected = None, []
    with torch.no_grad():
        for row in x:
            state = cell(row, state)
            expected.append((state[0] if kind == "LSTMCell" else state)[0].numpy())
    model = sl.from_torch(cell)
    assert difference(model, x[:, 0].numpy(), np.stack(expected)) < TOLERANCE


@pytest.mark.parametrize("numeric", [0, 2])
def test_an_embedding_with_and_without_numeric_features(numeric: int) -> None:
    rest = [nn.GRU(4 + numeric, 5, batch_first=True), nn.Linear(5, 7)]
    embedding = nn.Embedding(11, 4)
    module = scramble(first(embedding, *rest), 8)
    generator = torch.Generator().manual_seed(9)
    ids = torch.randint(0, 11, (1, STEPS), generator=generator)
    numbers = torch.randn(1, STEPS, numeric, generator=generator)
    with torch.no_grad():
        expected = sequence(rest, torch.cat([embedding(ids), numbers], -1)).numpy()
    X = np.concatenate([ids[0, :, None].numpy(), numbers[0].numpy()], axis=1)
    assert difference(sl.from_torch(module), X, expected) < TOLERANCE
    assert difference(sl.from_torch(module.state_dict()), X, expected) < TOLERANCE


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_weights_of_other_types(dtype: str) -> None:
    module = scramble(first(nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 2)), 2)
    module = module.to(getattr(torch, dtype))
    model = sl.from_torch(module)
    x = torch.randn(1, STEPS, 3, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():  # the numbers in the file, computed with all digits
        expected = sequence(module.double(), x.double()).numpy()
    assert difference(model, x[0].numpy(), expected) < TOLERANCE


def test_an_activation_registered_twice_is_applied_twice() -> None:
    shared = nn.ReLU()
    model = sl.from_torch(nn.Sequential(nn.Linear(2, 3), shared, nn.Linear(3, 4), shared))
    assert [getattr(layer, "activation", None) for layer in model.layers] == ["relu", "relu"]


def test_a_parametrised_weight_is_computed() -> None:
    linear = torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    weights = sl.from_torch(nn.Sequential(linear)).weights[0]["weight"]
    assert np.allclose(weights, linear.weight.detach().numpy())


def test_children_in_another_order_than_forward_calls_them() -> None:
    class Reversed(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 1)
            self.lstm = nn.LSTM(2, 4)

    module = Reversed()
    with pytest.raises(ConvertError, match=r"lstm takes 2 values.*returns 1.*registered"):
        sl.from_torch(module)
    assert len(sl.from_torch(nn.Sequential(module.lstm, module.head)).layers) == 2


class Own(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 4)
        self.register_buffer("mean", torch.ones(2))


class Opaque(nn.Module):  # type: ignore[misc, name-defined]
    pass


REFUSED = {
    "bidirectional": (nn.LSTM(2, 3, bidirectional=True), "bidirectional"),
    "attention": (nn.MultiheadAttention(4, 2), "attends to the whole past"),
    "transformer": (nn.TransformerEncoderLayer(4, 2, 8), "attends to the whole past"),
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
        words = r"(1 is over dimension|1 has dim=1|softmax|softmin).*use dim=-1"
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


def test_a_file_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(nn.Linear(2, 3), path)
    with pytest.raises(ConvertError) as caught:
        sl.from_torch(path)
    message = str(caught.value)
    assert "holds torch.nn.modules.linear.Linear, and reading that would run its code" in message
    assert message.isprintable()  # PyTorch's own has a terminal's colours and line breaks
    path.write_bytes(b"not a file of torch")
    with pytest.raises(ConvertError, match=r"expected a state dict.*damaged, of another kind"):
        sl.from_torch(path)


def test_a_checkpoint_with_plain_values(tmp_path: Path) -> None:
    module = nn.LSTM(2, 3)
    others = {"loss": np.float64(0.5), "curve": np.zeros(3), "options": Namespace(rate=0.1)}
    torch.save({"state_dict": module.state_dict(), **others}, tmp_path / "checkpoint.pt")
    assert sl.load_any(tmp_path / "checkpoint.pt").layers == (sl.LSTM(2, 3),)


USERS_FILE = """
import torch

class MyNet(torch.nn.Module):
    def __init__(self, hidden=8):
        super().__init__()
        self.lstm = torch.nn.LSTM(2, hidden, batch_first=True)
        self.fc1 = torch.nn.Linear(hidden, 4)
        self.fc2 = torch.nn.Linear(4, 1)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(self.lstm(x)[0])))
"""


def test_the_weights_of_a_module_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamlstm.convert.torch.user_module import import_module_class

    (tmp_path / "users_net.py").write_text(USERS_FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    module = import_module_class("users_net:MyNet", {"hidden": 6})
    other = type(module)(hidden=6).eval()
    state = {f"model.{key}": value for key, value in other.state_dict().items()}
    torch.save({"model": state, "optimizer": {"state": {}}}, tmp_path / "w.pt")
    model = sl.from_torch(tmp_path / "w.pt", module=module)
    x = torch.randn(1, STEPS, 2)
    with torch.no_grad():
        expected = other(x)[0].numpy()
    assert difference(model, x[0].numpy(), expected) < TOLERANCE
    assert model.metadata["compared"].startswith("its forward")
    assert "not compared" not in repr(model)
    with pytest.raises(ConvertError, match=r"not those of MyNet: .*size mismatch for lstm"):
        sl.from_torch(state, module=import_module_class("users_net:MyNet", {}))
    for reference, arguments, words in (
        ("users_net", {}, "expected package.file:Class"),
        ("absent_net:MyNet", {}, "importing absent_net failed: ModuleNotFoundError"),
        ("users_net:Other", {}, "has no Other; it has MyNet"),
        ("users_net:MyNet", {"size": 1}, r"cannot be made with --args \{'size': 1\}: TypeError"),
    ):
        with pytest.raises(ConvertError, match=words):
            import_module_class(reference, arguments)


class Plain(nn.Module):  # type: ignore[misc, name-defined]
    """What TorchScript and torch.export are made from."""

    def __init__(self, functional: bool = False) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 8, batch_first=True)
        self.head = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Dropout(0.1), nn.Linear(4, 1))
        self.functional = functional

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.head(self.lstm(x)[0])
        if self.functional:
            y = torch.relu(y)
        return y


@pytest.mark.filterwarnings("ignore")
def test_torch_script_and_exported_programs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Plain().eval()
    x = torch.randn(1, STEPS, 2)
    with torch.no_grad():
        expected = module(x)[0].numpy()
    script = torch.jit.script(module)
    script.save(tmp_path / "script.pt")
    traced = torch.jit.trace(module, torch.randn(3, 5, 2))
    for source in (script, traced, tmp_path / "script.pt"):
        model = sl.from_torch(source)
        assert difference(model, x[0].numpy(), expected) < TOLERANCE
        assert model.metadata["compared"].startswith("the TorchScript: its outputs")
    found = sl.compare(sl.from_torch(script), tmp_path / "script.pt")
    assert found.agrees, str(found)
    assert found.source == "TorchScript"
    exported = torch.export.export(module, (torch.randn(2, 5, 2),))
    with pytest.raises(ConvertError, match=r"does not say what head\.1"):
        sl.from_torch(exported)
    model = sl.from_torch(exported, activations={"head.0": "tanh"})
    assert difference(model, x[0].numpy(), expected) < TOLERANCE
    assert model.metadata["compared"].startswith("the program of torch.export: its outputs")
    with pytest.raises(ConvertError, match="export computes something else than its layers"):
        sl.from_torch(exported, activations={"head.0": "relu"})
    with pytest.raises(ConvertError, match="TorchScript computes something else than its layers"):
        sl.from_torch(torch.jit.script(Plain(functional=True).eval()))


def test_first_line_of_a_message_without_colours() -> None:
    from streamlstm.convert.common.frameworks import first_line

    assert first_line(ValueError("\n\x1b[1;31mno such thing\x1b[0m.\nmore")) == "no such thing."
    assert first_line(EOFError()) == "EOFError"
