"""The arithmetic of training: gradients, loss, optimizer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamlstm.engine.engine import Engine
from streamlstm.learn.adam import Adam
from streamlstm.learn.bptt import State, Tape
from streamlstm.learn.loss import huber
from streamlstm.learn.network import RecurrentNetwork
from streamlstm.network.model import Model

CELLS = ("lstm", "gru", "rnn")
STRUCTURES: list[dict[str, Any]] = [
    {},
    {"layer_norm": True},
    {"residual": True},
    {"layer_norm": True, "residual": True, "embedding": (4, 3)},
]


def random_network(
    rng: np.random.Generator, hidden: tuple[int, ...], dtype: type, **structure: Any
) -> RecurrentNetwork:
    network = RecurrentNetwork(3, hidden, 2, dtype, **structure)
    network.theta[:] = rng.normal(scale=0.6, size=network.theta.shape)
    return network


def random_state(rng: np.random.Generator, network: RecurrentNetwork, B: int) -> State:
    vectors = {"lstm": 2}.get(network.cell, 1)
    return [
        tuple(rng.normal(size=(B, H)).astype(network.theta.dtype) for _ in range(vectors))
        for H in network.hidden_sizes
    ]


def random_inputs(
    rng: np.random.Generator, network: RecurrentNetwork, T: int, B: int
) -> NDArray[Any]:
    X = rng.normal(size=(T, B, network.input_size))
    if network.embedding:
        X[:, :, 0] = rng.integers(0, network.embedding[0], (T, B))
    return X


def numeric_gradient(network: RecurrentNetwork, loss: Callable[[], float]) -> NDArray[Any]:
    numeric = np.empty_like(network.theta)
    for p, value in enumerate(network.theta.copy()):
        network.theta[p] = value + 1e-6
        above = loss()
        network.theta[p] = value - 1e-6
        numeric[p] = (above - loss()) / 2e-6
        network.theta[p] = value
    return numeric


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda kinds: "+".join(kinds) or "plain")
@pytest.mark.parametrize("hidden", [(5,), (3, 6, 6)])
def test_gradients_equal_finite_differences(
    hidden: tuple[int, ...], structure: dict[str, Any], cell: str
) -> None:
    rng = np.random.default_rng(len(hidden))
    T, B = 6, 3
    network = random_network(rng, hidden, np.float64, cell=cell, **structure)
    X, D = random_inputs(rng, network, T, B), rng.normal(size=(T, B, 2))
    state = random_state(rng, network, B)
    masks = [(rng.random((B, H)) > 0.3) / 0.7 for H in hidden]
    recurrent_masks = [(rng.random((B, H)) > 0.3) / 0.7 for H in hidden]
    tape = Tape(network, T, B)

    def outputs() -> NDArray[Any]:
        return tape.forward(X, state, [*masks[:-1], None], recurrent_masks)

    gradient = tape.backward(2 * (outputs() - D))
    numeric = numeric_gradient(network, lambda: float(((outputs() - D) ** 2).sum()))
    assert np.abs(numeric).max() > 1
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda kinds: "+".join(kinds) or "plain")
def test_the_model_of_a_network_computes_the_same(structure: dict[str, Any], cell: str) -> None:
    rng = np.random.default_rng(9)
    T, B = 30, 2
    network = random_network(rng, (6, 6, 6), np.float32, cell=cell, **structure)
    X = random_inputs(rng, network, T, B).astype(np.float32)
    wanted = Tape(network, T, B).forward(X)
    model = Model(network.layers(), network.weights())
    for backend in ("reference", "cpu"):
        engine = Engine(model, backend=backend)
        served = np.stack([engine.step_many(["a", "b"], x) for x in X])
        np.testing.assert_allclose(served, wanted, rtol=0, atol=1e-5)
    again = network.twin()
    again.theta[:] = 0
    again.load(model.weights)
    assert (again.theta == network.theta).all()


def test_recurrent_masks_reach_the_next_step_but_not_the_output() -> None:
    rng = np.random.default_rng(10)
    for cell in CELLS:
        network = random_network(rng, (4,), np.float64, cell=cell)
        X, tape = rng.normal(size=(2, 1, 3)), Tape(network, 2, 1)
        plain = tape.forward(X).copy()
        dropped = tape.forward(X, None, None, [np.zeros((1, 4))])
        np.testing.assert_allclose(dropped[0], plain[0], atol=1e-12)
        assert np.abs(dropped[1] - plain[1]).max() > 1e-3


@pytest.mark.parametrize("cell", CELLS)
def test_float32_follows_float64(cell: str) -> None:
    rng = np.random.default_rng(3)
    T, B = 40, 9
    exact = random_network(rng, (7, 5), np.float64, cell=cell, layer_norm=cell == "gru")
    network = random_network(rng, (7, 5), np.float32, cell=cell, layer_norm=cell == "gru")
    network.theta[:] = exact.theta
    X, d_Y = rng.normal(size=(T, B, 3)), rng.normal(size=(T, B, 2))
    tapes = Tape(exact, T, B), Tape(network, T, B)
    np.testing.assert_allclose(tapes[1].forward(X), tapes[0].forward(X), rtol=0, atol=2e-5)
    wanted = tapes[0].backward(d_Y)
    got = tapes[1].backward(d_Y.astype(np.float32))
    assert np.abs(got - wanted).max() < 2e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_equal_pytorch(cell: str) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
    rng = np.random.default_rng(4)
    T, B, F, H = 12, 5, 3, 8
    network = random_network(rng, (H, H), np.float64, cell=cell)
    layer = getattr(torch.nn, cell.upper())(F, H, num_layers=2, dtype=torch.float64)
    dense = torch.nn.Linear(H, 2, dtype=torch.float64)
    *layers, head = network.weights()
    names = {"weight_ih": "weight_ih", "weight_hh": "weight_hh", "bias_ih": "bias"}
    if cell == "gru":
        names |= {"bias_ih": "bias_ih", "bias_hh": "bias_hh"}
    with torch.no_grad():
        for k, weights in enumerate(layers):
            getattr(layer, f"bias_hh_l{k}")[:] = 0
            for theirs, ours in names.items():
                getattr(layer, f"{theirs}_l{k}")[:] = torch.from_numpy(weights[ours])
        dense.weight[:] = torch.from_numpy(head["weight"])
        dense.bias[:] = torch.from_numpy(head["bias"])
    X, d_Y = rng.normal(size=(T, B, F)), rng.normal(size=(T, B, 2))
    state = random_state(rng, network, B)
    start = [torch.from_numpy(np.stack(vectors)) for vectors in zip(*state, strict=True)]
    wanted = dense(layer(torch.from_numpy(X), tuple(start) if cell == "lstm" else start[0])[0])
    wanted.backward(torch.from_numpy(d_Y))
    tape = Tape(network, T, B)
    np.testing.assert_allclose(tape.forward(X, state), wanted.detach().numpy(), atol=1e-12)
    gradient = network.twin()
    gradient.theta[:] = tape.backward(d_Y)  # so that it has names and shapes of weights
    *d_layers, d_head = gradient.weights()
    for k, d_weights in enumerate(d_layers):
        for theirs, ours in names.items():
            found = getattr(layer, f"{theirs}_l{k}").grad.numpy()
            np.testing.assert_allclose(d_weights[ours], found, atol=1e-10)
    np.testing.assert_allclose(d_head["weight"], dense.weight.grad.numpy(), atol=1e-10)
    np.testing.assert_allclose(d_head["bias"], dense.bias.grad.numpy(), atol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
def test_a_window_can_be_cut_where_its_state_is_carried(cell: str) -> None:
    rng = np.random.default_rng(5)
    network = random_network(rng, (4, 6), np.float64, cell=cell)
    X = rng.normal(size=(10, 2, 3))
    whole = Tape(network, 10, 2).forward(X)
    first, second = Tape(network, 4, 2), Tape(network, 6, 2)
    parts = [first.forward(X[:4]), second.forward(X[4:], first.last_state())]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-12)
    for before, after in zip(second.state_before(0, 1), first.last_state(), strict=True):
        for one, other in zip(before, after, strict=True):
            assert (one == other[1]).all()


def test_huber_loss_and_gradient() -> None:
    rng = np.random.default_rng(6)
    Y, D = rng.normal(size=(4, 3, 2)) * 2, rng.normal(size=(4, 3, 2))
    weights = np.ones((4, 3, 1))
    weights[1, 2] = 0
    loss, gradient = huber(Y, D, weights, delta=0.8)
    for at in np.ndindex(Y.shape):
        moved = Y.copy()
        moved[at] += 1e-6
        assert (huber(moved, D, weights, delta=0.8)[0] - loss) / 1e-6 == pytest.approx(
            gradient[at], abs=1e-6
        )
    assert (gradient[1, 2] == 0).all()
    assert huber(D + 0.5, D, weights, delta=0.8)[0] == pytest.approx(0.125)
    assert huber(D + 2.0, D, weights, delta=0.8)[0] == pytest.approx(0.8 * (2 - 0.4))


def test_adam_finds_the_bottom_and_averages_its_way() -> None:
    theta = np.array([3.0, -2.0])
    adam = Adam(theta)
    for _ in range(2000):
        adam.update(theta * [1.0, 10.0], 0.01)
    assert np.abs(theta).max() < 1e-3
    assert np.abs(adam.average).max() < 1e-3


def test_weights_decay_apart_from_the_gradient_and_biases_do_not() -> None:
    rng = np.random.default_rng(11)
    network = random_network(rng, (4, 4), np.float64, cell="gru", layer_norm=True, embedding=(4, 2))
    before = network.twin()
    adam = Adam(network.theta, weight_decay=0.5, decayed=network.decayed())
    adam.update(np.zeros_like(network.theta), 0.1)
    for now, then in zip(network.weights(), before.weights(), strict=True):
        for name in now:
            factor = 0.95 if now[name].ndim == 2 else 1  # biases, scales of normalisations
            np.testing.assert_allclose(now[name], then[name] * factor, rtol=1e-12)


def test_adam_clips_long_gradients_and_skips_broken_ones() -> None:
    steps = []
    for length in (1.0, 1e6):
        theta = np.zeros(2)
        Adam(theta).update(np.array([0.6, 0.8]) * length, 0.1)
        steps.append(theta)
    np.testing.assert_allclose(steps[0], steps[1])
    np.testing.assert_allclose(steps[0], -0.1, rtol=1e-6)  # the first step is as long as the rate
    theta = np.ones(2)
    Adam(theta).update(np.array([np.nan, 1.0]), 0.1)
    assert (theta == 1).all()
