"""What a module leaves open: how it is called, with what state, and which output is meant."""

from typing import Any

import numpy as np
import pytest

import streamlstm as sl

from .torch_networks import Network

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-all")
nn = torch.nn


def _last_of_the_second_axis(n: Any, x: Any) -> Any:
    return n.head(n.rnn(x)[0][:, -1])


def _with_sizes(n: Any, x: Any) -> Any:
    B, _, _ = x.shape
    return n.head(n.rnn(x)[0][:, -1]).view(B, 1)


def _squeezed(n: Any, x: Any) -> Any:
    return n.head(n.rnn(x)[0][:, -1]).squeeze(-1)


@pytest.mark.parametrize("window", [None, 8])
@pytest.mark.parametrize("forward", [_last_of_the_second_axis, _with_sizes, _squeezed])
def test_series_taken_for_rows_are_refused(forward: Any, window: int | None) -> None:
    module = Network(forward, rnn=nn.LSTM(3, 4), head=nn.Linear(4, 1))
    with pytest.raises(sl.ConvertError, match=r"mixes series .*\[rows, 1, features\].*batch_first"):
        sl.from_torch(module, window=window)
    turned = Network(lambda n, x: n.inner(x.transpose(0, 1)), inner=module)  # as the message says
    model = sl.from_torch(turned, window=window)
    assert model.metadata["compared"].endswith("called with [1, rows, features]")
    assert sl.compare(model, turned).agrees


def test_a_form_for_one_series_is_said() -> None:
    def alone(n: Any, x: Any) -> Any:
        return n.head(n.rnn(x.view(len(x), 1, -1))[0].view(len(x), -1))[-1]

    model = sl.from_torch(Network(alone, rnn=nn.LSTM(3, 4), head=nn.Linear(4, 1)))
    assert model.metadata["compared"].endswith("called with [rows, 1, features]")
    model = sl.from_torch(Network(lambda n, x: n.rnn(x)[0], rnn=nn.LSTM(3, 4, batch_first=True)))
    assert "called with" not in model.metadata["compared"]


@pytest.mark.parametrize("window", [None, 8])
def test_an_answer_to_the_first_series_only_is_said(window: int | None) -> None:
    rnn = nn.GRU(2, 4, batch_first=True)
    model = sl.from_torch(Network(lambda n, x: n.rnn(x)[0][0], rnn=rnn), window=window)
    assert model.metadata["compared"].endswith("of which it answers the first series only")
    model = sl.from_torch(Network(lambda n, x: n.rnn(x)[0], rnn=rnn), window=window)
    assert "called with" not in model.metadata["compared"]


