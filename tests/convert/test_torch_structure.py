"""Following of forward on labels, which needs no PyTorch."""

import numpy as np
import pytest

from streamlstm.convert.common.weights import Weights
from streamlstm.convert.labels.arithmetic import absolute, add, scale
from streamlstm.convert.labels.chain import read_output
from streamlstm.convert.labels.layers import TorchLayer
from streamlstm.convert.labels.signals import (
    CONSTANT,
    Labels,
    Signal,
    Signals,
    StreamsMixedError,
    apply_single,
)
from streamlstm.errors import ConvertError

S, T, F = 2, 5, 3


@pytest.fixture
def signals() -> Signals:
    return Signals(S, T, F)


def tanh(signals: Signals, labels: Labels) -> Labels:
    def make() -> list[TorchLayer]:
        return [TorchLayer("tanh", "function", Weights("tanh", {}), steps=["tanh"])]

    return apply_single(signals, labels, "tanh", make)


def head(signals: Signals, labels: Labels, matrix: list[list[float]], name: str = "head") -> Labels:
    source, positions = signals.vectors(labels, name)
    return signals.labels(signals.linear(source, np.array(matrix), None, name), positions)


def rnn(signals: Signals) -> Signal:
    layer = TorchLayer("rnn", "recurrent", Weights("rnn", {}))
    return signals.add("rnn", 2, signals.input, layer=layer)


def names(signals: Signals, labels: Labels) -> list[str]:
    return [layer.name for layer in read_output(signals, labels).layers]


def test_every_number_has_a_label_of_its_own(signals: Signals) -> None:
    labels = [signals.all_labels(signal) for signal in (signals.input, rnn(signals))]
    both = np.concatenate([part.reshape(-1) for part in labels])
    assert len(np.unique(both)) == both.size == S * T * (F + 2)
    found = signals.locate(labels[1])
    assert (found.signal == 1).all()
    assert np.array_equal(found.position[..., 0], np.arange(S * T).reshape(S, T))
    assert np.array_equal(found.value[1, 3], [0, 1])


def test_moved_numbers_are_found_again(signals: Signals) -> None:
    labels = signals.all_labels(rnn(signals))
    moved = labels.transpose(1, 0, 2).reshape(T, S * 2).T.reshape(S, 2, T).transpose(0, 2, 1)
    assert names(signals, tanh(signals, moved)) == ["rnn", "tanh"]
    assert names(signals, labels[:, -1]) == ["rnn"]
    assert names(signals, labels.transpose(1, 0, 2)) == ["rnn"]


@pytest.mark.parametrize(
    ("move", "words"),
    [
        (lambda y: y[:, ::-1], "steps in another order"),
        (lambda y: y[::-1], "streams in another order"),
        (lambda y: y[:, :-1], "4 of 5 steps"),
        (lambda y: y[1:], "1 of 2 streams"),
        (lambda y: np.where(np.arange(T)[:, None] > 2, y, CONSTANT), "not come from the input"),
        (lambda y: np.where(np.arange(T)[:, None] > 2, y, y[..., ::-1]), "another way at some"),
    ],
)
def test_an_output_of_another_kind_is_refused(signals: Signals, move: object, words: str) -> None:
    labels = move(signals.all_labels(rnn(signals)))  # type: ignore[operator]
    with pytest.raises(ConvertError, match=words):
        read_output(signals, labels)


def test_a_layer_takes_the_features_of_one_step(signals: Signals) -> None:
    labels = signals.all_labels(rnn(signals))
    with pytest.raises(ConvertError, match="fc takes the values of 5 steps at once, a window"):
        signals.vectors(labels.reshape(S, -1), "fc")
    with pytest.raises(StreamsMixedError, match="several streams"):
        signals.vectors(labels.transpose(1, 2, 0), "fc")
    padded = np.concatenate([labels, np.full_like(labels, CONSTANT)], axis=-1)
    with pytest.raises(ConvertError, match="padding"):
        signals.vectors(padded, "fc")


