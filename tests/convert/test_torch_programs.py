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
    "trace": torch.jit.trace,
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

    words = r"^the TorchScript: .*torch\.cumsum: it sums over the whole past"
    with pytest.raises(ConvertError, match=words):
        sl.from_torch(torch.jit.script(Whole().eval()))
