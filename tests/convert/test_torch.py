"""Random networks of PyTorch, converted and compared with PyTorch over a sequence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamlstm as sl
from streamlstm.errors import ConvertError

from .stepping import BACKENDS, TOLERANCE, difference
from .torch_networks import STEPS, first, scramble, sequence

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
nn = torch.nn

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


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
    with pytest.raises(ConvertError, match=r"registered.*lstm takes 2 values.*returns 1"):
        sl.from_torch(module)
    assert len(sl.from_torch(nn.Sequential(module.lstm, module.head)).layers) == 2
