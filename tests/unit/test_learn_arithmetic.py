"""The arithmetic of training: gradients, loss, optimizer."""

import numpy as np
import pytest

from streamlstm.learn.adam import Adam
from streamlstm.learn.bptt import State, Tape
from streamlstm.learn.loss import huber
from streamlstm.learn.network import RecurrentNetwork


def random_network(rng: np.random.Generator, hidden: tuple[int, ...], dtype: type) -> RecurrentNetwork:
    network = RecurrentNetwork(3, hidden, 2, dtype)
    network.theta[:] = rng.normal(scale=0.6, size=network.theta.shape)
    return network


def random_state(rng: np.random.Generator, network: RecurrentNetwork, B: int) -> State:
    dtype = network.theta.dtype
    return [
        (rng.normal(size=(B, H)).astype(dtype), rng.normal(size=(B, H)).astype(dtype))
        for H in network.hidden_sizes
    ]


@pytest.mark.parametrize("hidden", [(5,), (5, 4), (3, 6, 2)])
def test_gradients_equal_finite_differences(hidden: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(hidden))
    T, B = 6, 3
    network = random_network(rng, hidden, np.float64)
    X, D = rng.normal(size=(T, B, 3)), rng.normal(size=(T, B, 2))
    state = random_state(rng, network, B)
    masks = [(rng.random((B, H)) > 0.3) / 0.7 for H in hidden[:-1]] + [None]
    tape = Tape(network, T, B)

    def loss() -> float:
        return float(((tape.forward(X, state, masks) - D) ** 2).sum())

    gradient = tape.backward(2 * (tape.forward(X, state, masks) - D))
    numeric = np.empty_like(gradient)
    for p, value in enumerate(network.theta.copy()):
        network.theta[p] = value + 1e-6
        above = loss()
        network.theta[p] = value - 1e-6
        numeric[p] = (above - loss()) / 2e-6
        network.theta[p] = value
    assert np.abs(numeric).max() > 1
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


def test_float32_follows_float64() -> None:
    rng = np.random.default_rng(3)
    T, B = 40, 9
    exact = random_network(rng, (7, 5), np.float64)
    network = RecurrentNetwork(3, (7, 5), 2)
    network.theta[:] = exact.theta
    X, d_Y = rng.normal(size=(T, B, 3)), rng.normal(size=(T, B, 2))
    tapes = Tape(exact, T, B), Tape(network, T, B)
    np.testing.assert_allclose(tapes[1].forward(X), tapes[0].forward(X), rtol=0, atol=2e-5)
    wanted = tapes[0].backward(d_Y)
    got = tapes[1].backward(d_Y.astype(np.float32))
    assert np.abs(got - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_gradients_equal_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
    rng = np.random.default_rng(4)
    T, B, F, H = 12, 5, 3, 8
    network = random_network(rng, (H, H), np.float64)
    lstm = torch.nn.LSTM(F, H, num_layers=2, dtype=torch.float64)
    dense = torch.nn.Linear(H, 2, dtype=torch.float64)
    *layers, head = network.weights()
    with torch.no_grad():
        for k, layer in enumerate(layers):
            getattr(lstm, f"weight_ih_l{k}")[:] = torch.from_numpy(layer["weight_ih"])
            getattr(lstm, f"weight_hh_l{k}")[:] = torch.from_numpy(layer["weight_hh"])
            getattr(lstm, f"bias_ih_l{k}")[:] = torch.from_numpy(layer["bias"])
            getattr(lstm, f"bias_hh_l{k}")[:] = 0
        dense.weight[:] = torch.from_numpy(head["weight"])
        dense.bias[:] = torch.from_numpy(head["bias"])
    X, d_Y = rng.normal(size=(T, B, F)), rng.normal(size=(T, B, 2))
    state = random_state(rng, network, B)
    start = tuple(torch.from_numpy(np.stack([layer[k] for layer in state])) for k in (0, 1))
    wanted = dense(lstm(torch.from_numpy(X), start)[0])
    wanted.backward(torch.from_numpy(d_Y))
    tape = Tape(network, T, B)
    np.testing.assert_allclose(tape.forward(X, state), wanted.detach().numpy(), atol=1e-12)
    *d_layers, d_head = network.views(tape.backward(d_Y))
    for k, d_W in enumerate(d_layers):
        size = len(d_W) - H - 1
        for mine, name in (
            (d_W[:size].T, f"weight_ih_l{k}"),
            (d_W[size:-1].T, f"weight_hh_l{k}"),
            (d_W[-1], f"bias_ih_l{k}"),
        ):
            np.testing.assert_allclose(mine, getattr(lstm, name).grad.numpy(), atol=1e-10)
    np.testing.assert_allclose(d_head[:-1].T, dense.weight.grad.numpy(), atol=1e-10)
    np.testing.assert_allclose(d_head[-1], dense.bias.grad.numpy(), atol=1e-10)


def test_a_window_can_be_cut_where_its_state_is_carried() -> None:
    rng = np.random.default_rng(5)
    network = random_network(rng, (4, 6), np.float64)
    X = rng.normal(size=(10, 2, 3))
    whole = Tape(network, 10, 2).forward(X)
    first, second = Tape(network, 4, 2), Tape(network, 6, 2)
    parts = [first.forward(X[:4]), second.forward(X[4:], first.last_state())]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-12)
    for (h, c), (h_1, c_1) in zip(second.state_before(0, 1), first.last_state(), strict=True):
        assert (h == h_1[1]).all()
        assert (c == c_1[1]).all()


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


def test_adam_clips_long_gradients_and_skips_broken_ones() -> None:
    steps = []
    for length in (1.0, 1e6):
        theta = np.zeros(2)
        Adam(theta, clip=1.0).update(np.array([0.6, 0.8]) * length, 0.1)
        steps.append(theta)
    np.testing.assert_allclose(steps[0], steps[1])
    np.testing.assert_allclose(steps[0], -0.1, rtol=1e-6)  # the first step is as long as the rate
    theta = np.ones(2)
    Adam(theta).update(np.array([np.nan, 1.0]), 0.1)
    assert (theta == 1).all()