class Carried(nn.Module):  # type: ignore[misc, name-defined]
    """A cell whose state stays in an attribute from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(2, 4)
        self.state = {"h": torch.zeros(1, 1, 4)}

    def forward(self, x: Any) -> Any:
        y, self.state["h"] = self.rnn(x.view(len(x), 1, -1), self.state["h"])
        return y.view(len(x), -1)


def test_a_state_left_by_a_call_is_no_initial_state() -> None:
    module = Carried()
    assert not sl.from_torch(module).layers[0].initial_state
    module(torch.ones(5, 2))  # as in training: what is left has a history
    with pytest.raises(sl.ConvertError, match=r"state holds what an earlier call left.*zeros"):
        sl.from_torch(module)
    module.state["h"] = torch.zeros(1, 1, 4)
    assert sl.compare(sl.from_torch(module), module).agrees


def _two(n: Any, x: Any) -> Any:
    y = n.rnn(x)[0]
    return n.actor(y), n.critic(y)


def _named(n: Any, x: Any) -> Any:
    return dict(zip(("logits", "value"), _two(n, x), strict=True))


@pytest.mark.parametrize(("forward", "names"), [(_two, (0, 1)), (_named, ("logits", "value"))])
def test_one_of_several_outputs(forward: Any, names: tuple[Any, Any]) -> None:
    layers = {"actor": nn.Linear(4, 3), "critic": nn.Linear(4, 1)}
    module = Network(forward, rnn=nn.GRU(2, 4, batch_first=True), **layers)
    first = sl.from_torch(module)
    assert f"returns only {names[0]}, without {names[1]}" in first.metadata["compared"]
    for name in {names[1], 1}:
        model = sl.from_torch(module, output=name)
        assert model.output_size == 1
        assert sl.compare(model, module, output=name).agrees
        assert sl.compare(model, module).agrees  # the model remembers which
    scaled = sl.from_torch(module, output=1, output_scaling=sl.Scaling([5.0], [3.0]))
    assert sl.compare(scaled, module).left_out == ("output_scaling",)
    with pytest.raises(sl.ConvertError, match=f"no 'other', only {names[0]}, {names[1]}"):
        sl.from_torch(module, output="other")
    with pytest.raises(sl.ConvertError, match="output: a state dict does not say"):
        sl.from_torch(module.state_dict(), output=1)


def test_states_are_no_other_outputs() -> None:
    def both(n: Any, x: Any) -> Any:
        y, state = n.rnn(x)
        return n.head(y), state

    module = Network(both, rnn=nn.LSTM(2, 4, batch_first=True), head=nn.Linear(4, 1))
    assert "without" not in sl.from_torch(module).metadata["compared"]


def test_the_number_of_features_is_not_invented() -> None:
    def second(n: Any, x: Any) -> Any:
        return n.head(n.rnn(x[..., 1:2])[0][:, -1])

    module = Network(second, rnn=nn.GRU(1, 4, batch_first=True), head=nn.Linear(4, 1))
    with pytest.raises(sl.ConvertError, match=r"or more features, .*inputs="):
        sl.from_torch(module, window=8)
    model = sl.from_torch(module, window=8, inputs=["a", "b", "c"])
    assert model.inputs == ("a", "b", "c")
    assert sl.compare(model, module).agrees
    options = {"window": 8, "inputs": model.inputs, "output_scaling": sl.Scaling([5.0], [3.0])}
    assert sl.compare(sl.from_torch(module, **options), module).agrees


def test_a_window_is_the_length_that_is_tried() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(24, 5), nn.ReLU(), nn.Linear(5, 2))
    model = sl.from_torch(flat, window=8)
    assert (model.input_size, model.window) == (3, 8)
    X = np.random.default_rng(1).standard_normal((8, 3)).astype(np.float32)
    with torch.no_grad():
        expected = flat(torch.tensor(X[None])).numpy()[0]
    assert np.allclose(sl.Engine(model, 1, "reference").run("a", X)[-1], expected, atol=1e-5)


def _less_the_last(n: Any, x: Any) -> Any:
    last = x[:, -1:].detach()
    return n.layer((x - last).permute(0, 2, 1)).permute(0, 2, 1) + last


def _over_variables(n: Any, x: Any) -> Any:
    return torch.sigmoid(n.rnn(x.permute(0, 2, 1))[0][:, -1])


@pytest.mark.parametrize(
    ("forward", "layer"),
    [(_less_the_last, {"layer": nn.Linear(8, 4)}), (_over_variables, {"rnn": nn.GRU(8, 4)})],
)
def test_a_layer_over_the_rows_of_a_window_is_one_of_the_window_on_its_side(
    forward: Any, layer: Any
) -> None:
    module = Network(forward, **layer)
    if "rnn" in layer:
        module.rnn.batch_first = True
    with pytest.raises(sl.ConvertError, match=r"only with windows of 8: .*window=8"):
        sl.from_torch(module)
    model = sl.from_torch(module, window=8, inputs=["a", "b", "c"])
    X = np.random.default_rng(3).standard_normal((8, 3)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.tensor(X)[None]).reshape(-1)
    assert np.allclose(sl.Engine(model, 1, "reference").run("a", X)[-1], expected, atol=1e-5)


def test_a_forward_that_was_never_seen_is_not_guessed() -> None:
    module = Network(lambda n, x: n.rnn(x["rows"])[0].tanh(), rnn=nn.GRU(2, 4, batch_first=True))
    with pytest.raises(sl.ConvertError, match=r"could not be called.*give its state_dict\(\)"):
        sl.from_torch(module)


class Two(nn.Module):  # type: ignore[misc, name-defined]
    """A row, and a state or a category, with a function between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.first = nn.Embedding(7, 4), nn.Linear(6, 5)
        self.cell = nn.LSTMCell(5, 3)


class _OfVectors(Two):
    def forward(self, x: Any, h: Any, c: Any) -> Any:
        h, c = self.cell(nn.functional.elu(self.first(x)), (h, c))
        return h, h, c


class _OfState(Two):
    def forward(self, x: Any, hidden: Any) -> Any:
        h, c = hidden
        h, c = self.cell(nn.functional.elu(self.first(x)), (h, c))
        return h, (h, c)


class _OfCategory(Two):
    def forward(self, x: Any, kind: Any) -> Any:
        return nn.functional.elu(self.first(torch.cat([x, self.table(kind)], -1)))


class _OfMask(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 5)

    def forward(self, x: Any, mask: Any) -> Any:
        return nn.functional.elu(self.first(x)) * mask.to(x)


@pytest.mark.parametrize("kind", [_OfVectors, _OfState, _OfCategory])
def test_an_argument_beside_the_series_is_given(kind: Any) -> None:
    module = kind()
    model = sl.from_torch(module)
    assert model.metadata["compared"].startswith("its forward")
    assert sl.compare(model, module).agrees
    assert model.categories == 7 * (kind is _OfCategory)


def test_a_forward_that_was_not_seen_is_refused() -> None:
    with pytest.raises(sl.ConvertError, match=r"x and mask, .*could not be seen.*state_dict"):
        sl.from_torch(_OfMask())
