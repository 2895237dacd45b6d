"""TorchScript and programs of torch.export, which are followed operation by operation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

from .stepping import TOLERANCE, difference
from .torch_networks import STEPS

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore")
ROWS = 7


class Plain(nn.Module):  # type: ignore[misc, name-defined]
    """A head of functions and submodules, behind a scaler."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([1.0, 2.0]))
        self.lstm = nn.LSTM(2, 8, batch_first=True)
        self.head = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Dropout(0.1), nn.Linear(4, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.head(self.lstm((x - self.mean) / 3.0)[0]))


class Windows(nn.Module):  # type: ignore[misc, name-defined]
    """A convolution, both directions and their last states."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 5, 3, padding=1)
        self.rnn = nn.GRU(5, 4, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.rnn(torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2))[1]
        return self.head(torch.cat([h[-2], h[-1]], 1))


MADE: dict[str, Callable[[Any, Any], Any]] = {
    "script": lambda module, _: torch.jit.script(module),
    "trace": lambda module, x: torch.jit.trace(module, x, check_trace=False),
    "export": lambda module, x: torch.export.export(module, (x,)),
    "graph": lambda module, x: torch.export.export(module, (x,)).module(),
}


@pytest.mark.parametrize("kind", MADE)
def test_a_program_gives_what_its_module_gives(kind: str) -> None:
    torch.manual_seed(0)
    module = Plain().eval()
    program = MADE[kind](module, torch.randn(2, 5, 2))
    model = sl.from_torch(program)
    x = torch.randn(1, STEPS, 2)
    with torch.no_grad():
        assert difference(model, x[0].numpy(), module(x)[0].numpy()) < TOLERANCE
    assert ": its operations, and its outputs" in model.metadata["compared"]
    assert sl.compare(model, program).agrees


@pytest.mark.parametrize("kind", ["script", "trace", "export"])
def test_a_program_over_windows(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Windows().eval()
    program = MADE[kind](module, torch.randn(2, ROWS, 2))
    model = sl.from_torch(program, window=ROWS)
    assert model.layers == sl.from_torch(module, window=ROWS).layers
    X = np.random.default_rng(0).standard_normal((ROWS, 2)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.tensor(X)[None])[0].numpy()
    assert np.abs(sl.Engine(model, 1, "reference").run("a", X)[-1] - expected).max() < TOLERANCE
    if kind == "export":
        return
    program.save(tmp_path / "script.pt")
    found = sl.compare(model, tmp_path / "script.pt", window=ROWS)
    assert found.agrees, str(found)
    assert found.source == "TorchScript"


def test_a_program_of_categories_ends_by_a_function() -> None:
    class Words(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.table, self.rnn = nn.Embedding(7, 4), nn.RNN(4, 5, batch_first=True)
            self.head = nn.Linear(5, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.log_softmax(self.head(self.rnn(self.table(x))[0]), -1)

    words = Words().eval()
    model = sl.from_torch(torch.jit.trace(words, torch.randint(0, 7, (1, 5))))
    assert model.layers == sl.from_torch(words).layers


def test_what_cannot_be_stepped_is_named() -> None:
    class Whole(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(2, 3, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cumsum(self.lstm(x)[0], 1)

    words = r"^a TorchScript: .*torch\.cumsum: it sums over the whole past"
    with pytest.raises(ConvertError, match=words):
        sl.from_torch(torch.jit.script(Whole().eval()))


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "contiguous": lambda m, y: y.transpose(0, 1).contiguous().transpose(0, 1),
    "casts": lambda m, y: (
        y.to(y).to(y.device).type_as(y).clone(memory_format=torch.preserve_format)
    ),
    "mT": lambda m, y: y.mT.mT,
    "index": lambda m, y: y[:, :, [3, 1, 0, 2]],
    "numbers": lambda m, y: torch.nn.functional.softsign(y) + 1e-6,
    "same": lambda m, y: m.same(y.transpose(1, 2)).transpose(1, 2),
    "pool": lambda m, y: y + nn.functional.adaptive_max_pool1d(y.mT, 1).mT,
    "attention": lambda m, y: m.attention(y, y, y, need_weights=False)[0],
    "shares": lambda m, y: m.attention(y, torch.relu(y), y)[0],
    "causal": lambda m, y: m.attention(
        y, y, y, attn_mask=torch.triu(torch.ones(ROWS, ROWS, dtype=torch.bool), 1)
    )[0],
    "other rows": lambda m, y: m.attention(y[:, -1:].repeat(1, 3, 1) * m.steps, y, y)[0],
}


class Operation(nn.Module):  # type: ignore[misc, name-defined]
    """One of the operations between layers; its GRU starts from zeros that forward makes."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.rnn, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 1)
        self.same = nn.Conv1d(4, 4, 3, padding="same")
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.register_buffer("steps", torch.tensor([[1.0], [0.5], [-1.0]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.rnn(x, torch.zeros(1, x.shape[0], 4))[0]
        return self.head(_OPERATIONS[self.name](self, y)[:, -1])


@pytest.mark.parametrize("kind", ["trace", "export"])
@pytest.mark.parametrize("name", _OPERATIONS)
def test_operations_with_other_arguments_than_their_functions(name: str, kind: str) -> None:
    torch.manual_seed(0)
    module = Operation(name).eval()
    x = torch.randn(1, ROWS, 3)
    model = sl.from_torch(MADE[kind](module, x), window=ROWS)
    with torch.no_grad():
        expected = module(x)[0].numpy()
    found = sl.Engine(model, 1, "reference").run("a", x[0].numpy())[-1]
    assert np.abs(found - expected).max() < TOLERANCE


@pytest.mark.parametrize("options", [{}, {"norm_first": True, "activation": "gelu"}])
def test_what_a_module_calls_where_it_only_predicts(options: dict[str, Any]) -> None:
    """PyTorch computes attention and encoder layers by operations of their own then."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, **options)
    module = nn.Sequential(layer, nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 1))
    module.forward = lambda x: module[2](module[1](*[module[0](x)] * 3)[0][:, -1])
    x = torch.randn(1, ROWS, 4)
    with torch.no_grad():
        script = torch.jit.trace_module(module.eval(), {"forward": x}, check_trace=False)
        expected = module(x * 3)[0].numpy()
    assert "_native_multi_head_attention" in str(script.inlined_graph)
    found = sl.Engine(sl.from_torch(script, window=ROWS), 1, "reference").run("a", 3 * x[0].numpy())
    assert np.abs(found[-1] - expected).max() < 1e-5


class Sensors(nn.Module):  # type: ignore[misc, name-defined]
    """Two layers over halves of the inputs: the script raises for fewer of them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.LSTM(2, 4, batch_first=True), nn.LSTM(2, 4, batch_first=True)
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both = torch.cat([self.a(x[..., :2])[0], self.b(x[..., 2:].contiguous())[0]], -1)
        return nn.functional.softplus(self.head(both)) + 1e-6


def test_a_script_that_raises_for_some_widths() -> None:
    module = Sensors().eval()
    model = sl.from_torch(torch.jit.script(module))
    assert model.layers == sl.from_torch(module).layers


@pytest.mark.parametrize(
    ("kind", "operation", "words"),
    [
        ("trace", lambda y: nn.functional.group_norm(y.mT, 2).mT, "group_norm"),
        ("export", lambda y: nn.functional.instance_norm(y.mT).mT, "instance_norm"),
        ("export", lambda y: torch.cdist(y, y) @ y, "cdist"),
    ],
    ids=["group_norm", "instance_norm", "cdist"],
)
def test_an_operation_without_a_layer_is_named(kind: str, operation: Any, words: str) -> None:
    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(operation(self.rnn(x)[0])[:, -1])

    with pytest.raises(ConvertError, match=words):
        sl.from_torch(MADE[kind](Net().eval(), torch.randn(1, ROWS, 3)), window=ROWS)
