"""Models of every layer and shape, with random weights that differ for every gate."""

from collections.abc import Sequence

import numpy as np

from streamlstm import LSTM, Dense, Model, Scaling
from streamlstm.layers import Layer


def random_model(layers: Sequence[Layer], seed: int = 0, scaled: bool = False) -> Model:
    """Return a model whose every gate has weights of a scale and an offset of its own."""
    rng = np.random.default_rng(seed)
    weights = []
    for layer in layers:
        arrays = {}
        for name, shape in layer.parameters().items():
            spread = np.repeat(rng.uniform(0.3, 1.5, 4), -(-shape[0] // 4))[: shape[0]]
            array = rng.standard_normal(shape) / np.sqrt(shape[-1])
            array *= spread.reshape(-1, *[1] * (len(shape) - 1))
            arrays[name] = array + 0.3 * (name == "bias")
        weights.append(arrays)
    if not scaled:
        return Model(layers, weights)
    F, O = layers[0].input_size, layers[-1].output_size
    return Model(
        layers,
        weights,
        input_scaling=Scaling(rng.normal(0, 3, F), rng.uniform(0.5, 2, F)),
        output_scaling=Scaling(rng.normal(0, 3, O), rng.uniform(0.5, 2, O)),
        skip=[-1 if n % 3 == 2 else n % F for n in range(O)],
    )


MODELS = {
    "smallest": random_model([LSTM(1, 1)]),
    "odd": random_model([LSTM(3, 5), Dense(5, 2)], scaled=True),
    "even": random_model([LSTM(8, 16), Dense(16, 1)]),
    "one over": random_model([LSTM(2, 17), Dense(17, 17, "tanh")]),
    "usual": random_model([LSTM(8, 64), Dense(64, 1)], scaled=True),
    "wide head": random_model([LSTM(5, 24), Dense(24, 131, "relu")], scaled=True),
    "stack": random_model([LSTM(4, 33), LSTM(33, 40), LSTM(40, 7), Dense(7, 3, "sigmoid")]),
    "dense first": random_model([Dense(6, 70, "tanh"), LSTM(70, 12), Dense(12, 4)]),
    "no memory": random_model([Dense(3, 20, "relu"), Dense(20, 2)], scaled=True),
    "wider than a group": random_model([LSTM(130, 9), Dense(9, 1)]),
}