def test_scaling_is_that_of_each_value(signals: Signals) -> None:
    labels = signals.all_labels(rnn(signals))
    weight = np.broadcast_to([2.0, 3.0], labels.shape)
    scaled = scale(signals, labels, weight, np.zeros(labels.shape), "mul")
    (_, layer), *_ = [read_output(signals, scaled).layers]
    assert np.array_equal(layer.steps[0][0], [2, 3])
    assert np.array_equal(scale(signals, labels, weight / weight, 0 * weight, "mul"), labels)
    position = np.broadcast_to(np.arange(T)[:, None], labels.shape)
    uneven = scale(signals, labels, np.ones(labels.shape), position.astype(float), "add")
    with pytest.raises(ConvertError, match="other values of add at some steps"):
        signals.vectors(uneven, "fc")


def test_a_sum_of_linear_layers_is_one(signals: Signals) -> None:
    h = signals.all_labels(rnn(signals))
    a, b = head(signals, h, [[1, 2], [3, 4]], "a"), head(signals, h, [[1, 0], [0, 1]], "b")
    taken = add(signals, a, b, -1.0, "sub")
    layers = read_output(signals, tanh(signals, taken)).layers
    assert [layer.name for layer in layers] == ["rnn", "a sum", "tanh"]
    assert np.array_equal(layers[1].weights.take("weight"), [[0, 2], [3, 3]])
    joined = read_output(signals, tanh(signals, add(signals, tanh(signals, a), b, 1.0, "add")))
    assert [layer.kind for layer in joined.layers] == ["recurrent", "branches", "function"]
    names = [[layer.name for layer in b] for b in joined.layers[1].options["branches"]]
    assert names == [["a", "tanh"], ["b"]]
    with pytest.raises(ConvertError, match="different steps"):
        add(signals, h[:, 1:], h[:, :-1], -1.0, "diff")


def test_heads_beside_each_other_are_one_layer(signals: Signals) -> None:
    h = signals.all_labels(rnn(signals))
    a, b = head(signals, h, [[1, 2]], "a"), head(signals, h, [[3, 4]], "b")
    both = read_output(signals, np.concatenate([tanh(signals, a), tanh(signals, b)], -1))
    assert [layer.kind for layer in both.layers] == ["recurrent", "linear", "function"]
    assert np.array_equal(both.layers[1].weights.take("weight"), [[1, 2], [3, 4]])


def test_an_input_added_to_the_output_is_a_residual(signals: Signals) -> None:
    x, h = signals.all_labels(signals.input), signals.all_labels(rnn(signals))
    added = add(signals, h, x[..., 1:], 0.5, "add")
    found = read_output(signals, added)
    assert [layer.name for layer in found.layers] == ["rnn"]
    assert (found.residual.skip, found.residual.scale) == ([1, 2], [0.5, 0.5])
    doubled = scale(signals, added, np.full(h.shape, 2.0), np.zeros(h.shape), "mul")
    assert read_output(signals, doubled).residual == ([1, 2], None)
    for joined in (add(signals, added, x[..., :2], 1.0, "add"), tanh(signals, added)):
        layers, residual, *_ = read_output(signals, joined)
        assert layers[0].kind == "branches"
        assert residual.skip is None


def test_a_selection_is_folded_into_the_next_layer(signals: Signals) -> None:
    x = signals.all_labels(signals.input)
    layers = read_output(signals, head(signals, x[..., [2, 0]], [[5, 7]])).layers
    assert [layer.name for layer in layers] == ["head"]
    assert np.array_equal(layers[0].weights.take("weight"), [[7, 0, 5]])


def test_an_absolute_value_is_two_halves(signals: Signals) -> None:
    found = read_output(signals, absolute(signals, signals.all_labels(signals.input)))
    assert [layer.kind for layer in found.layers] == ["linear", "function", "linear"]
    assert found.layers[1].steps == ["relu"]
