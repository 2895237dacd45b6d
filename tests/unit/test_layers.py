"""Layers: fields are checked by their types; specifications survive the way through JSON."""

import json

import pytest

from streamlstm import GRU, LSTM, RNN, Dense, Embedding, LayerNorm, Pointwise
from streamlstm.errors import ModelError
from streamlstm.network.layers import Layer

LAYERS: list[tuple[Layer, dict[str, object], str]] = [
    (
        LSTM(2, 4, projection_size=3, cell_clip=1.5),
        {
            "kind": "lstm",
            "input_size": 2,
            "hidden_size": 4,
            "projection_size": 3,
            "cell_clip": 1.5,
        },
        "LSTM(2, 4, projection_size=3, cell_clip=1.5)",
    ),
    (
        GRU(2, 4, reset_after=False),
        {"kind": "gru", "input_size": 2, "hidden_size": 4, "reset_after": False},
        "GRU(2, 4, reset_after=False)",
    ),
    (RNN(2, 4), {"kind": "rnn", "input_size": 2, "hidden_size": 4}, "RNN(2, 4)"),
    (
        Dense(2, 3, "softmax"),
        {"kind": "dense", "input_size": 2, "output_size": 3, "activation": "softmax"},
        "Dense(2, 3, activation='softmax')",
    ),
    (Pointwise(2), {"kind": "pointwise", "input_size": 2}, "Pointwise(2)"),
    (
        LayerNorm(2, 1e-3),
        {"kind": "layer_norm", "input_size": 2, "epsilon": 1e-3},
        "LayerNorm(2, epsilon=0.001)",
    ),
    (
        Embedding(1, 9, 3),
        {"kind": "embedding", "input_size": 1, "categories": 9, "dimension": 3},
        "Embedding(1, 9, 3)",
    ),
]


@pytest.mark.parametrize(("layer", "spec", "description"), LAYERS)
def test_a_layer_is_rebuilt_from_its_specification(
    layer: Layer, spec: dict[str, object], description: str
) -> None:
    assert layer.to_dict() == spec
    assert next(iter(layer.to_dict())) == "kind"
    assert Layer.from_dict(json.loads(json.dumps(spec))) == layer
    assert layer.describe() == description


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "tcn"}, "expected a layer of kind .*lstm.*, got 'tcn'"),
        ({"input_size": 1}, "expected a layer of kind .*, got None"),
        ({"kind": ["lstm"]}, "expected a layer of kind"),
        ({"kind": "rnn", "input_size": 1, "hidden_size": 1, "width": 2}, "'rnn' cannot have"),
        ({"kind": "rnn", "input_size": 1}, "'rnn' cannot have these fields"),
    ],
)
def test_a_wrong_specification_is_refused(spec: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Layer.from_dict(spec)


@pytest.mark.parametrize("sizes", [(0, 4), (2, -1), (2, True), (2, 1.0), (2, None)])
def test_layers_refuse_invalid_sizes(sizes: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match="integer of 1 or more"):
        LSTM(*sizes)
    with pytest.raises(ModelError, match="integer of 1 or more"):
        Dense(*sizes)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (LSTM, {"projection_size": 0}, "LSTM: expected projection_size to be an integer of 1"),
        (LSTM, {"peephole": 1}, "LSTM: expected peephole to be True or False, got 1"),
        (LSTM, {"gate_clip": 0}, "LSTM: expected gate_clip to be a number greater than zero"),
        (LSTM, {"cell_clip": float("inf")}, "cell_clip to be a number greater than zero, got inf"),
        (LSTM, {"projection_clip": 1.0}, "projection_clip needs a projection_size"),
        (LSTM, {"gate_activation": "softmax"}, "expected an activation out of"),
        (Dense, {"activation": "swish"}, "expected an activation out of"),
    ],
)
def test_layers_refuse_invalid_options(
    kind: type[LSTM | Dense], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        kind(1, 1, **options)  # type: ignore[arg-type]


def test_an_embedding_has_as_many_categories_as_float32_has_integers() -> None:
    with pytest.raises(ModelError, match="at most 16777216 categories"):
        Embedding(1, 2**24 + 1, 3)
