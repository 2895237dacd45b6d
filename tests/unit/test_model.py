"""Model: what fits together is kept, what does not is refused by name."""

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine, Model, Scaling
from streamlstm.errors import ModelError

from ..contract.models import random_model


def weights_of(*layers: LSTM | Dense) -> list[dict[str, np.ndarray]]:
    return [{n: np.ones(shape) for n, shape in layer.parameters().items()} for layer in layers]


def test_names_and_sizes() -> None:
    layers = (LSTM(2, 4), Dense(4, 3))
    model = Model(layers, weights_of(*layers), inputs=["a", "b"], horizon=5)
    assert (model.input_size, model.output_size, model.horizon) == (2, 3, 5)
    assert model.inputs == ("a", "b")
    assert model.outputs == ("y0", "y1", "y2")
    assert "LSTM(2, 4)" in repr(model)


def test_weights_are_copied() -> None:
    arrays = weights_of(LSTM(1, 2))
    model = Model([LSTM(1, 2)], arrays)
    arrays[0]["bias"][:] = 9
    assert (model.weights[0]["bias"] == 1).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": []}, "at least one layer"),
        ({"layers": [LSTM(2, 4), Dense(5, 3)]}, "takes 5 values, but layer 0 .* returns 4"),
        ({"weights": []}, "weights for 2 layers, got 0"),
        ({"weights": [{}, {}]}, r"layer 0 \(lstm\) lacks"),
        ({"inputs": ["a"]}, "inputs: expected 2 names, got 1"),
        ({"inputs": ["a", "a"]}, "every name once"),
        ({"inputs": "ab"}, "sequence of 2 names"),
        ({"input_scaling": Scaling.identity(3)}, "input_scaling: expected 2 columns, got 3"),
        ({"skip": [0, 1]}, "skip"),
        ({"skip": [0, 1, 2]}, "skip"),
        ({"skip": [0, 1, -1], "skip_scale": [1.0, 2.0]}, r"each of 3 outputs, got shape \(2,\)"),
        ({"skip": [0, 1, -1], "skip_scale": [1.0, np.inf, 0.0]}, "skip_scale: expected finite"),
        ({"skip_scale": [1.0, 2.0, 3.0]}, "skip_scale: expected a skip"),
        ({"horizon": -1}, "horizon"),
        ({"horizon": 1.5}, "horizon"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], words: str) -> None:
    layers = (LSTM(2, 4), Dense(4, 3))
    arguments: dict[str, object] = {"layers": layers, "weights": weights_of(*layers)} | change
    with pytest.raises(ModelError, match=words):
        Model(**arguments)  # type: ignore[arg-type]


def test_a_weight_of_another_shape_or_name_or_value_is_named() -> None:
    layer = LSTM(2, 4)
    good = weights_of(layer)[0]
    with pytest.raises(ModelError, match=r"layer 0 \(lstm\) weight_hh: expected shape \(16, 4\)"):
        Model([layer], [good | {"weight_hh": np.ones((4, 16))}])
    with pytest.raises(ModelError, match="no parameter 'bias_hh'"):
        Model([layer], [good | {"bias_hh": np.ones(16)}])
    with pytest.raises(ModelError, match="bias: expected finite"):
        Model([layer], [good | {"bias": np.full(16, np.nan)}])
    with pytest.raises(ModelError, match="bias: expected an array of numbers"):
        Model([layer], [good | {"bias": ["one"] * 16}])


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan, 1e-45])
def test_scaling_refuses_scales_that_cannot_be_divided_by(scale: float) -> None:
    with pytest.raises(ModelError):
        Scaling(np.zeros(1, np.float32), np.array([scale], np.float32))


def test_scaling_with_a_large_mean_keeps_its_precision() -> None:
    plain = random_model([LSTM(1, 8), Dense(8, 1)])
    far = Model(
        plain.layers,
        plain.weights,
        input_scaling=Scaling(np.array([1e6]), np.array([1.0])),
    )
    x = np.array([0.25], np.float32)
    assert Engine(far, 1).step("a", x + np.float32(1e6)) == Engine(plain, 1).step("a", x)


def test_the_fingerprint_sees_every_change_but_metadata() -> None:
    layers = [LSTM(2, 4), Dense(4, 1)]
    model = random_model(layers)
    same = Model(layers, model.weights, metadata={"note": "x"})
    assert same.fingerprint == model.fingerprint
    assert len(model.fingerprint) == 32
    others = [
        random_model(layers, seed=1),
        random_model([LSTM(2, 4), Dense(4, 1, "tanh")]),
        Model(layers, model.weights, inputs=["a", "b"]),
        Model(layers, model.weights, skip=[0]),
        Model(layers, model.weights, skip=[0], skip_scale=[2.0]),
        Model(layers, model.weights, horizon=2),
        Model(layers, model.weights, output_scaling=Scaling(np.zeros(1), np.full(1, 2.0))),
    ]
    assert len({model.fingerprint, *(other.fingerprint for other in others)}) == 8


def test_a_skip_scale_that_changes_nothing_is_none() -> None:
    layers = [LSTM(2, 4), Dense(4, 2)]
    weights = random_model(layers).weights
    plain = Model(layers, weights, skip=[1, -1])
    ones = Model(layers, weights, skip=[1, -1], skip_scale=[1.0, 7.0])  # the 7 adds nothing
    assert ones.skip_scale is None
    assert ones.fingerprint == plain.fingerprint
    assert np.array_equal(ones.skip_factors, [1, 1])
    half = Model(layers, weights, skip=[1, -1], skip_scale=[0.5, 7.0])
    x = np.array([0.3, 0.8], np.float32)
    y, z = (Engine(model, 1).step("a", x) for model in (plain, half))
    assert np.allclose(y - z, [0.4, 0.0])


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_skip_without_factors_adds_the_input_bit_for_bit(backend: str) -> None:
    plain = random_model([LSTM(3, 9), Dense(9, 21)])
    skip = [n % 3 for n in range(21)]
    skipping = Model(plain.layers, plain.weights, skip=skip)
    X = np.random.default_rng(0).normal(0, 1e3, (50, 3)).astype(np.float32)
    ids = list(range(50))
    Y, Z = (Engine(m, 50, backend).step_many(ids, X) for m in (plain, skipping))
    assert np.array_equal(Z, Y + X[:, skip])
